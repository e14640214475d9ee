"""VM sizes: numbers that Azure publishes."""

import pytest

from rehearsal.control.machines import Machine, machine


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("Standard_D4s_v5", Machine(4, 16, 0)),
        ("Standard_D2ls_v5", Machine(2, 4, 0)),
        ("Standard_D8ads_v6", Machine(8, 32, 0)),
        ("Standard_E16-4ads_v5", Machine(16, 128, 0)),
        ("Standard_F8s_v2", Machine(8, 16, 0)),
        ("Standard_B2s", Machine(2, 4, 0)),
        ("Standard_NC4as_T4_v3", Machine(4, 28, 1)),
        ("Standard_NC24ads_A100_v4", Machine(24, 220, 1)),
        ("Standard_NV36ads_A10_v5", Machine(36, 440, 1)),
    ],
)
def test_a_size_has_what_azure_says(size: str, expected: Machine) -> None:
    assert machine(size) == expected


@pytest.mark.parametrize("size", ["", "Standard_Z9_v1", "Standard_NC6", "D4s_v5"])
def test_a_size_that_is_not_known_is_no_machine(size: str) -> None:
    assert machine(size) is None


def test_a_large_machine_keeps_memory_by_the_pod_and_a_small_one_a_quarter() -> None:
    assert Machine(2, 8, 0).allocatable(250)["memory"] == f"{8192 * 3 // 4 - 100}Mi"
    assert Machine(24, 220, 1).allocatable(250)["memory"] == f"{220 * 1024 - (20 * 250 + 50) - 100}Mi"
    assert Machine(24, 220, 1).allocatable(30)["memory"] == f"{220 * 1024 - (20 * 30 + 50) - 100}Mi"


@pytest.mark.parametrize(("vcpus", "millicores"), [(1, 940), (2, 1900), (4, 3860), (24, 23740), (96, 95260)])
def test_cores_that_kubernetes_keeps_grow_with_the_machine(vcpus: int, millicores: int) -> None:
    assert Machine(vcpus, 16, 0).allocatable(250)["cpu"] == f"{millicores}m"
