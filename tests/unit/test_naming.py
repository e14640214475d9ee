"""Names keep Azure's rules whatever the stack is called, and change exactly when they must."""

import re

import pytest

from components.platform.naming import pool_name, shared_name, vault_stem

STACKS = ["dev", "prod-cpu", "a-very-long-name-of-a-team", "Team_A.preview--7", "x" * 16 + "-y"]


@pytest.mark.parametrize("stack", STACKS)
def test_a_vault_takes_the_name_of_any_stack(stack: str) -> None:
    name = f"{vault_stem(f'slm-{stack}')}0123abcd"  # as Pulumi completes it
    assert re.fullmatch(r"[a-z][a-z0-9-]{1,22}[a-z0-9]", name)
    assert "--" not in name


@pytest.mark.parametrize("stack", STACKS)
def test_a_registry_takes_the_name_of_any_stack(stack: str) -> None:
    assert re.fullmatch(r"[a-z0-9]{5,24}", shared_name(f"slm-{stack}", "sub", separator=""))


def test_a_name_is_the_same_at_every_run_and_another_in_another_subscription() -> None:
    assert re.fullmatch(r"slm-dev-[0-9a-f]{6}", shared_name("slm-dev", "one"))
    assert shared_name("slm-dev", "one") == shared_name("slm-dev", "one") != shared_name("slm-dev", "other")


def test_stacks_whose_names_are_cut_alike_are_told_apart() -> None:
    assert shared_name("slm-a-very-long-name-one", "sub") != shared_name("slm-a-very-long-name-two", "sub")


def test_a_pools_name_has_12_letters_and_digits_at_most() -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]{0,11}", pool_name("gpu-on-demand-a100", "Standard_NC24ads_A100_v4", True))


def test_pools_whose_names_are_cut_alike_are_told_apart() -> None:
    assert pool_name("production-a", "Standard_D4s_v5") != pool_name("production-b", "Standard_D4s_v5")
