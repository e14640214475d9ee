"""What runs in Kubernetes: weights, servers, the gateway in front of them, and who may talk to whom."""
