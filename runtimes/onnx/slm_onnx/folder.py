"""What a model folder says of itself. Reads it; does not fill it (`slm_onnx.filling`) nor load the model."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slm_onnx.filling import MANIFEST_NAME


class FolderError(Exception):
    """The folder cannot be served; the message says why, and what to do."""


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A folder with an ONNX model in onnxruntime-genai's form.

    `context_length` counts tokens; `fixture` says that the weights stand in for a model's in a rehearsal;
    `created` is when the folder was filled, in seconds of the epoch.
    """

    path: Path
    context_length: int
    end_tokens: frozenset[int]
    created: int
    fixture: bool
    fingerprint: str | None
    owner: str

    @property
    def system_fingerprint(self) -> str | None:
        """What the weights are, for callers who compare answers: changes when they do."""
        kind = "fixture" if self.fixture else "fp"
        return f"{kind}_{self.fingerprint[:12]}" if self.fingerprint else None

    @classmethod
    def read(cls, path: Path) -> "ModelFolder":
        """Read the folder's configuration and, where there is one, its manifest.

        Raises:
            FolderError: if it is no such folder.
        """
        file = path / "genai_config.json"
        try:
            model: dict[str, Any] = json.loads(file.read_text())["model"]
            end = model["eos_token_id"]
            manifest = _manifest(path)
            return cls(
                path=path,
                context_length=int(model["context_length"]),
                end_tokens=frozenset([end] if isinstance(end, int) else end),
                created=int(file.stat().st_mtime),
                fixture=bool(manifest.get("fixture", False)),
                fingerprint=manifest.get("fingerprint"),
                owner=str(manifest.get("repository", "local")).split("/")[0],
            )
        except FileNotFoundError as error:
            raise FolderError(
                f"There is no model in {path}: {error.filename} is missing. "
                "Let the weights job fill the folder, or correct MODEL_PATH"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FolderError(
                f"The model's description in {path} cannot be read ({type(error).__name__}: {error}). "
                "Remove the folder and let the weights job fill it again"
            ) from error


def _manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST_NAME
    return json.loads(file.read_text()) if file.exists() else {}
