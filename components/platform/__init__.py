"""What Azure owns: network, registry, vault, identities, cluster, node pools."""
