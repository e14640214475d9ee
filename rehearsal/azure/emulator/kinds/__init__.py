"""What is particular to each resource type: one table, by ARM's type in lower case."""

from rehearsal.azure.emulator.kinds import cluster, group, identity, network, registry, vault
from rehearsal.azure.emulator.world import Rules

RULES: dict[str, Rules] = {
    kind.lower(): rules
    for part in (group, network, registry, vault, identity, cluster)
    for kind, rules in part.RULES.items()
}
