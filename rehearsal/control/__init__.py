"""A real Kubernetes control plane without a node: certificates, commands, what a cloud's controllers would do."""
