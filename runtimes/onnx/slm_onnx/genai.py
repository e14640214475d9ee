"""onnxruntime-genai through its C interface: a model, its tokenizer and a generator.

The Python bindings of the same library hold the interpreter's lock while they compute: during a prompt's prefill (ten
seconds for 7,500 tokens of a tiny model, minutes for a real one on few cores) no health probe would be answered and no
request could be cancelled. `ctypes` releases the lock around each call. Owns nothing but that: which thread may call
what is `slm_onnx.worker`'s business.
"""

import ctypes
import importlib.util
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read when the library is loaded: its official builds report usage otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

PREFILL_CHUNK_TOKENS = 256
"""The logits of every prompt token are computed: 256 of them at a vocabulary of 200,064 are 0.2 GB, 4,096 are 3.3."""

UNCHUNKED_ABOVE_TOKENS = 4096
"""Phi-3's rope changes its factors above 4,096 tokens (`original_max_position_embeddings`), and the keys of a prompt
must all be made with the same ones: a prompt that crosses it is appended whole."""

_Handle = ctypes.c_void_p
_Text = ctypes.c_char_p
_Tokens = ctypes.POINTER(ctypes.c_int32)
_Size = ctypes.c_size_t
_FALLIBLE: dict[str, list[Any]] = {
    "OgaCreateConfig": [_Text, ctypes.POINTER(_Handle)],
    "OgaConfigOverlay": [_Handle, _Text],
    "OgaCreateModelFromConfig": [_Handle, ctypes.POINTER(_Handle)],
    "OgaCreateTokenizer": [_Handle, ctypes.POINTER(_Handle)],
    "OgaCreateSequences": [ctypes.POINTER(_Handle)],
    "OgaTokenizerEncode": [_Handle, _Text, _Handle],
    "OgaTokenizerToTokenId": [_Handle, _Text, _Tokens],
    "OgaTokenizerApplyChatTemplate": [_Handle, _Text, _Text, _Text, ctypes.c_bool, ctypes.POINTER(_Handle)],
    "OgaCreateTokenizerStream": [_Handle, ctypes.POINTER(_Handle)],
    "OgaTokenizerStreamDecode": [_Handle, ctypes.c_int32, ctypes.POINTER(_Text)],
    "OgaCreateGeneratorParams": [_Handle, ctypes.POINTER(_Handle)],
    "OgaGeneratorParamsSetSearchNumber": [_Handle, _Text, ctypes.c_double],
    "OgaGeneratorParamsSetSearchBool": [_Handle, _Text, ctypes.c_bool],
    "OgaCreateGenerator": [_Handle, _Handle, ctypes.POINTER(_Handle)],
    "OgaGenerator_AppendTokens": [_Handle, _Tokens, _Size],
    "OgaGenerator_GenerateNextToken": [_Handle],
    "OgaGenerator_GetNextTokens": [_Handle, ctypes.POINTER(_Tokens), ctypes.POINTER(_Size)],
    "OgaGenerator_SetRuntimeOption": [_Handle, _Text, _Text],
}
"""The functions that answer an error or nothing (`ort_genai_c.h`), with their arguments."""

_BRIEF = frozenset({"OgaTokenizerStreamDecode", "OgaGenerator_GetNextTokens"})
"""Called for each token and done in a microsecond: to give the interpreter's lock away for them costs more."""

_PLAIN: dict[str, tuple[Any, list[Any]]] = {
    "OgaResultGetError": (_Text, [_Handle]),
    "OgaSequencesGetSequenceCount": (_Size, [_Handle, _Size]),
    "OgaSequencesGetSequenceData": (_Tokens, [_Handle, _Size]),
    **{
        f"OgaDestroy{kind}": (None, [_Handle])
        for kind in (
            "Config",
            "Generator",
            "GeneratorParams",
            "Model",
            "Result",
            "Sequences",
            "String",
            "Tokenizer",
            "TokenizerStream",
        )
    },
}


class GenaiError(Exception):
    """The library's own words on what went wrong."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is chosen. A `temperature` of 0 means the likeliest one, always."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None


class Model:
    """A model folder, loaded. Free of threads of its own, but the library computes with `threads` of them.

    Raises:
        GenaiError: if the folder holds no model that the library can load.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._library = _library()
        config = self._library.create("Config", str(folder).encode())
        session = {"intra_op_num_threads": threads}
        overlay = {"model": {"decoder": {"session_options": session}}}
        try:
            self._library.call("OgaConfigOverlay", config, json.dumps(overlay).encode())
            self._handle = self._library.create("ModelFromConfig", config)
        finally:
            self._library.plain.OgaDestroyConfig(config)

    def tokenizer(self) -> "Tokenizer":
        """A tokenizer of its own: the library allows one thread to each."""
        return Tokenizer(self._library, self._library.create("Tokenizer", self._handle))

    def generator(self, *, max_length: int, sampling: Sampling) -> "Generator":
        """A new sequence of at most `max_length` tokens, prompt included."""
        parameters = self._library.create("GeneratorParams", self._handle)
        try:
            self._library.call("OgaGeneratorParamsSetSearchNumber", parameters, b"max_length", float(max_length))
            self._set_sampling(parameters, sampling)
            return Generator(self._library, self._library.create("Generator", self._handle, parameters))
        finally:
            self._library.plain.OgaDestroyGeneratorParams(parameters)

    def close(self) -> None:
        """Give the memory back. No tokenizer or generator of this model may be used after it."""
        self._library.plain.OgaDestroyModel(self._handle)

    def _set_sampling(self, parameters: _Handle, sampling: Sampling) -> None:
        sampled = sampling.temperature > 0 and sampling.top_p > 0
        self._library.call("OgaGeneratorParamsSetSearchBool", parameters, b"do_sample", sampled)
        if not sampled:
            return
        numbers = {b"temperature": sampling.temperature, b"top_p": sampling.top_p}
        if sampling.seed is not None:
            # The library's seed is a C int, of which -1 means none.
            numbers[b"random_seed"] = float(sampling.seed & 0x7FFFFFFF)
        for name, value in numbers.items():
            self._library.call("OgaGeneratorParamsSetSearchNumber", parameters, name, value)


class Tokenizer:
    """Text to tokens and back. One thread at a time."""

    def __init__(self, library: "_Library", handle: _Handle) -> None:
        self._library = library
        self._handle = handle

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, special ones such as `<|end|>` included."""
        sequences = self._library.create("Sequences")
        try:
            self._library.call("OgaTokenizerEncode", self._handle, _c_text(text), sequences)
            count = self._library.plain.OgaSequencesGetSequenceCount(sequences, 0)
            return self._library.plain.OgaSequencesGetSequenceData(sequences, 0)[:count]
        finally:
            self._library.plain.OgaDestroySequences(sequences)

    def token_id(self, text: str) -> int:
        """The one token that this text is, or -1."""
        token = ctypes.c_int32()
        self._library.call("OgaTokenizerToTokenId", self._handle, text.encode(), ctypes.byref(token))
        return token.value

    def chat(self, messages: Sequence[dict[str, Any]]) -> str:
        """The messages in the form of the model's own chat template, up to where the assistant answers."""
        out = _Handle()
        written = json.dumps(messages, ensure_ascii=False)
        self._library.call(
            "OgaTokenizerApplyChatTemplate", self._handle, None, _c_text(written), None, True, ctypes.byref(out)
        )
        try:
            return (ctypes.cast(out, _Text).value or b"").decode()
        finally:
            self._library.plain.OgaDestroyString(out)

    def stream(self) -> "TokenStream":
        """A decoder of one sequence, token by token."""
        return TokenStream(self._library, self._library.create("TokenizerStream", self._handle))

    def close(self) -> None:
        """Give the memory back."""
        self._library.plain.OgaDestroyTokenizer(self._handle)


class TokenStream:
    """Decodes tokens one by one; a character of several tokens comes with its last one."""

    def __init__(self, library: "_Library", handle: _Handle) -> None:
        self._library = library
        self._handle = handle
        self._out = _Text()
        self._out_reference = ctypes.byref(self._out)
        self._decode = library.fallible("OgaTokenizerStreamDecode")

    def decode(self, token: int) -> str:
        """The text that this token completes; empty in the middle of a character and for a special token."""
        self._decode(self._handle, token, self._out_reference)
        return (self._out.value or b"").decode(errors="replace")

    def close(self) -> None:
        """Give the memory back."""
        self._library.plain.OgaDestroyTokenizerStream(self._handle)


class Generator:
    """One sequence in the making. One thread generates; any thread may `terminate`."""

    def __init__(self, library: "_Library", handle: _Handle) -> None:
        self._library = library
        self._handle: _Handle | None = handle
        self._lock = threading.Lock()
        self._tokens = _Tokens()
        self._count = _Size()
        self._out = (ctypes.byref(self._tokens), ctypes.byref(self._count))
        self._generate = library.fallible("OgaGenerator_GenerateNextToken")
        self._next = library.fallible("OgaGenerator_GetNextTokens")

    def append(self, tokens: Sequence[int]) -> None:
        """Read a prompt (the prefill). Raises GenaiError, also when it was terminated."""
        step = PREFILL_CHUNK_TOKENS if len(tokens) <= UNCHUNKED_ABOVE_TOKENS else len(tokens)
        for start in range(0, len(tokens), step):
            chunk = tokens[start : start + step]
            array = (ctypes.c_int32 * len(chunk))(*chunk)
            self._library.call("OgaGenerator_AppendTokens", self._handle, array, len(chunk))

    def next_token(self) -> int:
        """Generate one token. Raises GenaiError, also when it was terminated."""
        self._generate(self._handle)
        self._next(self._handle, *self._out)
        return self._tokens[0]

    def terminate(self) -> None:
        """End a computation that runs in another thread; that thread gets a GenaiError. Nothing happens once closed."""
        with self._lock:
            if self._handle is not None:
                self._library.call("OgaGenerator_SetRuntimeOption", self._handle, b"terminate_session", b"1")

    def close(self) -> None:
        """Give the memory of the sequence back."""
        with self._lock:
            handle, self._handle = self._handle, None
        if handle is not None:
            self._library.plain.OgaDestroyGenerator(handle)


class _Library:
    """The shared library with its functions declared, and its error results made exceptions."""

    def __init__(self, path: Path) -> None:
        self.plain = ctypes.CDLL(str(path))
        self._brief = ctypes.PyDLL(str(path))
        for name, (result, arguments) in _PLAIN.items():
            function = getattr(self.plain, name)
            function.restype, function.argtypes = result, arguments
        self._fallible = {name: self._checked(name, arguments) for name, arguments in _FALLIBLE.items()}

    def fallible(self, name: str) -> Any:
        """A function of the library that raises GenaiError."""
        return self._fallible[name]

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of the library. Raises GenaiError."""
        self._fallible[name](*arguments)

    def create(self, kind: str, *arguments: Any) -> _Handle:
        """Make an object of the library. Raises GenaiError."""
        out = _Handle()
        self._fallible[f"OgaCreate{kind}"](*arguments, ctypes.byref(out))
        return out

    def _checked(self, name: str, arguments: list[Any]) -> Any:
        function = getattr(self._brief if name in _BRIEF else self.plain, name)
        function.argtypes = arguments
        function.restype = _Handle
        function.errcheck = self._raise_on_error
        return function

    def _raise_on_error(self, result: int | None, _function: object, _arguments: object) -> None:
        if result is None:
            return
        message: bytes = self.plain.OgaResultGetError(result)
        self.plain.OgaDestroyResult(result)
        raise GenaiError(message.decode(errors="replace"))


def _c_text(text: str) -> bytes:
    """As a C string. A null character inside would end it; half a surrogate pair has no bytes at all."""
    return text.replace("\0", "\ufffd").encode(errors="replace")


_loaded: list[_Library] = []


def _library() -> _Library:
    """The library, loaded once; importing the package has its own dependencies found and loaded first."""
    if not _loaded:
        import onnxruntime_genai  # noqa: F401  # pyright: ignore[reportMissingTypeStubs, reportUnusedImport]

        spec = importlib.util.find_spec("onnxruntime_genai")
        if spec is None or spec.origin is None:
            raise GenaiError("The package onnxruntime-genai is not installed")
        _loaded.append(_Library(Path(spec.origin).parent / "libonnxruntime-genai.so"))
    return _loaded[0]
