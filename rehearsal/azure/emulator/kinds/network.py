"""Virtual networks, subnets, network security groups and public addresses.

A subnet is one resource, whether a program makes it inside of its network or on its own. Rules of a group and the
address ranges are checked for form and overlap; nothing is enforced.
"""

import hashlib
import ipaddress
import itertools
import re
import uuid
from typing import Any

from rehearsal.azure.emulator.errors import ArmError, bad_request
from rehearsal.azure.emulator.store import Body, Record
from rehearsal.azure.emulator.world import Put, Rules, World, at, merged

SUBNET = "Microsoft.Network/virtualNetworks/subnets"
_NAME = re.compile(r"[a-zA-Z0-9]([-\w.]{0,78}\w)?")
_NAME_RULE = "must be 1 to 80 letters, digits, `_`, `-` and `.`, start with a letter or digit and not end in `-.`"
_RESERVED_ADDRESSES = 5
"""Azure keeps the first four addresses of a subnet and the last one."""
_PRIORITIES = range(100, 4097)


def _etag() -> str:
    return f'W/"{uuid.uuid4()}"'


def _common(_world: World, put: Put) -> Body:
    guid = put.kept("properties.resourceGuid", lambda: str(uuid.uuid4()))
    return {"etag": _etag(), "properties": {"resourceGuid": guid}}


def _range(text: str, where: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise bad_request("InvalidAddressPrefixFormat", f"{where}: {error}.", where) from error


def _ranges(body: Body) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """A subnet's ranges, from either of the two fields."""
    one: str | None = at(body, "properties.addressPrefix")
    many: list[str] = at(body, "properties.addressPrefixes") or ([one] if one else [])
    return [_range(text, "properties.addressPrefix") for text in many]


# --- virtual networks ---


def _check_network(world: World, put: Put) -> None:
    spaces: list[str] = at(put.body, "properties.addressSpace.addressPrefixes") or []
    if not spaces and not at(put.body, "properties.addressSpace.ipamPoolPrefixAllocations"):
        raise bad_request(
            "InvalidRequestFormat",
            "A virtual network needs an address space: set properties.addressSpace.addressPrefixes.",
            "properties.addressSpace",
        )
    outer = [_range(text, "properties.addressSpace") for text in spaces]
    inline: list[Body] | None = put.properties.get("subnets")
    subnets = _existing_subnets(world, put.id.text) if inline is None else {str(one.get("name")): one for one in inline}
    for name, subnet in subnets.items():
        _check_inside(_ranges(subnet), outer, name, put.id.name)
    _check_apart(subnets, put.id.name)
    for gone in _existing_subnets(world, put.id.text).keys() - subnets.keys():
        _require_unused(world, f"{put.id.text}/subnets/{gone}")


def _existing_subnets(world: World, network: str) -> dict[str, Body]:
    return {record.body["name"]: record.body for record in world.children(network, SUBNET)}


def _check_inside(ranges: list[Any], outer: list[Any], name: str, network: str) -> None:
    if not ranges:
        raise bad_request("InvalidRequestFormat", f"Subnet '{name}' needs an addressPrefix.", "addressPrefix")
    for one in ranges:
        if not any(one.version == space.version and one.subnet_of(space) for space in outer):
            raise bad_request(
                "NetcfgSubnetRangeOutsideVnet",
                f"Subnet '{name}' is not valid because its IP address range {one} is outside the IP address range of "
                f"virtual network '{network}'.",
            )
        if one.version == 4 and one.num_addresses <= _RESERVED_ADDRESSES:
            raise bad_request(
                "NetcfgInvalidSubnet", f"Subnet '{name}' is not valid in virtual network '{network}': {one} is small."
            )


def _check_apart(subnets: dict[str, Body], network: str) -> None:
    for (one, first), (other, second) in itertools.combinations(subnets.items(), 2):
        for a, b in itertools.product(_ranges(first), _ranges(second)):
            if a.version == b.version and a.overlaps(b):
                raise bad_request(
                    "NetcfgSubnetRangesOverlap",
                    f"Subnet '{one}' is not valid because its IP address range overlaps with that of an existing "
                    f"subnet '{other}' in virtual network '{network}'.",
                )


def _store_inline_subnets(world: World, put: Put, record: Record) -> None:
    inline: list[Body] | None = record.body.get("properties", {}).pop("subnets", None)
    if inline is None:
        return
    for gone in world.children(record.id, SUBNET):
        if gone.body["name"] not in {one.get("name") for one in inline}:
            world.remove(gone)
    for one in inline:
        path = f"{record.id}/subnets/{one['name']}"
        old = world.find(path)
        body = merged(_subnet_defaults(one), {"id": path, "name": one["name"], "type": SUBNET, "etag": _etag()})
        body["properties"]["provisioningState"] = "Succeeded"
        world.add(Record(path, SUBNET, body, old.created_at if old else record.created_at))


def _view_network(world: World, record: Record) -> Body:
    subnets = [child.body for child in world.children(record.id, SUBNET)]
    return merged(record.body, {"properties": {"subnets": subnets}})


def _network_outputs(world: World, put: Put) -> Body:
    below: Body = {"properties": {"enableDdosProtection": False, "virtualNetworkPeerings": []}}
    return merged(merged(below, put.body), _common(world, put))


# --- subnets ---


def _check_subnet(world: World, put: Put) -> None:
    network = world.find(put.id.parent)
    assert network is not None  # the parent was found before
    spaces: list[str] = at(network.body, "properties.addressSpace.addressPrefixes") or []
    name = put.id.name
    _check_inside(_ranges(put.body), [_range(text, "addressSpace") for text in spaces], name, network.body["name"])
    others = {other: body for other, body in _existing_subnets(world, network.id).items() if other != name}
    for other, body in others.items():
        _check_apart({name: put.body, other: body}, network.body["name"])


def _subnet_defaults(body: Body) -> Body:
    below: Body = {
        "properties": {
            "delegations": [],
            "privateEndpointNetworkPolicies": "Disabled",
            "privateLinkServiceNetworkPolicies": "Enabled",
        }
    }
    return merged(below, body)


def _subnet_outputs(_world: World, put: Put) -> Body:
    return merged(_subnet_defaults(put.body), {"etag": _etag()})


def _require_unused(world: World, path: str) -> None:
    users = [record for record in world.referring(path) if not record.id.lower().startswith(path.lower())]
    if users:
        raise ArmError(
            400,
            "InUseSubnetCannotBeDeleted",
            f"Subnet {path.rpartition('/')[2]} is in use by {users[0].id} and cannot be deleted. In order to delete "
            "the subnet, delete all the resources within the subnet.",
        )


def _removable_network(world: World, record: Record) -> None:
    for subnet in world.children(record.id, SUBNET):
        _require_unused(world, subnet.id)


# --- security groups and addresses ---


def _check_rules(_world: World, put: Put) -> None:
    rules: list[Body] = put.properties.get("securityRules") or []
    taken: dict[tuple[str, int], str] = {}
    for rule in rules:
        name, direction = str(rule.get("name")), str(at(rule, "properties.direction"))
        priority: Any = at(rule, "properties.priority")
        if priority not in _PRIORITIES:
            raise bad_request(
                "SecurityRuleInvalidPriority",
                f"Security rule {name} has an invalid priority {priority}: it must be between 100 and 4096.",
            )
        if other := taken.get((direction, priority)):
            raise bad_request(
                "SecurityRuleConflict",
                f"Security rule {name} conflicts with rule {other}: rules cannot have the same Priority and Direction.",
            )
        taken[(direction, priority)] = name


def _rules_outputs(world: World, put: Put) -> Body:
    rules: list[Body] = put.properties.get("securityRules") or []
    shown = [
        rule
        | {
            "id": f"{put.id.text}/securityRules/{rule.get('name')}",
            "type": "Microsoft.Network/networkSecurityGroups/securityRules",
            "etag": _etag(),
            "properties": rule["properties"] | {"provisioningState": "Succeeded"},
        }
        for rule in rules
    ]
    return merged(_common(world, put), {"properties": {"securityRules": shown, "defaultSecurityRules": []}})


def _view_group(world: World, record: Record) -> Body:
    users = [{"id": one.id} for one in world.referring(record.id) if one.type == SUBNET]
    return merged(record.body, {"properties": {"subnets": users}}) if users else record.body


def _removable_group(world: World, record: Record) -> None:
    if users := world.referring(record.id):
        raise ArmError(
            400,
            "InUseNetworkSecurityGroupCannotBeDeleted",
            f"Network security group {record.id} cannot be deleted because it is in use by the following resources: "
            f"{users[0].id}.",
        )


def _check_address(world: World, put: Put) -> None:
    method = put.properties.get("publicIPAllocationMethod", "Dynamic")
    sku = at(put.body, "sku.name") or "Basic"
    if sku == "Standard" and method != "Static":
        raise bad_request(
            "StandardSkuPublicIPAddressesMustUseStaticAllocation",
            f"Standard sku publicIp {put.id.text} must have AllocationMethod set to Static.",
        )
    label = at(put.body, "properties.dnsSettings.domainNameLabel")
    for other in world.of_type("Microsoft.Network/publicIPAddresses"):
        same = at(other.body, "properties.dnsSettings.domainNameLabel") == label and label
        if same and other.id.lower() != put.id.key and other.body["location"] == put.body["location"]:
            raise bad_request("DnsRecordInUse", f"DNS record {_fqdn(put, label)} is already used by another public IP.")


def _fqdn(put: Put, label: str) -> str:
    return f"{label}.{put.body['location']}.cloudapp.azure.com"


def _address_outputs(world: World, put: Put) -> Body:
    below: Body = {
        "sku": {"name": "Basic", "tier": "Regional"},
        "properties": {"publicIPAddressVersion": "IPv4", "publicIPAllocationMethod": "Dynamic", "ipTags": []},
    }
    body = merged(merged(below, put.body), _common(world, put))
    if body["properties"]["publicIPAllocationMethod"] == "Static":
        # Of TEST-NET-3, which belongs to nobody.
        last = int(hashlib.sha256(put.id.key.encode()).hexdigest(), 16) % 254 + 1
        body["properties"]["ipAddress"] = f"203.0.113.{last}"
    if label := at(body, "properties.dnsSettings.domainNameLabel"):
        body["properties"]["dnsSettings"]["fqdn"] = _fqdn(put, label)
    return body


def _removable_address(world: World, record: Record) -> None:
    if users := world.referring(record.id):
        raise ArmError(
            400,
            "PublicIPAddressCannotBeDeleted",
            f"Public IP address {record.id} can not be deleted since it is still allocated to resource {users[0].id}.",
        )


RULES = {
    "Microsoft.Network/virtualNetworks": Rules(
        name=_NAME,
        name_rule=_NAME_RULE,
        seconds=0.4,
        check=_check_network,
        outputs=_network_outputs,
        stored=_store_inline_subnets,
        view=_view_network,
        removable=_removable_network,
    ),
    SUBNET: Rules(
        name=_NAME,
        name_rule=_NAME_RULE,
        seconds=0.3,
        check=_check_subnet,
        outputs=_subnet_outputs,
        removable=lambda world, record: _require_unused(world, record.id),
    ),
    "Microsoft.Network/networkSecurityGroups": Rules(
        name=_NAME,
        name_rule=_NAME_RULE,
        seconds=0.3,
        check=_check_rules,
        outputs=_rules_outputs,
        view=_view_group,
        removable=_removable_group,
    ),
    "Microsoft.Network/publicIPAddresses": Rules(
        name=_NAME,
        name_rule=_NAME_RULE,
        seconds=0.3,
        fixed=("sku.name", "properties.publicIPAddressVersion", "properties.publicIPPrefix.id", "zones"),
        check=_check_address,
        outputs=_address_outputs,
        removable=_removable_address,
    ),
}
