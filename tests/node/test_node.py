"""A real node runs real pods: images, volumes, names, certificates, secrets, and what happens when a part dies."""

import os
import signal
import socket
import ssl
import time
from typing import Any

import pytest

from tests.node.conftest import APP, CADDY, Rehearsed
from tests.node.manifests import NAMESPACE, PUBLIC_NAME, claim, gateway, pod, service

pytestmark = pytest.mark.node


def app(name: str, **volumes: object) -> object:
    """The application with `files=` a claim's name, `secret=` a SecretProviderClass' name."""
    mounted: dict[str, Any] = {"/tmp": {"emptyDir": {}}}
    if "files" in volumes:
        mounted["/data"] = {"persistentVolumeClaim": {"claimName": volumes["files"]}}
    if "secret" in volumes:
        attributes = {"secretProviderClass": volumes["secret"]}
        mounted["/secrets"] = {
            "csi": {"driver": "secrets-store.csi.k8s.io", "readOnly": True, "volumeAttributes": attributes}
        }
    return pod(name, APP, mounted, app="app", probe_port=8080)


def test_a_restricted_pod_of_an_image_built_here_answers(rehearsed: Rehearsed) -> None:
    rehearsed.apply(app("plain"))
    rehearsed.when_ready("plain")
    answer = rehearsed.ask("plain", "GET", "whoami").json()
    assert answer == {"host": "plain", "uid": 10001, "packaging": "25.0"}


def test_a_pod_reaches_the_hub_under_its_public_name_with_a_certificate_it_trusts(rehearsed: Rehearsed) -> None:
    rehearsed.apply(app("plain"))
    rehearsed.when_ready("plain")
    answer = rehearsed.ask("plain", "GET", "fetch/huggingface.co/api/models/microsoft/Phi-4-mini-instruct-onnx").json()
    assert answer["id"] == "microsoft/Phi-4-mini-instruct-onnx"


def test_the_gateway_gets_a_certificate_by_acme_and_is_reached_under_its_public_name(rehearsed: Rehearsed) -> None:
    for manifest in (app("behind"), service("app", {80: 8080}), *gateway(CADDY)):
        rehearsed.apply(manifest)
    rehearsed.kube.merge(
        f"/api/v1/namespaces/{NAMESPACE}/services/gateway/status",
        {"status": {"loadBalancer": {"ingress": [{"ip": "10.77.0.10"}]}}},
    )
    rehearsed.when_ready("behind")
    rehearsed.when_ready("gateway")

    certificate, answer = over_tls(rehearsed, b"GET /whoami HTTP/1.0\r\nHost: " + PUBLIC_NAME.encode() + b"\r\n\r\n")

    assert ("DNS", PUBLIC_NAME) in certificate["subjectAltName"]
    assert b" 200 OK" in answer.splitlines()[0]
    assert b'"uid": 10001' in answer


def over_tls(rehearsed: Rehearsed, request: bytes) -> tuple[dict[str, list[tuple[str, str]]], bytes]:
    """A request through the published port, with nothing trusted but the rehearsal's root; retried until it is up."""
    context = ssl.create_default_context(cafile=rehearsed.settings.cache / "ca" / "root.crt")
    while True:
        try:
            with (
                socket.create_connection(("127.0.0.1", rehearsed.settings.ports.https)) as plain,
                context.wrap_socket(plain, server_hostname=PUBLIC_NAME) as connection,
            ):
                connection.sendall(request)
                certificate = connection.getpeercert()
                return certificate, connection.makefile("rb").read()  # type: ignore[return-value]
        except OSError:
            time.sleep(0.2)


def test_a_shared_volume_shows_one_pods_file_to_another(rehearsed: Rehearsed) -> None:
    rehearsed.apply(claim("shared", "azurefile-csi-premium", "ReadWriteMany"))
    for name in ("writer", "reader"):
        rehearsed.apply(app(name, files="shared"))
    for name in ("writer", "reader"):
        rehearsed.when_ready(name)

    assert rehearsed.ask("writer", "PUT", "files/weights", b"7 GB").status_code == 204
    assert rehearsed.ask("reader", "GET", "files/weights").content == b"7 GB"


def test_a_secret_is_mounted_and_a_changed_one_arrives_without_a_restart(rehearsed: Rehearsed) -> None:
    rehearsed.apply(secret_class("keys", "array: ['{objectName: api-keys-default, objectType: secret}']"))
    rehearsed.apply(app("holder", secret="keys"))
    started = rehearsed.when_ready("holder")["status"]["startTime"]
    assert rehearsed.ask("holder", "GET", "secret/api-keys-default").content == b"sk-first"

    rehearsed.azure.secrets["api-keys-default"] = "sk-second"
    while rehearsed.ask("holder", "GET", "secret/api-keys-default").content != b"sk-second":
        time.sleep(0.5)
    assert rehearsed.when_ready("holder")["status"]["startTime"] == started


def test_a_secret_that_is_not_in_the_vault_keeps_the_pod_waiting_and_says_so(rehearsed: Rehearsed) -> None:
    rehearsed.apply(secret_class("lacking", "array: ['{objectName: nothing, objectType: secret}']"))
    rehearsed.apply(app("waiting", secret="lacking"))

    def failed(events: list[dict[str, str]]) -> bool:
        return any("SecretNotFound" in event["message"] for event in events if event["reason"] == "FailedMount")

    while not failed(rehearsed.kube.list(f"/api/v1/namespaces/{NAMESPACE}/events")):
        time.sleep(0.2)
    rehearsed.kube.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/waiting")


def secret_class(name: str, objects: str) -> object:
    parameters = {"clientID": "client", "tenantId": "tenant", "keyvaultName": "kv", "objects": objects}
    return {
        "apiVersion": "secrets-store.csi.x-k8s.io/v1",
        "kind": "SecretProviderClass",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"provider": "azure", "parameters": parameters},
    }


def test_a_killed_component_is_started_again_and_the_node_becomes_ready(rehearsed: Rehearsed) -> None:
    rehearsed.node.kill("scheduler")
    while not any(row.name == "scheduler" and row.restarts == 1 for row in rehearsed.node.status()):
        time.sleep(0.1)
    rehearsed.node.wait_ready()


def test_memory_is_told_for_each_service_and_for_pods(rehearsed: Rehearsed) -> None:
    rehearsed.apply(app("plain"))
    rehearsed.when_ready("plain")
    rows = {row.name: row for row in rehearsed.node.memory_table()}
    assert {"apiserver", "kubelet", "etcd", "supervisor", "pod: python"} <= set(rows)
    assert all(0 < row.proportional_mib <= row.resident_mib for row in rows.values())


def test_the_state_is_kept_over_stop_and_start(rehearsed: Rehearsed) -> None:
    rehearsed.apply(claim("kept", "managed-csi", "ReadWriteOnce"))
    rehearsed.apply(app("keeper", files="kept"))
    rehearsed.when_ready("keeper")
    assert rehearsed.ask("keeper", "PUT", "files/x", b"kept").status_code == 204

    rehearsed.node.stop()
    rehearsed.node.start()
    rehearsed.node.wait_ready()

    while rehearsed.ask("keeper", "GET", "files/x").content != b"kept":
        time.sleep(0.2)


def test_a_start_that_was_cut_off_is_repaired_by_the_next(rehearsed: Rehearsed) -> None:
    rehearsed.node.stop()
    rehearsed.node.start()
    assert rehearsed.node.pid
    os.kill(rehearsed.node.pid, signal.SIGKILL)
    while rehearsed.node.running:
        time.sleep(0.02)

    rehearsed.node.start()
    rehearsed.node.wait_ready()
