"""A server of one ONNX model, and the jobs that fill its folder.

Imports nothing of the rest of the repository: this folder alone goes into the image.
"""
