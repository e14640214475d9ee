"""One of each kind that the serving components use; `step` changes some of them."""

# The SDK's typed maps do not recognise maps that are put together here.
# pyright: reportArgumentType=false

import pulumi
import pulumi_kubernetes as k8s

config = pulumi.Config()
step = config.require_int("step")
provider = k8s.Provider("cluster", kubeconfig=config.require_secret("kubeconfig"))
opts = pulumi.ResourceOptions(provider=provider)
namespace = k8s.core.v1.Namespace("slm", metadata={"name": "slm", "labels": {"step": str(step)}}, opts=opts)
meta = {"namespace": namespace.metadata.name}

settings = k8s.core.v1.ConfigMap("settings", metadata=meta, data={"step": str(step)}, opts=opts)
k8s.core.v1.ConfigMap("fixed", metadata={**meta, "name": "fixed"}, data={"step": str(step)}, opts=opts)
k8s.core.v1.Secret("keys", metadata=meta, string_data={"api-key": config.require_secret("key")}, opts=opts)
account = k8s.core.v1.ServiceAccount("server", metadata=meta, opts=opts)
claim = k8s.core.v1.PersistentVolumeClaim(
    "weights",
    metadata={**meta, "annotations": {"pulumi.com/skipAwait": "true"}},
    spec={
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "none",
        "resources": {"requests": {"storage": "1024Mi"}},
    },
    opts=opts,
)
labels = {"app": "server"} if step < 3 else {"app": "server", "generation": "3"}
deployment = k8s.apps.v1.Deployment(
    "server",
    metadata=meta,
    spec={
        "replicas": min(step, 2),
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "serviceAccountName": account.metadata.name,
                "containers": [
                    {
                        "name": "server",
                        "image": f"slm.invalid/onnx:{step}",
                        "resources": {"requests": {"cpu": "1000m", "memory": "0.5Gi"}},
                        "env": [{"name": "SETTINGS", "value": settings.metadata.name}],
                    }
                ],
            },
        },
    },
    opts=opts,
)
service = k8s.core.v1.Service(
    "server",
    metadata={**meta, "name": "server"},
    spec={"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    opts=pulumi.ResourceOptions(provider=provider, depends_on=[deployment]),
)
k8s.batch.v1.Job(
    "weights",
    metadata=meta,
    spec={
        "template": {
            "metadata": {"annotations": {"revision": "1" if step < 3 else "2"}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "weights", "image": "slm.invalid/weights:1"}]},
        }
    },
    opts=opts,
)
k8s.policy.v1.PodDisruptionBudget(
    "server", metadata=meta, spec={"minAvailable": 1, "selector": {"matchLabels": labels}}, opts=opts
)
k8s.networking.v1.NetworkPolicy(
    "deny", metadata=meta, spec={"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, opts=opts
)
definition = k8s.apiextensions.v1.CustomResourceDefinition(
    "widgets",
    metadata={"name": "widgets.slm.example"},
    spec={
        "group": "slm.example",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                },
            }
        ],
    },
    opts=opts,
)
# Not told to come after its definition: the provider tries again until the server knows the kind.
k8s.apiextensions.CustomResource(
    "widget", api_version="slm.example/v1", kind="Widget", metadata=meta, spec={"size": step}, opts=opts
)
if config.get_bool("bad"):
    k8s.core.v1.ConfigMap("bad", metadata={**meta, "name": "Not_A_Name"}, data={"a": "b"}, opts=opts)
if config.get_bool("stuck"):
    k8s.apps.v1.Deployment(
        "stuck",
        metadata={**meta, "name": "stuck", "annotations": {"pulumi.com/timeoutSeconds": "3"}},
        spec={
            "selector": {"matchLabels": {"app": "stuck"}},
            "template": {
                "metadata": {"labels": {"app": "stuck"}},
                "spec": {"nodeSelector": {"gpu": "none"}, "containers": [{"name": "c", "image": "slm.invalid/i:1"}]},
            },
        },
        opts=opts,
    )
pulumi.export("cluster_ip", service.spec.cluster_ip)
pulumi.export("settings", settings.metadata.name)
