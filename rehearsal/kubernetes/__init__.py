"""A stand-in for Pulumi's kubernetes provider 4.34.2: the same contract, in front of a real API server."""

VERSION = "4.34.2"
"""The version of `pulumi_kubernetes` that the program pins, and of the provider whose answers were recorded."""
