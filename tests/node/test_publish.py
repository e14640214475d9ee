"""What is published passes bytes both ways, keeps half-closed streams whole, and refuses when nobody is behind it."""

import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def published(target: tuple[str, int]) -> Generator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        argument = f"{listener.fileno()}={target[0]}:{target[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "rehearsal.node.publish", argument],
            pass_fds=[listener.fileno()],
            cwd=Path(__file__).parents[2],
        )
        try:
            yield listener.getsockname()
        finally:
            process.kill()
            process.wait()


def test_an_answer_comes_after_the_client_has_sent_everything() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as backend,
        published(backend.getsockname()) as address,
        socket.create_connection(address) as client,
    ):
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        behind, _ = backend.accept()
        with behind:
            assert behind.makefile("rb").read() == b"question"
            behind.sendall(b"answer")
        assert client.makefile("rb").read() == b"answer"


def test_a_port_with_nobody_behind_it_closes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        target = closed.getsockname()
    with published(target) as address, socket.create_connection(address) as client:
        assert client.recv(1) == b""
