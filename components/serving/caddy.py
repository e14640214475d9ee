"""The gateway's configuration: a pure function from what the stack serves to a Caddyfile.

    request -> 443: known route? -> key? -> small enough? -> one loopback server for each backend -> its Service

Each backend has a loopback server of its own, named after it, so that Caddy's own metrics tell the backends apart, held
requests included. Paths are matched as they were sent, byte by byte: a doubled slash, an escape, another case is no
known route. Does not own the keys, which Caddy reads from files at each request, nor the pod (`serving.gateway`).
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HTTPS_PORT = 8443
HTTP_PORT = 8080
METRICS_PORT = 9180
FIRST_BACKEND_PORT = 9001
GRACE_SECONDS = 60
"""How long a stream may go on in a gateway that ends."""
RETRY_AFTER_SECONDS = 10
_FULL_DUPLEX = "enable_full_duplex"
"""Without it a server that starts to answer stops reading the request, and a stream whose first token comes within
milliseconds is cut: 6 in 100 of a small model's, measured."""
KEYS = "/etc/slm/keys"
OPENAI_ROUTES = ("/v1/chat/completions", "/v1/models")
NATIVE_ROUTES: Mapping[str, Sequence[str]] = {"onnx": ("/reasoning",)}
"""What an engine answers beside OpenAI's routes."""
READY_ROUTES: Mapping[str, str] = {"onnx": "/health/ready"}
"""Where an engine says by 200 that it would answer now."""


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A server behind the gateway: its name, engine and the host that its Service answers at."""

    name: str
    engine: str
    host: str

    @property
    def routes(self) -> tuple[str, ...]:
        """The paths under which this server is asked by name."""
        return tuple(f"/{self.name}{route}" for route in OPENAI_ROUTES)


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """All that the configuration depends on. `keys` are names of files in `KEYS`, not their content."""

    public_name: str
    acme_directory: str
    keys: Sequence[str]
    backends: Sequence[Backend]
    default: str
    max_body_mib: int
    wait_seconds: int


def render_caddyfile(config: GatewayConfig) -> str:
    """The whole Caddyfile."""
    backends = [_backend(config, backend, _port(number)) for number, backend in enumerate(config.backends)]
    return "\n\n".join([_options(config), _public(config), _other_names(), *backends, _metrics()]) + "\n"


def routes(config: GatewayConfig) -> dict[str, list[tuple[str, str]]]:
    """For each backend's name: the paths that lead to it, and what each becomes there."""
    found: dict[str, list[tuple[str, str]]] = {}
    for backend in config.backends:
        pairs = [(path, path.removeprefix(f"/{backend.name}")) for path in backend.routes]
        if backend.name == config.default:
            pairs += [(path, path) for path in OPENAI_ROUTES]
        first = next(other for other in config.backends if other.engine == backend.engine)
        if backend is first:
            pairs += [(path, path) for path in NATIVE_ROUTES.get(backend.engine, ())]
        found[backend.name] = pairs
    return found


def _options(config: GatewayConfig) -> str:
    named = [
        _block(f"servers 127.0.0.1:{_port(number)}", f"name {backend.name}", _FULL_DUPLEX)
        for number, backend in enumerate(config.backends)
    ]
    return _block(
        "",
        "admin unix//tmp/admin.sock",
        "persist_config off",
        f"http_port {HTTP_PORT}",
        f"https_port {HTTPS_PORT}",
        f"grace_period {GRACE_SECONDS}s",
        "metrics",
        # Named alone: without it Caddy would turn to another authority when this one refuses.
        _block("cert_issuer acme", f"dir {config.acme_directory}"),
        _block(f"servers :{HTTPS_PORT}", "name gateway", "protocols h1 h2", _FULL_DUPLEX),
        _block(f"servers :{METRICS_PORT}", "name metrics"),
        *named,
    )


def _public(config: GatewayConfig) -> str:
    served = routes(config)
    handlers = [
        _route(config, backend, _port(number), served[backend.name]) for number, backend in enumerate(config.backends)
    ]
    return _block(
        config.public_name,
        _block("request_body", f"max_size {config.max_body_mib}MiB"),
        _health(config.backends),
        *handlers,
        _block("handle", _not_found()),
        _block("handle_errors", _state_errors(), *_errors(config)),
    )


def _health(backends: Sequence[Backend]) -> str:
    """Each server's state, which the gateway asks for when it is asked; `ok` is the gateway's own."""
    states = ", ".join(
        f'"{backend.name}": {{"engine": "{backend.engine}", "state": "{{{{httpInclude "/state/{backend.name}"}}}}"}}'
        for backend in backends
    )
    answer = _block(
        "handle @health",
        _block("templates", "mime application/json"),
        "header Content-Type application/json",
        f'respond `{{"status": "ok", "servers": {{{states}}}}}` 200',
    )
    return "\n".join([_exactly("@health", ["/health"]), answer, *map(_state, backends)])


def _state(backend: Backend) -> str:
    """One word on a server. Only the gateway itself asks, by `httpInclude`: no caller comes from its own loopback."""
    matcher = _block(f"@state_{backend.name}", f"path /state/{backend.name}", "remote_ip 127.0.0.1")
    asked = _block(
        f"reverse_proxy {backend.host}:80",
        f"rewrite {READY_ROUTES[backend.engine]}",
        "header_up -Authorization",
        _block("transport http", "dial_timeout 1s", "response_header_timeout 2s", "keepalive off"),
        "@ready status 200",
        _block("handle_response @ready", "respond ready"),
        _block("handle_response", "respond starting"),
    )
    return "\n".join([matcher, _block(f"handle @state_{backend.name}", asked)])


def _state_errors() -> str:
    matcher = _block("@state", "path /state/*", "remote_ip 127.0.0.1")
    return "\n".join([matcher, _block("handle @state", "respond down 200")])


def _route(config: GatewayConfig, backend: Backend, port: int, pairs: Sequence[tuple[str, str]]) -> str:
    caller = f"@caller_{backend.name}"
    # A file that is missing reads as nothing, and "Bearer " and nothing must open nothing. Of several headers a matcher
    # is content with any one, so it is the empty one that must not be there.
    keys = [f'header Authorization "Bearer {{file.{KEYS}/{key}}}"' for key in config.keys]
    matcher = _block(caller, "not header_regexp Authorization ^Bearer\\s*$", *keys)
    proxy = _block(
        f"handle {caller}",
        *(f"rewrite {path} {target}" for path, target in pairs if path != target),
        _block(f"reverse_proxy 127.0.0.1:{port}", "flush_interval -1"),
    )
    stranger = _block(
        "handle",
        "header WWW-Authenticate Bearer",
        _refusal(401, "The API key is missing or not valid.", "invalid_api_key"),
    )
    name = f"@to_{backend.name}"
    return "\n".join(
        [_exactly(name, [path for path, _ in pairs]), _block(f"handle {name}", matcher, proxy, stranger)],
    )


def _errors(config: GatewayConfig) -> list[str]:
    return [
        "@large expression {err.status_code} == 413",
        _block(
            "handle @large",
            _refusal(413, f"The request is larger than {config.max_body_mib} MiB.", "request_too_large"),
        ),
        *_away(),
        _block("handle", _refusal(500, "The gateway failed.", "internal_error", "server_error")),
    ]


def _away() -> list[str]:
    return [
        "@away expression {err.status_code} in [502, 503, 504]",
        _block(
            "handle @away",
            f"header Retry-After {RETRY_AFTER_SECONDS}",
            _refusal(503, "The server is not up; try again soon.", "server_unavailable", "server_error"),
        ),
    ]


def _other_names() -> str:
    """Whoever speaks to the gateway by another name: Caddy would answer 200 and nothing."""
    return _block(f"https://:{HTTPS_PORT}", _not_found())


def _backend(config: GatewayConfig, backend: Backend, port: int) -> str:
    proxy = _block(
        f"reverse_proxy {backend.host}:80",
        "flush_interval -1",
        f"lb_try_duration {config.wait_seconds}s",
        "lb_try_interval 250ms",
        # Connections are not kept: one that waits in the pool for a pod which has ended would lose the next request.
        _block("transport http", "dial_timeout 1s", "keepalive off"),
    )
    return _block(
        f"http://:{port}",
        "bind 127.0.0.1",
        "request_header -Authorization",
        proxy,
        _block("handle_errors", *_errors(config)),
    )


def _metrics() -> str:
    return _block(
        f"http://:{METRICS_PORT}",
        _block("handle /metrics", "metrics"),
        _block("handle /healthz", "respond 200"),
        _block("handle", "respond 404"),
    )


def _exactly(matcher: str, paths: Sequence[str]) -> str:
    """A matcher for these paths as they came over the wire, with or without a query."""
    choice = "|".join(re.escape(path).replace("\\-", "-") for path in paths)
    return f"{matcher} vars_regexp {{http.request.orig_uri}} ^({choice})(\\?.*)?$"


def _not_found() -> str:
    return _refusal(404, "There is no such route.", "not_found")


def _refusal(status: int, message: str, code: str, kind: str = "invalid_request_error") -> str:
    """An error in OpenAI's shape."""
    body = f'{{"error": {{"message": "{message}", "type": "{kind}", "param": null, "code": "{code}"}}}}'
    return f"header Content-Type application/json\nrespond `{body}` {status}"


def _port(number: int) -> int:
    return FIRST_BACKEND_PORT + number


def _block(head: str, *parts: str) -> str:
    """A head and what is within its braces, indented as `caddy fmt` does."""
    inside = textwrap.indent("\n".join(parts), "\t")
    return f"{head} {{\n{inside}\n}}".lstrip()
