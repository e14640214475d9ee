"""The driver speaks the interface that kubelet speaks: same services, same field numbers, errors as statuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from rehearsal.node import csi
from rehearsal.node.csi_messages import message
from rehearsal.node.vault import AUDIENCE


class Classes:
    """An API server that has one SecretProviderClass."""

    def get(self, path: str) -> Any:
        return {"spec": {"provider": "vault"}} if path.endswith("/slm/secretproviderclasses/keys") else None


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[Any]:
    driver = csi.SecretsDriver(Classes(), "node-1", tmp_path / "arm.sock")
    endpoint = tmp_path / "csi.sock"
    handlers = [*csi.driver_handlers(driver), *csi.registration_handlers(csi.Registration(endpoint))]
    server = csi.serve(endpoint, handlers)
    with grpc.insecure_channel(f"unix:{endpoint}") as channel:
        yield channel
    server.stop(None).wait()


def call(channel: Any, method: str, request: Any, answer: str) -> Any:
    def serialize(item: Any) -> bytes:
        return item.SerializeToString()

    sent = channel.unary_unary(
        method,
        request_serializer=serialize,
        response_deserializer=message(answer).FromString,
    )
    return sent(request)


def mount(**changes: Any) -> Any:
    context = {
        "csi.storage.k8s.io/pod.name": "gateway",
        "csi.storage.k8s.io/pod.namespace": "slm",
        "csi.storage.k8s.io/serviceAccount.tokens": json.dumps({AUDIENCE: {"token": "pod-token"}}),
        "secretProviderClass": "keys",
        **changes.pop("context", {}),
    }
    entries = [message("Entry")(key=key, value=value) for key, value in context.items()]
    return message("NodePublishVolumeRequest")(target_path="/nowhere", volume_context=entries, **changes)


def test_kubelet_learns_the_driver_and_where_it_listens(channel: Any, tmp_path: Path) -> None:
    info = call(channel, "/pluginregistration.Registration/GetInfo", message("Empty")(), "PluginInfo")
    assert (info.type, info.name) == ("CSIPlugin", "secrets-store.csi.k8s.io")
    assert (info.endpoint, list(info.supported_versions)) == (str(tmp_path / "csi.sock"), ["1.0.0"])


def test_the_node_is_named(channel: Any) -> None:
    assert call(channel, "/csi.v1.Node/NodeGetInfo", message("Empty")(), "NodeGetInfoResponse").node_id == "node-1"


def test_a_map_has_the_wire_form_of_the_published_contract() -> None:
    request = message("NodePublishVolumeRequest")(volume_context=[message("Entry")(key="k", value="v")])
    # Field 8, a message of 6 bytes: field 1 "k", field 2 "v".
    assert request.SerializeToString() == bytes.fromhex("4206 0a016b 120176".replace(" ", ""))


@pytest.mark.parametrize(
    ("request_", "cause"),
    [
        (mount(readonly=False), "Readonly is not true"),
        (mount(readonly=True, context={"secretProviderClass": "other"}), "slm/other not found"),
        (mount(readonly=True, context={"csi.storage.k8s.io/serviceAccount.tokens": "{}"}), "tokenRequests"),
        (mount(readonly=True), "'vault' is not installed"),
    ],
)
def test_a_mount_that_cannot_be_is_refused_with_the_cause(channel: Any, request_: Any, cause: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "/csi.v1.Node/NodePublishVolume", request_, "Empty")
    assert cause in str(caught.value)
    assert "pod-token" not in str(caught.value)


def test_taking_away_a_mount_that_is_gone_succeeds(channel: Any, tmp_path: Path) -> None:
    request = message("NodeUnpublishVolumeRequest")(volume_id="v", target_path=str(tmp_path / "gone"))
    call(channel, "/csi.v1.Node/NodeUnpublishVolume", request, "Empty")
