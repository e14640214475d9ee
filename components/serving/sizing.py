"""Does a model fit: a pure function from model, precision, length and concurrency to bytes, and what to change if not.

needed = weights + KV cache + overhead
weights  = parameters x bits / 8; at int4 each block of 32 weights carries a 16-bit scale, and the embedding and the
           output layer stay at 16 bits in the published files (tied in the model, two tables in an ONNX folder)
KV cache = 2 (keys and values) x layers x KV heads x head size x bytes x tokens x sequences
           (for Phi-4-mini at 16 bits 2 x 32 x 8 x 128 x 2 = 131,072 bytes = 128 KiB a token)
overhead = 1 GiB: runtime, activations, tokenizer (measured for the three engines in the guide's profiles)
"""

from dataclasses import dataclass

from components.serving.catalogue import Model

GIB = 2**30
OVERHEAD_BYTES = GIB
BITS = {"int4": 4.5, "fp16": 16.0, "bf16": 16.0, "fp32": 32.0}
"""Bits for each weight; int4 with its block's scale: 4 + 16 / 32."""
KV_BYTES = {"int4": 4, "fp16": 2, "bf16": 2, "fp32": 4}
"""Bytes of one number in the KV cache: the int4 files for CPUs compute, and cache, in 32 bits."""


@dataclass(frozen=True)
class Need:
    """What one server needs of memory, in bytes."""

    weights_bytes: int
    kv_cache_bytes: int
    overhead_bytes: int = OVERHEAD_BYTES

    @property
    def total_gib(self) -> float:
        """All of it, in GiB."""
        return (self.weights_bytes + self.kv_cache_bytes + self.overhead_bytes) / GIB


def kv_bytes_per_token(model: Model, precision: str) -> int:
    """What one token of one sequence keeps in the cache."""
    return 2 * model.layers * model.kv_heads * model.head_size * KV_BYTES[precision]


def need(model: Model, precision: str, tokens: int, sequences: int) -> Need:
    """The memory of a server that holds `sequences` of `tokens` at once."""
    tables = model.vocabulary * model.hidden
    if precision == "int4":
        weights = (model.parameters - tables) * BITS[precision] / 8 + 2 * tables * 2
    else:
        weights = model.parameters * BITS[precision] / 8
    return Need(int(weights), kv_bytes_per_token(model, precision) * tokens * sequences)


def misfit(model: Model, precision: str, tokens: int, sequences: int, limit_gib: float) -> str | None:
    """Why it does not fit into a limit, with what would; None if it fits."""
    if tokens > model.context_tokens:
        return f"{tokens:,} tokens are more than {model.name} was made for: at most {model.context_tokens:,}"
    wanted = need(model, precision, tokens, sequences)
    if wanted.total_gib <= limit_gib:
        return None
    fitting = _longest(model, precision, sequences, limit_gib)
    shorter = f", or a length of {fitting:,} tokens" if fitting else ""
    return (
        f"{model.name} in {precision} with {tokens:,} tokens x {sequences} sequences needs {wanted.total_gib:.1f} GiB, "
        f"but the memory limit is {limit_gib:g} GiB and the container would be killed: "
        f"raise the limit to {int(wanted.total_gib) + 1} GiB{shorter}"
    )


def _longest(model: Model, precision: str, sequences: int, limit_gib: float) -> int:
    """The largest power of two of tokens that fits; 0 if none does."""
    lengths = [2**power for power in range(6, 18)]
    return max((n for n in lengths if need(model, precision, n, sequences).total_gib <= limit_gib), default=0)
