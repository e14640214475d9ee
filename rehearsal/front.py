"""The gateway's address on this machine: `https://localhost:PORT`, passed on to the gateway under its public name.

The gateway's own certificate is for the name that Azure gives it, which nothing outside the node resolves. This front
has a certificate of the same local authority for `localhost` and trusts nothing but that authority, so what it passes
on has been through the gateway's real TLS.

Not checked:
- The public name, its DNS record and Azure's load balancer: a client here connects to this machine.
- What a client's own address means to the gateway: every request comes from this front.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Front:
    """Where the front listens, whom it passes requests to, and the authority (its root's certificate and key)."""

    port: int
    gateway_port: int
    public_name: str
    root_certificate: Path
    root_key: Path
    storage: Path

    @property
    def endpoint(self) -> str:
        """What a client on this machine uses as the base of its URLs."""
        return f"https://localhost:{self.port}"

    def caddyfile(self) -> str:
        """Caddy's configuration. Streams are passed on at once; a client that hangs up is hung up on behind it too."""
        return f"""\
{{
    admin off
    auto_https disable_redirects
    skip_install_trust
    persist_config off
    storage file_system {self.storage}
    servers {{
        protocols h1 h2
        enable_full_duplex
    }}
    pki {{
        ca rehearsal {{
            name "slm rehearsal"
            root {{
                cert {self.root_certificate}
                key {self.root_key}
            }}
        }}
    }}
}}

https://localhost:{self.port}, https://127.0.0.1:{self.port} {{
    bind 127.0.0.1
    tls {{
        issuer internal {{
            ca rehearsal
        }}
    }}
    reverse_proxy https://127.0.0.1:{self.gateway_port} {{
        header_up Host {self.public_name}
        flush_interval -1
        transport http {{
            tls_server_name {self.public_name}
            tls_trust_pool file {self.root_certificate}
        }}
    }}
}}
"""
