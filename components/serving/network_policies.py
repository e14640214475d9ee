"""Who may talk to whom: pure functions that answer the `spec` of a NetworkPolicy. Everything else is denied."""

from collections.abc import Sequence
from typing import Any

from components.serving.manifests import Manifest, selector

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16")
"""Where no public service is: other pods, nodes, the network behind them, and the machines' metadata service."""


def nothing() -> Manifest:
    """Every pod of the namespace, nothing in, nothing out: what the others open again."""
    return {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def from_gateway(server: str, port: str) -> Manifest:
    """A server is reached by the gateway alone, and reaches nothing."""
    return _policy(server, ingress=[{"from": [_pods("gateway")], "ports": [{"port": port}]}], egress=[])


def gateway(servers: Sequence[str], server_port: str, public_ports: Sequence[str]) -> Manifest:
    """The gateway is reached by everybody, and reaches the servers, name servers and the certificate authority."""
    to_servers = {"to": [_pods(server) for server in servers], "ports": [{"port": server_port}]}
    return _policy(
        "gateway",
        ingress=[{"ports": [{"port": port} for port in public_ports]}],
        egress=[_name_servers(), to_servers, _internet()],
    )


def weights() -> Manifest:
    """The weights job reaches name servers and the model hub; nobody reaches it."""
    return _policy("weights", ingress=[], egress=[_name_servers(), _internet()])


def _policy(name: str, *, ingress: Sequence[Any], egress: Sequence[Any]) -> Manifest:
    # A direction without rules is closed by its type alone; the API server does not keep an empty list.
    rules = {"ingress": list(ingress), "egress": list(egress)}
    return {
        "podSelector": {"matchLabels": selector(name)},
        "policyTypes": ["Ingress", "Egress"],
        **{direction: allowed for direction, allowed in rules.items() if allowed},
    }


def _pods(name: str) -> Manifest:
    return {"podSelector": {"matchLabels": selector(name)}}


def _internet() -> Manifest:
    everywhere = {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(PRIVATE)}}
    return {"to": [everywhere], "ports": [{"protocol": "TCP", "port": 443}]}


def _name_servers() -> Manifest:
    # Wherever they run: as pods of kube-system, or as a process of the node.
    return {"ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]}
