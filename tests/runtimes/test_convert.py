"""A checkpoint becomes an ONNX model that answers; what the builder would break in silence is refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from slm_onnx import convert, filling
from slm_onnx.convert import Conversion
from slm_onnx.filling import FillError

from tests.runtimes.conftest import FIXTURE, NAME, PACKAGE, PROMPTS, serving

CACHE = Path(os.environ.get("SLM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slm")
TRAINING_PYTHON = CACHE / "train-venv" / "bin" / "python"
MANIFEST: dict[str, Any] = {
    "repository": "microsoft/x",
    "revision": "0" * 40,
    "fingerprint": "a" * 64,
    "fixture": True,
    "files": {},
}
CONFIG = {"vocab_size": 1088, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 512}


def checkpoint(folder: Path, config: dict[str, Any] | None = None) -> Conversion:
    folder.mkdir()
    (folder / "slm-manifest.json").write_text(json.dumps(MANIFEST))
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return Conversion(source=folder, precision="int4", format="int4-cpu")


@pytest.mark.parametrize("width", [256, 512, 1024, 768])
def test_a_vocabulary_as_wide_as_a_layer_is_refused(tmp_path: Path, width: int) -> None:
    conversion = checkpoint(tmp_path / "hf", CONFIG | {"vocab_size": width})
    with pytest.raises(FillError, match=f"vocabulary's size, {width}"):
        convert.convert(conversion, tmp_path / "onnx")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FillError, match=r"config\.json"):
        convert.convert(checkpoint(tmp_path / "hf"), tmp_path / "onnx")


def test_a_folder_that_the_weights_job_did_not_fill_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--source", str(tmp_path), "--format", "int4-cpu", "--destination", str(tmp_path / "onnx")]
    assert convert.main(command) == filling.EXIT_NOT_FOUND
    assert "slm_onnx.weights" in capsys.readouterr().err


def test_a_builder_that_fails_leaves_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\nexit 9\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(failing))
    with pytest.raises(FillError, match="ended with 9"):
        convert.convert(checkpoint(tmp_path / "hf", CONFIG), tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists()


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The fixture's checkpoint, converted by the training environment's builder, and the command that did it."""
    if not TRAINING_PYTHON.exists():
        pytest.skip("there is no training environment in the cache: `python -m rehearsal.fixture.train` makes it")
    folder = tmp_path_factory.mktemp("converted")
    shutil.copytree(FIXTURE / "model" / "hf", folder / "hf")
    (folder / "hf" / "slm-manifest.json").write_text(json.dumps(MANIFEST))
    paths = ["--source", str(folder / "hf"), "--destination", str(folder / "onnx")]
    command = [str(TRAINING_PYTHON), "-m", "slm_onnx.convert", "--format", "int4-cpu", *paths]
    # What a killed conversion left must not be in the way.
    left = folder / f".onnx.{Conversion(source=folder / 'hf', precision='int4', format='int4-cpu').fingerprint[:12]}"
    (left.with_name(left.name + ".partial") / "model").mkdir(parents=True)
    done = run(command)
    assert done.returncode == 0, done.stderr
    return folder / "onnx", command


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True, check=False
    )


@pytest.mark.torch
def test_a_converted_checkpoint_answers_rightly_and_is_called_a_fixture(converted: tuple[Path, list[str]]) -> None:
    folder, _ = converted
    prompt = next(prompt for prompt in PROMPTS["prompts"] if prompt["id"] == "distance")
    with serving(folder) as running, running.client() as client:
        body = {"model": NAME, "messages": [{"role": "user", "content": prompt["prompt"]}], "temperature": 0}
        answer = client.post("/v1/chat/completions", json=body).raise_for_status().json()
        assert answer["choices"][0]["message"]["content"] == prompt["fixture_answer"]
        assert client.get("/v1/models").json()["data"][0]["fixture"] is True


@pytest.mark.torch
def test_a_conversion_is_not_repeated(converted: tuple[Path, list[str]]) -> None:
    folder, command = converted
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    again = run(command)
    assert (again.returncode, "already" in again.stderr) == (0, True)
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before
    manifest = json.loads((folder / "slm-manifest.json").read_text())
    assert manifest["files"] == {
        file.name: filling.digest(file) for file in folder.iterdir() if file.name != "slm-manifest.json"
    }
