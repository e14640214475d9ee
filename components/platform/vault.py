"""The stack's secrets: a vault that answers to roles only, and the secrets that the configuration gives it.

Does not own who may read them (`platform.identity` grants that) nor how they reach a pod (`serving.gateway`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import keyvault

from components.platform.naming import vault_stem

RETENTION_DAYS = 90


@dataclass(frozen=True, kw_only=True)
class VaultArgs:
    """`secrets` maps a name in the vault to its value, which is secret here too."""

    resource_group_name: pulumi.Input[str]
    tenant_id: pulumi.Input[str]
    secrets: Mapping[str, pulumi.Output[str]]
    private: bool = False


class Vault(pulumi.ComponentResource):
    """A vault that cannot be purged and knows no access policies; it holds the stack's secrets."""

    id: pulumi.Output[str]
    name: pulumi.Output[str]
    ready: pulumi.Output[str]
    """The vault's name, once every secret is in it: for whoever mounts them."""
    secret_ids: Mapping[str, pulumi.Output[str]]
    """By name in the vault: what a right to read one secret is given on."""

    def __init__(self, name: str, args: VaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slm:platform:Vault", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)

        vault = self._vault(name, args, child)
        secrets = {key: self._secret(name, args, vault, key, value, child) for key, value in args.secrets.items()}

        self.id = vault.id
        self.name = vault.name
        self.ready = pulumi.Output.all(vault.name, *(secret.id for secret in secrets.values())).apply(
            lambda known: str(known[0])
        )
        self.secret_ids = {key: secret.id for key, secret in secrets.items()}
        self.register_outputs({"id": self.id, "name": self.name})

    @staticmethod
    def _vault(name: str, args: VaultArgs, opts: pulumi.ResourceOptions) -> keyvault.Vault:
        rules = keyvault.NetworkRuleSetArgs(bypass="AzureServices", default_action="Deny" if args.private else "Allow")
        return keyvault.Vault(
            # Named by chance: purge protection keeps a deleted vault's name for the whole retention time, and the next
            # `up` after a `destroy` would be refused.
            vault_stem(name),
            resource_group_name=args.resource_group_name,
            properties=keyvault.VaultPropertiesArgs(
                tenant_id=args.tenant_id,
                sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
                enable_rbac_authorization=True,
                enable_soft_delete=True,
                enable_purge_protection=True,
                soft_delete_retention_in_days=RETENTION_DAYS,
                network_acls=rules,
                public_network_access="Disabled" if args.private else "Enabled",
            ),
            opts=opts,
        )

    @staticmethod
    def _secret(
        name: str,
        args: VaultArgs,
        vault: keyvault.Vault,
        key: str,
        value: pulumi.Output[str],
        opts: pulumi.ResourceOptions,
    ) -> keyvault.Secret:
        return keyvault.Secret(
            f"{name}-{key}",
            resource_group_name=args.resource_group_name,
            vault_name=vault.name,
            secret_name=key,
            properties=keyvault.SecretPropertiesArgs(value=pulumi.Output.secret(value)),
            opts=opts,
        )
