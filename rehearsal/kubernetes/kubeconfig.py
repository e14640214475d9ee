"""Which cluster a kubeconfig names, and how to be let in.

Reads the content or the file that the program gives; never the user's own `~/.kube/config`. Key material stays in
memory and in a private temporary folder, because TLS libraries take client certificates from files only.

Not checked:
- users that get their token from a command (`exec`) or an auth provider are refused with a sentence.
- proxies, `tls-server-name`, impersonation and user names with passwords are not supported.
"""

import base64
import binascii
import os
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from rehearsal.errors import RehearsalError


@dataclass(frozen=True)
class Access:
    """Address of an API server and what to show it. The text form holds no secret."""

    server: str
    """Base address, e.g. https://127.0.0.1:6443."""
    namespace: str
    """The context's namespace, "" if it names none."""
    verify: ssl.SSLContext | bool = field(repr=False, default=True)
    token: str = field(repr=False, default="")


Config = dict[str, Any]


def parse(content: str) -> Config:
    """Read a kubeconfig given as YAML or JSON.

    Raises:
        RehearsalError: if it is not a map.
    """
    try:
        config = yaml.safe_load(content)
    except yaml.YAMLError:
        config = None  # the parser's message quotes the text, which holds credentials
    if not isinstance(config, dict):
        raise RehearsalError(
            "The kubeconfig is neither a file nor valid YAML", "Give `kubeconfig` a file's path or its content"
        )
    return cast(Config, config)


def read(path_or_content: str) -> Config:
    """Read a kubeconfig given as content, or as the path of a file."""
    path = Path(path_or_content).expanduser() if "\n" not in path_or_content else None
    return parse(path.read_text() if path is not None and path.is_file() else path_or_content)


def active_cluster(config: Config, *, context: str = "", cluster: str = "") -> Config | None:
    """The cluster entry in use, or None if the kubeconfig has none of that name."""
    chosen = _named(config, "context", context or str(config.get("current-context", "")))
    name = cluster or str((chosen or {}).get("cluster", ""))
    return _named(config, "cluster", name)


def access(config: Config, *, context: str = "", cluster: str = "") -> Access:
    """How to reach the cluster that a context names.

    Raises:
        RehearsalError: if the context, its cluster or its user is missing, or the user logs in by a command.
    """
    name = context or str(config.get("current-context", ""))
    chosen = _named(config, "context", name)
    found = active_cluster(config, context=context, cluster=cluster)
    if chosen is None or found is None:
        raise RehearsalError(
            f"The kubeconfig has no context {name!r} with a cluster", "Name one of its contexts in `context`"
        )
    user = _named(config, "user", str(chosen.get("user", ""))) or {}
    if "exec" in user or "auth-provider" in user:
        raise RehearsalError(
            "The kubeconfig's user logs in by running a command, which the stand-in provider does not do",
            "Use a kubeconfig with a client certificate or a token, or put the real provider on PATH",
        )
    return Access(
        server=str(found.get("server", "")).rstrip("/"),
        namespace=str(chosen.get("namespace", "")),
        verify=_verification(found, user),
        token=_token(user),
    )


def _named(config: Config, kind: str, name: str) -> Config | None:
    for entry in cast(list[Config], config.get(f"{kind}s") or []):
        if entry.get("name") == name:
            return cast(Config, entry.get(kind) or {})
    return None


def _token(user: Config) -> str:
    if file := user.get("tokenFile"):
        return Path(str(file)).read_text().strip()
    return str(user.get("token", ""))


def _verification(cluster: Config, user: Config) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority := _material(cluster, "certificate-authority"):
        context = ssl.create_default_context(cadata=authority)
    certificate, key = _material(user, "client-certificate"), _material(user, "client-key")
    if certificate and key:
        _load_client_certificate(context, certificate, key)
    return context


def _material(entry: Config, key: str) -> str:
    try:
        if data := entry.get(f"{key}-data"):
            return base64.b64decode(str(data)).decode()
        return Path(str(entry[key])).read_text() if entry.get(key) else ""
    except (OSError, binascii.Error, UnicodeDecodeError) as error:
        raise RehearsalError(f"The kubeconfig's {key} cannot be read", "Get a new kubeconfig of the cluster") from error


def _load_client_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        both = Path(folder) / "client.pem"
        with os.fdopen(os.open(both, os.O_CREAT | os.O_WRONLY, 0o600), "w") as output:
            output.write(f"{certificate}\n{key}")
        context.load_cert_chain(both)
