"""Every stack file parses; whatever is wrong in one is a sentence with the place, the cause and the fix."""

from typing import Any

import pytest

from stacks.settings import SettingsError, load
from tests.unit.mocks import settings_of

STACKS = ["compare", "dev", "edge", "preview", "prod-cpu", "prod-gpu"]


def refusal(change: dict[str, Any], stack: str = "dev") -> str:
    """What is said of a stack file after a change: `{"servers.onnx.max_length": 5}`."""
    settings = settings_of(stack)
    for path, value in change.items():
        *parents, last = path.split(".")
        place = settings
        for key in parents:
            place = place[key]
        place[last] = value
    with pytest.raises(SettingsError) as error:
        load(settings)
    return str(error.value)


@pytest.mark.parametrize("stack", STACKS)
def test_the_stack_files_parse(stack: str) -> None:
    assert load(settings_of(stack)).servers


def test_an_unknown_key_is_answered_with_the_closest_one() -> None:
    assert refusal({"servers.onnx.max_lenght": 5}) == (
        "servers.onnx.max_lenght: there is no such key; did you mean `max_length`?"
    )


def test_another_engines_key_is_said_to_be_one() -> None:
    assert refusal({"servers.onnx.num_parallel": 4}) == (
        "servers.onnx.num_parallel: this key belongs to another kind of section: remove it here"
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("servers.onnx.max_length", "4096"),
        ("servers.onnx.max_length", True),
        ("servers.onnx.max_length", 131_073),
        ("servers.onnx.replicas", 0),
        ("servers.onnx.resources.memory_limit_gib", -1),
        ("gateway", {"max_body_mib": 0}),
        ("cluster.pools.cpu.vm_size", "D4"),
        ("cluster.kubernetes_version", "latest"),
        ("servers.onnx.engine", "tgi"),
        ("cluster.kind", "gke"),
        ("images", {"onnx": "no image"}),
    ],
)
def test_a_wrong_value_is_named_with_its_place(path: str, value: object) -> None:
    assert refusal({path: value}).startswith(path)


def test_awq_needs_a_checkpoint() -> None:
    assert "AWQ weights" in refusal({"servers.vllm.quantization": "awq"}, "prod-gpu")


def test_a_server_needs_a_pool_that_exists() -> None:
    assert "Pending for ever" in refusal({"servers.onnx.pool": "gpu"})


def test_a_request_stays_within_its_limit() -> None:
    assert "raise the limit" in refusal({"servers.onnx.resources.memory_request_gib": 9})


def test_bounds_are_in_order() -> None:
    assert "min_count 5 is above max_count 2" in refusal({"cluster.pools.cpu.min_count": 5})


def test_a_server_is_not_called_like_a_route() -> None:
    settings = settings_of("dev")
    settings["servers"] = {"health": settings["servers"]["onnx"]}
    with pytest.raises(SettingsError, match="choose another name"):
        load(settings)


def test_a_default_server_exists() -> None:
    assert "name one of onnx" in refusal({"default_server": "vllm"})


@pytest.mark.parametrize("raw", [None, [], "settings", {}])
def test_nonsense_is_a_sentence_too(raw: object) -> None:
    with pytest.raises(SettingsError):
        load(raw)
