"""What a stack is made of: `platform` is Azure's part, `serving` runs in Kubernetes."""
