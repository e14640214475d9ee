"""The sizes of Phi-4-mini, and what is said when it does not fit."""

import pytest

from components.serving.catalogue import PHI_4_MINI
from components.serving.onnx import check_fit
from components.serving.sizing import GIB, kv_bytes_per_token, misfit, need
from stacks.settings import OnnxServer, SettingsError, load
from tests.unit.mocks import settings_of


def test_a_token_takes_128_kib_at_16_bits() -> None:
    assert kv_bytes_per_token(PHI_4_MINI, "bf16") == 128 * 1024


def test_the_weights_take_7_15_gib_at_16_bits() -> None:
    assert need(PHI_4_MINI, "bf16", 64, 1).weights_bytes / GIB == pytest.approx(7.15, abs=0.01)


def test_the_whole_context_takes_16_gib_of_cache() -> None:
    assert need(PHI_4_MINI, "bf16", 131_072, 1).kv_cache_bytes == 16 * GIB


def test_what_fits_is_not_talked_about() -> None:
    assert misfit(PHI_4_MINI, "int4", 4096, 1, 8) is None


def test_what_does_not_fit_is_said_with_two_ways_out() -> None:
    problem = misfit(PHI_4_MINI, "bf16", 8192, 8, 8)
    assert problem is not None
    assert "needs 16.1 GiB" in problem
    assert "raise the limit to 17 GiB" in problem


def test_the_way_out_leads_out() -> None:
    problem = misfit(PHI_4_MINI, "int4", 65_536, 1, 8)
    assert problem is not None
    length = int(problem.rpartition("a length of ")[2].split()[0].replace(",", ""))
    assert misfit(PHI_4_MINI, "int4", length, 1, 8) is None
    assert misfit(PHI_4_MINI, "int4", length * 2, 1, 8) is not None


def test_more_than_the_models_context_never_fits() -> None:
    assert "at most 131,072" in str(misfit(PHI_4_MINI, "int4", 131_073, 1, 4096))


def test_a_stack_whose_model_does_not_fit_is_refused() -> None:
    settings = settings_of("dev")
    settings["servers"]["onnx"]["max_length"] = 32_768
    server = load(settings).servers["onnx"]
    assert isinstance(server, OnnxServer)
    with pytest.raises(SettingsError, match=r"servers\.onnx: .* would be killed"):
        check_fit("onnx", server)
