"""The messages of the Container Storage Interface and of kubelet's plugin registration that the secrets driver needs.

A subset of both published contracts, as a table of fields from which protobuf makes the classes; unknown fields are
kept by protobuf, so the subset is enough. A map is written as what it is on the wire: repeated key-value messages.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = tuple[str, int, str]
_MESSAGES: Mapping[str, Sequence[_Field]] = {
    "Entry": [("key", 1, "string"), ("value", 2, "string")],
    "Empty": [],
    # pluginregistration
    "PluginInfo": [
        ("type", 1, "string"),
        ("name", 2, "string"),
        ("endpoint", 3, "string"),
        ("supported_versions", 4, "string*"),
    ],
    "RegistrationStatus": [("plugin_registered", 1, "bool"), ("error", 2, "string")],
    # csi.v1
    "GetPluginInfoResponse": [("name", 1, "string"), ("vendor_version", 2, "string")],
    "NodeGetInfoResponse": [("node_id", 1, "string")],
    "NodePublishVolumeRequest": [
        ("volume_id", 1, "string"),
        ("target_path", 4, "string"),
        ("readonly", 6, "bool"),
        ("volume_context", 8, "Entry*"),
    ],
    "NodeUnpublishVolumeRequest": [("volume_id", 1, "string"), ("target_path", 2, "string")],
}
_PACKAGE = "slm.rehearsal.csi"


def _file() -> descriptor_pb2.FileDescriptorProto:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="slm_rehearsal_csi.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            added = message.field.add(name=field, number=number, label=label)
            match kind.rstrip("*"):
                case "string":
                    added.type = kinds.TYPE_STRING
                case "bool":
                    added.type = kinds.TYPE_BOOL
                case other:
                    added.type, added.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{other}"
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def message(name: str) -> Any:
    """The class of a message in the table. Its fields are only known at run time."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
