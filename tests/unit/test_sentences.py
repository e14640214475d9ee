"""Whatever a stack file gets wrong is said with its place, the cause and the fix, and never in a library's words."""

from typing import Any

import pytest

from stacks.settings import SettingsError, load
from tests.unit.mocks import settings_of


def refusal(path: str, value: object) -> str:
    """What is said of the dev stack's file after one change, such as `servers.onnx.max_length`."""
    settings: dict[str, Any] = settings_of("dev")
    *parents, last = path.split(".")
    place = settings
    for key in parents:
        place = place[key]
    place[last] = value
    with pytest.raises(SettingsError) as error:
        load(settings)
    return str(error.value)


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("servers.onnx.max_length", "4096", "`4096` is of the wrong kind: write a whole number, without quotes"),
        ("servers.onnx.max_length", True, "true is of the wrong kind: write a whole number, without quotes"),
        ("servers.onnx.max_length", 131_073, "`131073` is too large: use at most 131072"),
        ("servers.onnx.replicas", 0, "`0` is too small: use at least 1"),
        ("servers.onnx.resources.cpu_limit", 0, "`0` is too small: use more than 0.0"),
        ("open_webui", "yes", "`yes` is of the wrong kind: write true or false, without quotes"),
        ("cluster.tier", "Gold", "`Gold` is none of the choices: use 'Free' or 'Standard'"),
        ("cluster.pools.cpu.vm_size", "D4", "`D4` is not a VM size: write one such as Standard_D4s_v5"),
        ("hub_endpoint", "http://hub", "`http://hub` is not an address: write one that starts with https://"),
        ("images", {"onnx": "slm"}, "`slm` is not an image: write registry/repository:tag"),
        ("gateway", None, "nothing is of the wrong kind: write keys with values, indented below this one"),
        ("servers", {}, "at least one entry is needed here: add one"),
        ("servers.onnx.engine", "tgi", "`tgi` is none of the choices: use one of 'onnx', 'vllm', 'ollama'"),
        ("cluster.kind", "gke", "`gke` is none of the choices: use one of 'aks', 'existing', 'shared'"),
        ("cluster", {}, "this key is missing: add it"),
        ("xyzzy", 1, "there is no such key: remove it"),
    ],
)
def test_each_kind_of_mistake_has_its_sentence(path: str, value: object, sentence: str) -> None:
    told = refusal(path, value)
    assert told.startswith(path)
    assert told.endswith(f": {sentence}")


def test_an_entry_of_a_list_is_counted() -> None:
    assert refusal("cluster.authorized_ip_ranges", ["203.0.113.0/24", "office"]) == (
        "cluster.authorized_ip_ranges.1: `office` is not an address range: write one such as 203.0.113.0/24"
    )


def test_every_mistake_is_told_at_once() -> None:
    assert len(refusal("servers.onnx.resources", {"cpu": 1}).splitlines()) == 5


def test_the_default_source_of_the_image_is_a_name_that_nobody_can_own() -> None:
    assert load(settings_of("dev")).images.source.startswith("https://git.example/")
