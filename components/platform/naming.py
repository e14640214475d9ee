"""Names that are the same at every run of a stack, and no other stack's, within Azure's rules for each kind."""

import hashlib

import pulumi

SUFFIX_CHARACTERS = 6
POOL_NAME_CHARACTERS = 12
"""A Linux pool's name is at most 12 lower-case letters and digits [learn.microsoft.com/azure/aks/create-node-pools]."""


def unique(stem: str, subscription_id: pulumi.Input[str], *, separator: str = "-") -> pulumi.Output[str]:
    """`stem` and a few characters that depend on the subscription: for names that all of Azure shares."""
    return pulumi.Output.from_input(subscription_id).apply(lambda known: f"{stem}{separator}{digest(stem, known)}")


def pool_name(pool: str, *immutable: object) -> str:
    """A pool's name with a hash of what cannot be changed in place: a change makes a new pool beside the old one."""
    tag = digest(*(repr(value) for value in immutable))[:4]
    letters = "".join(character for character in pool.lower() if character.isalnum())
    return f"{letters[: POOL_NAME_CHARACTERS - len(tag)]}{tag}"


def digest(*parts: str) -> str:
    """A short hash, lower-case hexadecimal."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:SUFFIX_CHARACTERS]
