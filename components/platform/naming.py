"""Names that are the same at every run of a stack, and no other stack's, within Azure's rules for each kind."""

import hashlib
import re

import pulumi

SUFFIX_CHARACTERS = 6
RANDOM_CHARACTERS = 8
"""What azure-native adds to a name that it is left to choose."""
SHARED_NAME_CHARACTERS = 24
"""A vault's name is the shortest of those that all of Azure shares [learn.microsoft.com/azure/key-vault/general]."""
POOL_NAME_CHARACTERS = 12
"""A Linux pool's name is at most 12 lower-case letters and digits [learn.microsoft.com/azure/aks/create-node-pools]."""


def unique(stem: str, subscription_id: pulumi.Input[str], *, separator: str = "-") -> pulumi.Output[str]:
    """`shared_name` in a subscription that is perhaps not known yet."""
    return pulumi.Output.from_input(subscription_id).apply(lambda known: shared_name(stem, known, separator=separator))


def shared_name(stem: str, subscription_id: str, *, separator: str = "-") -> str:
    """`stem` and a few characters that depend on the subscription: for names that all of Azure shares.

    Fits a registry, a cluster and a DNS label: at most 24 lower-case letters, digits and single separators.
    """
    start = _cut(stem, SHARED_NAME_CHARACTERS - SUFFIX_CHARACTERS - len(separator), separator)
    return f"{start}{separator}{digest(stem, subscription_id)}"


def vault_stem(stem: str) -> str:
    """What Pulumi adds its eight random characters to, for a vault: its old name stays taken after it is deleted."""
    return f"{_cut(stem, SHARED_NAME_CHARACTERS - RANDOM_CHARACTERS - len('-kv'), '-')}-kv"


def pool_name(pool: str, *immutable: object) -> str:
    """A pool's name with a hash of what cannot be changed in place: a change makes a new pool beside the old one."""
    tag = digest(pool, *(repr(value) for value in immutable))[:4]
    letters = "".join(character for character in pool.lower() if character.isalnum())
    return f"{letters[: POOL_NAME_CHARACTERS - len(tag)]}{tag}"


def _cut(text: str, length: int, separator: str) -> str:
    """Lower-case letters, digits and single separators, from the start of a text."""
    return re.sub(r"[^a-z0-9]+", separator, text.lower())[:length].strip("-")


def digest(*parts: str) -> str:
    """A short hash, lower-case hexadecimal."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:SUFFIX_CHARACTERS]
