"""The deployment: load the settings, compose the stack, export what it is reached by."""

from pathlib import Path

import pulumi
from pulumi_azure_native import authorization

from components.stack import Stack, StackArgs
from stacks.settings import SettingsError, key_names, load


def main() -> None:
    """Deploy the selected stack."""
    config = pulumi.Config("slm")
    settings = load(config.get_object("settings"))
    names = key_names(config.get("apiKeys"))
    client = authorization.get_client_config()
    stack = Stack(
        f"slm-{pulumi.get_stack()}",
        StackArgs(
            settings=settings,
            location=pulumi.Config("azure-native").require("location"),
            subscription_id=client.subscription_id,
            tenant_id=client.tenant_id,
            api_keys=config.require_secret("apiKeys"),
            api_key_names=names,
            hub_token=config.get_secret("hfToken"),
            checkout=Path(__file__).parent,
        ),
    )
    for name, value in stack.outputs.items():
        pulumi.export(name, value)


try:
    main()
except SettingsError as error:
    raise pulumi.RunError(f"stack `{pulumi.get_stack()}`: {error}") from None
