"""The gateway's configuration: a pure function from what the stack serves to a Caddyfile.

    request -> 443: known route? -> key? -> small enough? -> one loopback server for each backend -> its Service

Each backend has a loopback server of its own, named after it, so that Caddy's own metrics tell the backends apart, held
requests included. Paths are matched as they were sent: a doubled slash or an escaped dot is no known route.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HTTPS_PORT = 8443
HTTP_PORT = 8080
METRICS_PORT = 9180
FIRST_BACKEND_PORT = 9001
KEYS = "/etc/slm/keys"
OPENAI_ROUTES = ("/v1/chat/completions", "/v1/models")
NATIVE_ROUTES: Mapping[str, Sequence[str]] = {"onnx": ("/reasoning",)}
"""What an engine answers beside OpenAI's routes."""


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
    blocks = [_options(config), _public(config), *(_backend(config, number) for number in range(len(config.backends)))]
    return "\n".join([*blocks, _metrics()])


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
    names = "".join(
        f"""
	servers 127.0.0.1:{FIRST_BACKEND_PORT + number} {{
		name {backend.name}
	}}"""
        for number, backend in enumerate(config.backends)
    )
    return f"""{{
	admin unix//tmp/admin.sock
	persist_config off
	http_port {HTTP_PORT}
	https_port {HTTPS_PORT}
	grace_period 60s
	metrics
	cert_issuer acme {{
		dir {config.acme_directory}
	}}
	servers :{HTTPS_PORT} {{
		name gateway
		protocols h1 h2
	}}{names}
}}
"""


def _public(config: GatewayConfig) -> str:
    served = routes(config)
    handlers = "\n".join(_route(config, number, served[backend.name]) for number, backend in enumerate(config.backends))
    states = ", ".join(f'"{backend.name}": {{"engine": "{backend.engine}"}}' for backend in config.backends)
    return f"""{config.public_name} {{
	request_body {{
		max_size {config.max_body_mib}MiB
	}}

	handle /health {{
		header Content-Type application/json
		respond `{{"status": "ok", "servers": {{{states}}}}}` 200
	}}
{handlers}
	handle {{
		{_refusal(404, "There is no such route.", "not_found")}
	}}
	handle_errors {{
		@large expression {{err.status_code}} == 413
		handle @large {{
			{_refusal(413, f"The request is larger than {config.max_body_mib} MiB.", "request_too_large")}
		}}
		@away expression {{err.status_code}} in [502, 503, 504]
		handle @away {{
			header Retry-After 10
			{_refusal(503, "The server is not up; try again soon.", "server_unavailable", "server_error")}
		}}
		handle {{
			{_refusal(500, "The gateway failed.", "internal_error", "server_error")}
		}}
	}}
}}
"""


def _route(config: GatewayConfig, number: int, pairs: Sequence[tuple[str, str]]) -> str:
    name = config.backends[number].name
    raw = " || ".join(f"{{http.request.orig_uri.path}} == '{path}'" for path, _ in pairs)
    rewrites = "\n".join(f"\t\t\trewrite {path} {target}" for path, target in pairs if path != target)
    keys = "\n".join(f'\t\t\theader Authorization "Bearer {{file.{KEYS}/{key}}}"' for key in config.keys)
    return f"""
	@{name} `{raw}`
	handle @{name} {{
		@{name}_stranger not {{
{keys}
		}}
		handle @{name}_stranger {{
			header WWW-Authenticate Bearer
			{_refusal(401, "The API key is missing or not valid.", "invalid_api_key")}
		}}
		handle {{
{rewrites}
			reverse_proxy 127.0.0.1:{FIRST_BACKEND_PORT + number} {{
				flush_interval -1
			}}
		}}
	}}
"""


def _backend(config: GatewayConfig, number: int) -> str:
    backend = config.backends[number]
    # Connections are not kept: one that waits in the pool for a pod which has ended would lose the next request.
    return f"""http://:{FIRST_BACKEND_PORT + number} {{
	bind 127.0.0.1
	request_header -Authorization
	reverse_proxy {backend.host}:80 {{
		flush_interval -1
		lb_try_duration {config.wait_seconds}s
		lb_try_interval 250ms
		transport http {{
			dial_timeout 1s
			keepalive off
		}}
	}}
}}
"""


def _metrics() -> str:
    return f"""http://:{METRICS_PORT} {{
	handle /metrics {{
		metrics
	}}
	handle /healthz {{
		respond 200
	}}
	handle {{
		respond 404
	}}
}}
"""


def _refusal(status: int, message: str, code: str, kind: str = "invalid_request_error") -> str:
    """An error in OpenAI's shape."""
    body = f'{{"error": {{"message": "{message}", "type": "{kind}", "param": null, "code": "{code}"}}}}'
    return f"header Content-Type application/json\n\t\t\trespond `{body}` {status}"
