"""The models that a stack can serve: where their weights are, pinned, and the numbers that decide their memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Weights:
    """Files of one format at one revision (a full commit hash) of a Hugging Face repository, or of a folder in it."""

    repository: str
    revision: str
    subfolder: str = ""


@dataclass(frozen=True)
class Model:
    """One model. Sizes are in its own units: parameters, layers, heads, tokens."""

    name: str
    parameters: int
    layers: int
    kv_heads: int
    head_size: int
    vocabulary: int
    hidden: int
    context_tokens: int
    checkpoint: Weights
    published: Mapping[str, Weights] = field(default_factory=dict[str, Weights])
    """Weights that somebody has converted already, by precision."""


PHI_4_MINI = Model(
    # config.json of the checkpoint; the revision is the one that KAITO's catalogue pins.
    name="phi-4-mini-instruct",
    parameters=3_836_000_000,
    layers=32,
    kv_heads=8,
    head_size=128,
    vocabulary=200_064,
    hidden=3072,
    context_tokens=131_072,
    checkpoint=Weights("microsoft/Phi-4-mini-instruct", "c0fb9e74abda11b496b7907a9c6c9009a7a0488f"),
    published={
        "int4": Weights(
            "microsoft/Phi-4-mini-instruct-onnx",
            "fc04c8f93df696602fd9f300a30d1bf2e3081347",
            "cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4",
        )
    },
)
MODELS = {model.name: model for model in (PHI_4_MINI,)}
