"""The deployment: load the settings, compose the stack, export what it is reached by."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pulumi
from pulumi_azure_native import authorization

from components.stack import Stack, StackArgs
from stacks.settings import SettingsError, load


def main() -> None:
    """Deploy the selected stack."""
    config = pulumi.Config()
    client = authorization.get_client_config()
    stack = Stack(
        f"slm-{pulumi.get_stack()}",
        StackArgs(
            settings=load(config.get_object("settings")),
            location=pulumi.Config("azure-native").require("location"),
            subscription_id=client.subscription_id,
            tenant_id=client.tenant_id,
            api_keys=config.require_secret("apiKeys"),
            api_key_names=key_names(config.get("apiKeys")),
            checkout=Path(__file__).parent,
        ),
    )
    for name, value in stack.outputs.items():
        pulumi.export(name, value)


def key_names(api_keys: str | None) -> tuple[str, ...]:
    """The keys' names, which are no secret; the keys themselves only ever travel as a secret.

    Raises:
        SettingsError: if `slm:apiKeys` is missing or no JSON object of names and keys.
    """
    fix = """echo '{"default": "sk-..."}' | pulumi config set --secret slm:apiKeys"""
    keys: dict[str, Any] | Any = None
    with suppress(ValueError):
        keys = json.loads(api_keys or "")
    if not isinstance(keys, dict) or not keys or not all(keys.values()):  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        raise SettingsError(f"slm:apiKeys holds no named API key, and nobody could ask the model. Set one: {fix}")
    return tuple(str(name) for name in keys)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


try:
    main()
except SettingsError as error:
    raise pulumi.RunError(str(error)) from None
