"""`pulumi-resource-azure-native` 3.29.0 as the engine starts it: a gRPC server that prints its port.

Owns what the real provider does for the resource types in `rehearsal.azure.types`: names and locations that the program
leaves out, the translation of azure-native's flattened inputs to ARM's bodies and back, waiting, refreshing, replacing.
Talks to the Resource Manager at `$SLM_ARM_ENDPOINT` with the token in `$SLM_ARM_TOKEN_FILE`; knows nothing of the
emulator behind it.

Not checked:
- Other resource types, other api-versions (`azure-native:network/v...`), components, and functions but
  `getClientConfig` and `listManagedClusterUserCredentials`.
- Credentials: the bearer token is in a file; nobody logs in, and no tenant or cloud is chosen.
- Inputs are held to the Python SDK's types: more strictly than the real provider, which drops unknown properties in
  silence, and less strictly where its metadata has patterns and lengths.
- Which properties force a replacement is a table made from the real provider's; `location` always does.
- Properties that a program stops setting are left out of the PUT; the real provider sets some to a default.
- Vaults and secrets that were deleted before are not recovered: Azure's error is shown.
- Credentials of a cluster are secret here; the real provider leaves that to the program.
- Engine-wide autonaming patterns (`pulumi:autonaming`), the provider's own log and tracing.
"""

VERSION = "3.29.0"
"""The version that this stands in for, which is the SDK's."""
