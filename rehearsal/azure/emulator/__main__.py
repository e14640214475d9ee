"""`python -m rehearsal.azure.emulator`: serve on a TCP port of the loopback and on a unix socket until ended."""

import argparse
import os
import secrets
import socket
import sys
from pathlib import Path

import uvicorn
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from rehearsal.azure.emulator.app import Emulator
from rehearsal.azure.emulator.arm import Arm
from rehearsal.azure.emulator.entra import Entra
from rehearsal.azure.emulator.kinds import RULES
from rehearsal.azure.emulator.registry import LocalRegistry
from rehearsal.azure.emulator.secrets import Secrets
from rehearsal.azure.emulator.store import Store, write_atomically
from rehearsal.azure.emulator.world import Settings, World
from rehearsal.errors import RehearsalError


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m rehearsal.azure.emulator")
    parser.add_argument("--state", type=Path, required=True, help="folder for the state and the file `endpoint`")
    parser.add_argument("--port", type=int, default=0, help="TCP port of 127.0.0.1; 0 for a free one")
    parser.add_argument("--uds", type=Path, help="path of a unix socket to serve on as well")
    parser.add_argument("--token-file", type=Path, required=True, help="ARM's bearer token; made if it is not there")
    parser.add_argument("--kubeconfig", type=Path, help="what the cluster's user credentials are")
    parser.add_argument("--registry", default="", help="http URL or unix socket of the local OCI registry")
    parser.add_argument("--service-account-key", type=Path, help="public key (PEM) of the cluster's tokens")
    parser.add_argument("--issuer", default=Settings.issuer, help="issuer of the cluster's tokens")
    parser.add_argument("--delay", type=float, default=1.0, help="factor for the time of long-running operations")
    return parser.parse_args(argv)


def _token(file: Path) -> str:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, secrets.token_urlsafe(32))
    token = file.read_text().strip()
    if not token:
        raise RehearsalError(f"The token file {file} is empty", "Delete it; the emulator makes a new one")
    return token


def _public_key(file: Path | None) -> RSAPublicKey | None:
    if file is None:
        return None
    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError) as error:
        raise RehearsalError(f"{file} is no public key in PEM form", "Give the file that `sa.pub` is") from error
    if not isinstance(key, RSAPublicKey):
        raise RehearsalError(f"{file} is no RSA key", "Sign service-account tokens with an RSA key")
    return key


def _listen(port: int, uds: Path | None) -> list[socket.socket]:
    tcp = socket.socket()
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        tcp.bind(("127.0.0.1", port))
    except OSError as error:
        raise RehearsalError(f"Port {port} of 127.0.0.1 is taken", "End what uses it, or choose another") from error
    sockets = [tcp]
    if uds is not None:
        uds.parent.mkdir(parents=True, exist_ok=True)
        uds.unlink(missing_ok=True)
        local = socket.socket(socket.AF_UNIX)
        local.bind(str(uds))
        os.chmod(uds, 0o600)
        sockets.append(local)
    for one in sockets:
        one.listen(128)
    return sockets


def _serve(arguments: argparse.Namespace) -> None:
    token = _token(arguments.token_file)
    settings = Settings(
        delay_factor=arguments.delay,
        issuer=arguments.issuer,
        kubeconfig=arguments.kubeconfig,
        registry=LocalRegistry(arguments.registry),
        directory_lag_seconds=10.0 * arguments.delay,
    )
    world = World(Store(arguments.state), settings, RULES)
    entra = Entra(world, _public_key(arguments.service_account_key))
    emulator = Emulator(world, Arm(world, token), entra, Secrets(world, token))
    sockets = _listen(arguments.port, arguments.uds)
    write_atomically(arguments.state / "endpoint", f"http://127.0.0.1:{sockets[0].getsockname()[1]}")
    config = uvicorn.Config(emulator.application(), log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=sockets)


def main(argv: list[str]) -> int:
    """Serve until SIGTERM or Ctrl-C; 1 for a failure that was explained."""
    try:
        _serve(_arguments(argv))
    except RehearsalError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
