"""Azure Resource Manager, Key Vault's secrets and Entra's token endpoint, over HTTP on one machine.

Owns the paths, verbs, error shapes and long-running operations of ARM for the resource types in
`rehearsal.azure.types`, held to Microsoft's own azure-mgmt models, and their state on disk. Does not run anything:
nodes and the cluster are made by whoever reads the agent pools.

What it refuses, it refuses as Azure does: unknown, missing, wrongly typed and unknown enumerated values, read-only
fields unless they repeat the stored value (a GET's answer may be PUT back), changes of what is fixed at creation,
references to what is not there, names that break a type's rules or are taken anywhere in Azure, deletion of what is in
use.

Not checked:
- Bodies are held to the newest models of the azure-mgmt packages, not to the api-version of the request.
- A value's range, pattern and length, and enumerations of Microsoft.ManagedIdentity (its models do not list them).
- Codes and wording of errors: ARM's own where they are published, else the nearest; read-only fields are always an
  error though some services ignore them.
- Rights of the deployer: it may do everything. Users and groups: any id is taken for a role assignment.
- Role definitions beyond a table of built-in ones, conditions, deny assignments, locks, policies, custom roles.
- Prices, quotas and SKU restrictions, unless a fault asks for them; whether a region has a VM size or a zone.
- Kubernetes versions: their form, not whether AKS offers them.
- Kubernetes itself: the kubeconfig is the file that was given, also where AKS would want an Entra login.
- Network: addresses may overlap outside of their virtual network; rules are stored, not enforced; peerings, NAT
  gateways, route tables and private endpoints do not exist.
- Registry: images, credentials, network rules, the geo-replicas; a cache rule's source is not asked.
- Task runs: nothing is built; a run succeeds if the local registry has the image that it names (or if there is none).
- Vault: keys, certificates, access policies, network rules, versions other than by their id, private endpoints.
- A token's signature, unless the cluster's service-account key is given; the issuer's discovery document.
- Entra's and RBAC's delays, except that a new identity without `principalType` is not found at first.
"""
