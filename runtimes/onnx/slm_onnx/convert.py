"""`python -m slm_onnx.convert`: make an ONNX model of a downloaded checkpoint, once.

Runs onnxruntime-genai's model builder (int4 in blocks of 32, accuracy level 4) in a process of its own, then loads the
result and has it generate. Needs torch and transformers, which only the converter's image has. A conversion that was
killed begins again; one that is done is not repeated.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from slm_onnx.filling import (
    EXIT_CORRUPT,
    EXIT_NOT_FOUND,
    FIXTURE_MARKER_NAME,
    MANIFEST_NAME,
    FillError,
    Manifest,
    digest,
    fill,
    fingerprint,
    read_manifest,
    report,
    say,
)
from slm_onnx.genai import GenaiError, Model, Sampling

Precision = Literal["int4", "fp16", "fp32"]
PRECISIONS: tuple[Precision, ...] = ("int4", "fp16", "fp32")
INT4_OPTIONS = ("int4_block_size=32", "int4_accuracy_level=4")
"""Accuracy level 4 computes with int8 activations: clearly faster on CPUs than the default."""

KILLED = -9


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A checkpoint folder that the weights job filled, and what to make of it."""

    source: Path
    precision: Precision
    format: str

    @property
    def manifest(self) -> dict[str, Any]:
        """The checkpoint's own manifest. Raises FillError if the folder was not filled by the weights job."""
        found = read_manifest(self.source)
        if found is None:
            raise FillError(
                f"{self.source} has no {MANIFEST_NAME}",
                "Download the checkpoint with `python -m slm_onnx.weights` first",
                EXIT_NOT_FOUND,
            )
        return found

    @property
    def fingerprint(self) -> str:
        """Changes with the checkpoint, the precision and the builder."""
        return fingerprint(
            source=self.manifest["fingerprint"],
            precision=self.precision,
            format=self.format,
            options=" ".join(INT4_OPTIONS),
            builder=version("onnxruntime-genai"),
        )


def convert(conversion: Conversion, destination: Path) -> bool:
    """Fill the destination; False if it was filled already.

    Raises:
        FillError: with an exit code for its cause.
    """
    return fill(destination, conversion.fingerprint, lambda working: _convert(conversion, working))


def main(argv: Sequence[str]) -> int:
    """Run the command: 0, or the exit code of the error that it explained."""
    options = _options(argv)

    def run() -> None:
        conversion = Conversion(source=options.source, precision=options.precision, format=options.format)
        done = convert(conversion, options.destination)
        say(f"{options.destination} is filled" if done else f"{options.destination} was filled already")

    return report(run)


def _convert(conversion: Conversion, working: Path) -> Manifest:
    manifest = conversion.manifest
    _refuse_what_breaks_in_silence(conversion.source)
    # The builder cannot go on with what a killed one left.
    shutil.rmtree(working)
    model = working / "model"
    model.mkdir(parents=True)
    _build(conversion, model, cache=working / "cache")
    _try(model)
    shutil.rmtree(working / "cache", ignore_errors=True)
    for file in list(model.iterdir()):
        file.rename(working / file.name)
    model.rmdir()
    fixture = bool(manifest["fixture"])
    if fixture:
        shutil.copyfile(conversion.source / FIXTURE_MARKER_NAME, working / FIXTURE_MARKER_NAME)
    files = sorted(file for file in working.rglob("*") if file.is_file())
    return Manifest(
        repository=manifest["repository"],
        revision=manifest["revision"],
        format=conversion.format,
        files={file.relative_to(working).as_posix(): digest(file) for file in files},
        fingerprint=conversion.fingerprint,
        fixture=fixture,
    )


def _build(conversion: Conversion, model: Path, cache: Path) -> None:
    command = [
        *(sys.executable, "-m", "onnxruntime_genai.models.builder"),
        *("-i", str(conversion.source), "-o", str(model), "-c", str(cache)),
        *("-p", conversion.precision, "-e", "cpu"),
        *(("--extra_options", *INT4_OPTIONS) if conversion.precision == "int4" else ()),
    ]
    say(f"converting {conversion.source} to {conversion.precision}")
    # Everything is in the folder already: a builder that asks the hub would ask without being told to.
    offline = {"HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, env=os.environ | offline, stdout=sys.stderr, check=False)
    if done.returncode == KILLED:
        raise FillError(
            "The model builder was killed, most likely for its memory",
            "Give the job more memory: about three times the checkpoint's size",
        )
    if done.returncode != 0:
        raise FillError(f"The model builder ended with {done.returncode}", "Its output above says why")


def _try(folder: Path) -> None:
    """Load what was built and have it generate a token. Raises FillError."""
    try:
        model = Model(folder, threads=1)
        generator = model.generator(max_length=8, sampling=Sampling())
        generator.append([0, 1])
        generator.next_token()
        generator.close()
        model.close()
    except GenaiError as error:
        raise FillError(
            f"The converted model does not run ({error})", "Report this checkpoint", EXIT_CORRUPT
        ) from error


def _refuse_what_breaks_in_silence(source: Path) -> None:
    """The builder takes any layer as wide as the vocabulary for the last one, and writes a broken model without a word.

    Raises:
        FillError: for such a checkpoint, or one without a readable configuration.
    """
    try:
        config: dict[str, Any] = json.loads((source / "config.json").read_text())
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        head = config.get("head_dim") or hidden // heads
        key_value = config.get("num_key_value_heads", heads) * head
        intermediate = config["intermediate_size"]
        widths = {hidden, intermediate, 2 * intermediate, heads * head, key_value, heads * head + 2 * key_value}
        vocabulary = config["vocab_size"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FillError(
            f"{source / 'config.json'} does not describe a decoder model ({type(error).__name__})",
            "Convert a checkpoint in Hugging Face's form",
            EXIT_NOT_FOUND,
        ) from error
    if vocabulary in widths:
        raise FillError(
            f"The vocabulary's size, {vocabulary}, is also a layer's width, which the builder mistakes for the last "
            "layer",
            "Pad the vocabulary",
            EXIT_CORRUPT,
        )


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m slm_onnx.convert", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--source", required=True, type=Path, help="the checkpoint, as the weights job left it")
    parser.add_argument("--precision", choices=PRECISIONS, default="int4")
    parser.add_argument("--format", required=True, help="what the result is, such as int4-cpu; for the manifest")
    parser.add_argument("--destination", required=True, type=Path)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
