"""Addresses for Services of type LoadBalancer, as Azure's load balancer would give them."""

import ipaddress
import re
from collections.abc import Iterator

from rehearsal.control.kube import Kube, Object

DNS_LABEL = "service.beta.kubernetes.io/azure-dns-label-name"
_LABEL = re.compile(r"[a-z][a-z0-9-]{1,61}[a-z0-9]")


def reconcile(kube: Kube, first_address: str) -> list[str]:
    """One round; what was done or waits, a line each. Addresses count up from the first that is free."""
    services = kube.list("/api/v1/services")
    used = {address for service in services for address in _addresses(service)}
    labels: dict[str, str] = {}
    done: list[str] = []
    # The oldest first: it was there when the second one asked for the same label.
    for service in sorted(services, key=lambda one: one["metadata"]["creationTimestamp"]):
        title = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
        if not _is_ours(service):
            if _addresses(service):
                _set(kube, service, None)
                done.append(f"service {title} has no load balancer any more")
            continue
        label = service["metadata"].get("annotations", {}).get(DNS_LABEL, "")
        trouble = _trouble(label, labels)
        if trouble:
            done.append(f"service {title} gets no address: {trouble}")
            continue
        labels[label] = title
        if not _addresses(service):
            address = next(one for one in _counting_from(first_address) if one not in used)
            used.add(address)
            _set(kube, service, address)
            done.append(f"service {title} is reached at {address}" + (f" as {label}" if label else ""))
    return done


def _trouble(label: str, taken: dict[str, str]) -> str:
    """Why Azure would refuse the name of a public address; empty if it would not."""
    if label and not _LABEL.fullmatch(label):
        return f"{DNS_LABEL} `{label}` is not 3 to 63 lower-case letters, digits and hyphens that begin with a letter"
    return f"the label `{label}` is {taken[label]}'s already" if label and label in taken else ""


def _is_ours(service: Object) -> bool:
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass")


def _addresses(service: Object) -> list[str]:
    ingress: list[Object] = service["status"].get("loadBalancer", {}).get("ingress") or []
    return [entry["ip"] for entry in ingress if "ip" in entry]


def _counting_from(address: str) -> Iterator[str]:
    number = ipaddress.ip_address(address)
    while True:
        yield str(number)
        number += 1


def _set(kube: Kube, service: Object, address: str | None) -> None:
    metadata = service["metadata"]
    ingress = [{"ip": address, "ipMode": "VIP"}] if address else None
    path = f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}/status"
    kube.merge(path, {"status": {"loadBalancer": {"ingress": ingress}}})
