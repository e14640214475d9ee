"""A real Kubernetes node in namespaces of this machine: what a pod of the stack runs on in a full rehearsal.

Owns the node's processes, network, images, volumes and the services around it (registry, names, certificates, secrets,
published ports). Does not own the Azure emulator, the program, or the simulated nodes.
"""
