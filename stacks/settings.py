"""What a stack file may say, and what it would mean in the cloud if it were wrong.

Owns the types, their defaults and the rules between fields. Secrets never enter the model: they are keys of their own
in Pulumi's configuration. What a model needs of memory is `components.serving.sizing`'s to say.
"""

import ipaddress
import json
import re
from contextlib import suppress
from typing import Annotated, Literal, Self, cast, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from stacks.sentences import sentences


def _matching(pattern: str, wanted: str) -> AfterValidator:
    """Text of a form that a reader can be told in words."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"`{value}` is not {wanted}")
        return value

    return AfterValidator(check)


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError(f"`{value}` is not an address range: write one such as 203.0.113.0/24") from None


Name = Annotated[
    str, _matching(r"[a-z]([-a-z0-9]{0,18}[a-z0-9])?", "a name: write at most 20 of a-z, 0-9 and -, a letter first")
]
Gibibytes = Annotated[float, Field(gt=0, le=4096, description="GiB, 2**30 bytes")]
Cores = Annotated[float, Field(gt=0, le=416, description="CPU cores; AKS's largest VM has 416")]
Tokens = Annotated[int, Field(ge=64, le=131_072, description="Phi-4-mini's context is 131,072 tokens")]
VmSize = Annotated[str, _matching(r"Standard_[A-Z]\w+", "a VM size: write one such as Standard_D4s_v5")]
Version = Annotated[
    str, _matching(r"1\.\d{2}", 'a version of Kubernetes: write a minor one, in quotes, such as "1.34"')
]
Zone = Literal["1", "2", "3"]
Cidr = Annotated[str, AfterValidator(_network)]
Image = Annotated[
    str,
    _matching(
        r"[a-z0-9.-]+(:\d+)?/[a-z0-9._/-]+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?",
        "an image: write registry/repository:tag",
    ),
]
Source = Annotated[
    str, _matching(r"https://\S+\.git(#\S+)?", "a Git repository: write https://host/path.git#branch-or-commit")
]
Guid = Annotated[str, _matching(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "an object id: write a GUID")]
Url = Annotated[str, _matching(r"https://\S+", "an address: write one that starts with https://")]
RESERVED = frozenset({"gateway", "weights", "v1", "api", "health", "reasoning", "state", "metrics", "default-deny"})
"""Names of parts of the stack, or first words of the gateway's own routes: a server of that name would hide them."""


_KEY_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z0-9._~+/-]{12,}=*")
_SET_KEYS = """echo '{"default": "sk-..."}' | pulumi config set --secret slm:apiKeys"""


class SettingsError(Exception):
    """A stack file that cannot be deployed: a sentence with the place, the cause and the fix."""


class Section(BaseModel):
    """A part of a stack file: closed (an unknown key is a typing error) and never changed after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Resources(Section):
    """CPU and memory of one container: what it is promised, and what it may not exceed."""

    cpu_request: Cores
    cpu_limit: Cores
    memory_request_gib: Gibibytes
    memory_limit_gib: Gibibytes

    @model_validator(mode="after")
    def _a_promise_within_the_limit(self) -> Self:
        if self.cpu_request > self.cpu_limit or self.memory_request_gib > self.memory_limit_gib:
            raise ValueError("a request is larger than its limit, which Kubernetes refuses: raise the limit")
        return self


class ServerBase(Section):
    """What every engine's server has."""

    model: Name = "phi-4-mini-instruct"
    replicas: Annotated[int, Field(ge=1, le=50)] = 1
    pool: Name = "cpu"
    resources: Resources


class OnnxServer(ServerBase):
    """ONNX Runtime on CPU: one sequence at a time, others wait in a bounded queue."""

    engine: Literal["onnx"]
    precision: Literal["int4", "fp32"] = "int4"
    max_length: Tokens = 4096
    max_queue: Annotated[int, Field(ge=1, le=1024)] = 16
    threads: Annotated[int, Field(ge=1, le=64)] = 2
    shutdown_seconds: Annotated[int, Field(ge=1, le=600)] = 60


class VllmServer(ServerBase):
    """vLLM, on GPU or on CPU; `max_model_len` and `max_num_seqs` decide its memory."""

    engine: Literal["vllm"]
    device: Literal["gpu", "cpu"] = "gpu"
    max_model_len: Tokens = 8192
    max_num_seqs: Annotated[int, Field(gt=0, le=1024)] = 8
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=0.95)] = 0.8
    quantization: Literal["none", "awq"] = "none"
    checkpoint: str | None = None
    tools: bool = True

    @model_validator(mode="after")
    def _awq_needs_its_checkpoint(self) -> Self:
        if self.quantization == "awq" and self.checkpoint is None:
            raise ValueError(
                "quantization: awq needs `checkpoint`, a repository of AWQ weights: "
                "vLLM does not quantise the original checkpoint and would exit at start"
            )
        return self


class OllamaServer(ServerBase):
    """Ollama with the guide's tuning as its defaults."""

    engine: Literal["ollama"]
    num_parallel: Annotated[int, Field(gt=0, le=64)] = 4
    max_loaded_models: Annotated[int, Field(gt=0, le=8)] = 1
    flash_attention: bool = True


Server = Annotated[OnnxServer | VllmServer | OllamaServer, Field(discriminator="engine")]


class Pool(Section):
    """A node pool of its own, autoscaled between its bounds. Spot pools are never the only home of a server."""

    vm_size: VmSize
    min_count: Annotated[int, Field(ge=0, le=1000)] = 1
    max_count: Annotated[int, Field(ge=1, le=1000)] = 3
    spot: bool = False
    gpu: bool = False

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.min_count > self.max_count:
            raise ValueError(f"min_count {self.min_count} is above max_count {self.max_count}: swap or raise them")
        return self


class AksCluster(Section):
    """A cluster that this stack makes."""

    kind: Literal["aks"]
    kubernetes_version: Version = "1.34"
    tier: Literal["Free", "Standard"] = "Standard"
    zones: tuple[Zone, ...] = ()
    system_vm_size: VmSize = "Standard_D2s_v5"
    system_count: Annotated[int, Field(ge=1, le=10)] = 1
    authorized_ip_ranges: tuple[Cidr, ...] = ()
    private: bool = False
    administrators: tuple[Guid, ...] = ()
    pools: Annotated[dict[Name, Pool], Field(min_length=1)]


class ExistingCluster(Section):
    """A cluster that is there already, reached by kubeconfig: k3s, Arc, kind."""

    kind: Literal["existing"]
    context: str | None = None


class SharedCluster(Section):
    """A namespace in the cluster of another stack, for previews of pull requests."""

    kind: Literal["shared"]
    stack: Name = "dev"
    expires_after_hours: Annotated[int, Field(ge=1, le=720)] = 48


Cluster = Annotated[AksCluster | ExistingCluster | SharedCluster, Field(discriminator="kind")]


class Gateway(Section):
    """The only way in."""

    replicas: Annotated[int, Field(ge=1, le=10)] = 2
    max_body_mib: Annotated[int, Field(ge=1, le=100)] = 10
    wait_seconds: Annotated[int, Field(ge=1, le=600, description="how long a request is held for a server")] = 60
    acme_directory: Url = "https://acme-v02.api.letsencrypt.org/directory"


class Images(Section):
    """Where images come from: the ONNX image is built by the registry from `source`, or given as `onnx`.

    The default is nobody's (RFC 2606), so that no stranger's code can be built by it: name your own repository.
    """

    onnx: Image | None = None
    source: Source = "https://git.example/slm.git#main"


class Settings(Section):
    """A whole stack file."""

    cluster: Cluster
    servers: Annotated[dict[Name, Server], Field(min_length=1)]
    default_server: Name | None = None
    gateway: Gateway = Gateway()
    images: Images = Images()
    open_webui: bool = False
    hub_endpoint: Url = "https://huggingface.co"
    weights_gib: Gibibytes = 20

    @model_validator(mode="after")
    def _names_that_exist(self) -> Self:
        if self.default_server is not None and self.default_server not in self.servers:
            raise ValueError(
                f"default_server `{self.default_server}` is no server: name one of {', '.join(self.servers)}"
            )
        if taken := RESERVED.intersection(self.servers):
            raise ValueError(
                f"a server cannot be called `{min(taken)}`, which the stack uses itself: choose another name"
            )
        if isinstance(self.cluster, AksCluster):
            for name, server in self.servers.items():
                if server.pool not in self.cluster.pools:
                    raise ValueError(
                        f"server `{name}` wants pool `{server.pool}`, and its pods would stay Pending for ever: "
                        f"name one of {', '.join(self.cluster.pools)}"
                    )
        return self

    @property
    def default(self) -> str:
        """The server behind the unnamed routes: the one that is named so, else the first."""
        return self.default_server or next(iter(self.servers))


def load(raw: object) -> Settings:
    """The typed form of `slm:settings`.

    Raises:
        SettingsError: one sentence for each thing that is wrong: where, what, and how to mend it.
    """
    if raw is None:
        raise SettingsError("slm:settings is missing: write it into stacks/Pulumi.<stack>.yaml as Pulumi.dev.yaml does")
    try:
        # By JSON's rules: a list may stand for a tuple, but a text never for a number.
        return Settings.model_validate_json(json.dumps(raw))
    except ValidationError as error:
        raise SettingsError("\n".join(sentences(error, _all_keys()))) from None


def key_names(api_keys: str | None) -> tuple[str, ...]:
    """The keys' names, which are no secret; the keys themselves only ever travel as a secret.

    A key is what RFC 6750 lets a bearer token be, at least 12 characters of it: a star would be a wildcard to the
    gateway, and a space would end the token.

    Raises:
        SettingsError: if `slm:apiKeys` is missing or no JSON object of names and keys.
    """
    keys: object = None
    with suppress(ValueError):
        keys = json.loads(api_keys or "")
    if not isinstance(keys, dict) or not keys:
        raise SettingsError(f"slm:apiKeys holds no named API key, and nobody could ask the model. Set one: {_SET_KEYS}")
    named = cast(dict[str, object], keys)
    for name, key in named.items():
        if not _KEY_NAME.fullmatch(name):
            raise SettingsError(f"slm:apiKeys has a name that the vault does not take: use a-z, 0-9, -. {_SET_KEYS}")
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise SettingsError(
                f"slm:apiKeys.{name} is no API key: use at least 12 letters, digits or -._~+/. Set it: {_SET_KEYS}"
            )
    return tuple(named)


def not_deployable_yet(settings: Settings) -> str | None:
    """Why this version cannot deploy these settings, though they are right; None if it can."""
    engines = sorted({server.engine for server in settings.servers.values()} - {"onnx"})
    if not isinstance(settings.cluster, AksCluster):
        return f"a cluster of kind `{settings.cluster.kind}` cannot be deployed by this version: use `aks`"
    if engines:
        return f"engine {', '.join(engines)} cannot be deployed by this version: use `onnx`"
    if settings.open_webui:
        return "Open WebUI cannot be deployed by this version: set open_webui to false"
    return None


def _all_keys() -> list[str]:
    models: list[type[Section]] = [Settings, Resources, Pool, Gateway, Images]
    models += [kind for union in (Server, Cluster) for kind in get_args(get_args(union)[0])]
    return sorted({key for model in models for key in model.model_fields})
