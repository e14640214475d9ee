"""A small stack of azure-native resources that its configuration changes in every way that a stack can change."""

import pulumi
from pulumi_azure_native import (
    authorization,
    containerregistry,
    containerservice,
    keyvault,
    managedidentity,
    network,
    resources,
)

SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"

config = pulumi.Config()
team = config.get("team") or "one"
client = authorization.get_client_config()
group = resources.ResourceGroup("group", tags={"team": team})

vnet = network.VirtualNetwork(
    "vnet",
    resource_group_name=group.name,
    address_space=network.AddressSpaceArgs(address_prefixes=["10.1.0.0/16"]),
    tags={"team": team},
)
subnets = [
    network.Subnet(
        f"nodes-{number}",
        resource_group_name=group.name,
        virtual_network_name=vnet.name,
        address_prefix=f"10.1.{number}.0/24",
    )
    for number in range(3)
]
identity = managedidentity.UserAssignedIdentity("identity", resource_group_name=group.name)
vault = keyvault.Vault(
    "vault",
    resource_group_name=group.name,
    properties=keyvault.VaultPropertiesArgs(
        tenant_id=client.tenant_id,
        sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
        enable_rbac_authorization=True,
    ),
)
secret = keyvault.Secret(
    "api-key",
    resource_group_name=group.name,
    vault_name=vault.name,
    properties=keyvault.SecretPropertiesArgs(value=config.require_secret("planted")),
)
authorization.RoleAssignment(
    "reader",
    scope=vault.id,
    principal_id=identity.principal_id,
    principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
    role_definition_id=f"/subscriptions/{client.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/"
    f"{SECRETS_USER}",
)
registry = containerregistry.Registry(
    "registry",
    resource_group_name=group.name,
    registry_name=config.get("registry") or "slmdevone",
    sku=containerregistry.SkuArgs(name=containerregistry.SkuName.BASIC),
)
cluster = containerservice.ManagedCluster(
    "cluster",
    resource_group_name=group.name,
    dns_prefix="slm",
    identity=containerservice.ManagedClusterIdentityArgs(
        type=containerservice.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[identity.id]
    ),
    agent_pool_profiles=[
        containerservice.ManagedClusterAgentPoolProfileArgs(
            name="system", mode="System", count=1, vm_size="Standard_D2s_v5", vnet_subnet_id=subnets[0].id
        )
    ],
    oidc_issuer_profile=containerservice.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
)
containerservice.AgentPool(
    "cpu",
    resource_group_name=group.name,
    resource_name_=cluster.name,
    count=config.get_int("count") or 1,
    vm_size=config.get("size") or "Standard_D4s_v5",
    vnet_subnet_id=subnets[0].id,
)
credential = managedidentity.FederatedIdentityCredential(
    "credential",
    resource_group_name=group.name,
    resource_name_=identity.name,
    issuer=cluster.oidc_issuer_profile.apply(lambda profile: str(profile.issuer_url) if profile else ""),
    subject="system:serviceaccount:slm:gateway",
    audiences=["api://AzureADTokenExchange"],
)
credentials = containerservice.list_managed_cluster_user_credentials_output(
    resource_group_name=group.name, resource_name=cluster.name
)
pulumi.export("loginServer", registry.login_server)
pulumi.export("secretUri", secret.properties.secret_uri)
pulumi.export("kubeconfig", credentials.kubeconfigs.apply(lambda found: found[0].value))
