"""Azure on one machine: an emulator of Resource Manager, and the azure-native provider that speaks to it.

Owns what both sides know: who deploys, the resource types (`types`) and the shape of their bodies (`contract`).
"""

SUBSCRIPTION_ID = "00000000-0000-0000-0000-000000000001"
"""The one subscription that the emulator has."""
TENANT_ID = "00000000-0000-0000-0000-000000000002"
"""The one tenant that the emulator has."""
DEPLOYER_CLIENT_ID = "00000000-0000-0000-0000-000000000003"
"""The application that the bearer of the token file is."""
DEPLOYER_OBJECT_ID = "00000000-0000-0000-0000-000000000004"
"""Its principal. It may do everything: `Owner` and `Key Vault Secrets Officer` of the subscription."""
