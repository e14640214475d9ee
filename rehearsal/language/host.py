"""`pulumi-language-python` as the engine starts it: a gRPC server that prints its port and runs the program.

A program of this very environment runs inside the host, which saves the second start of an interpreter; one of
another environment is started with that environment's interpreter. Both are run by `program`.

Not checked:
- code generation, templates, `pulumi package add` (Link) and prompts are not served; debuggers are not attached.
- a program that does not end when it is told to is left to the engine, which ends the host.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from rehearsal.language import program
from rehearsal.language.environment import Environment

_THREADS = 16
_LARGEST_MESSAGE_BYTES = 400 * 1024 * 1024


class Host(language_pb2_grpc.LanguageRuntimeServicer):
    """The language host's methods, as the engine calls them."""

    def __init__(self, engine_address: str) -> None:
        self._engine_address = engine_address
        self._children: list[subprocess.Popen[bytes]] = []

    def Handshake(  # noqa: N802, D102
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        self._engine_address = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802, D102
        return plugin_pb2.PluginInfo()

    def About(  # noqa: N802, D102
        self, request: language_pb2.AboutRequest, context: grpc.ServicerContext
    ) -> language_pb2.AboutResponse:
        environment = Environment.of(request.info)
        return language_pb2.AboutResponse(
            executable=str(environment.python),
            version=".".join(str(part) for part in sys.version_info[:3]),
            metadata={
                "toolchain": "Auto",
                "toolchainVersion": environment.pip_version(),
                "typechecker": "None",
            },
        )

    def GetRequiredPackages(  # noqa: N802, D102
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        packages = [
            plugin_pb2.PackageDependency(
                name=plugin.name, kind="resource", version=plugin.version, server=plugin.server
            )
            for plugin in Environment.of(request.info).plugins()
        ]
        return language_pb2.GetRequiredPackagesResponse(packages=packages)

    def GetProgramDependencies(  # noqa: N802, D102
        self, request: language_pb2.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetProgramDependenciesResponse:
        found = Environment.of(request.info).dependencies(transitive=request.transitiveDependencies)
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=each.name, version=each.version) for each in found]
        )

    def InstallDependencies(  # noqa: N802, D102
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        environment = Environment.of(request.info)
        try:
            for line in environment.install(Path(request.directory) / "requirements.txt"):
                yield language_pb2.InstallDependenciesResponse(stdout=line.encode())
        except (OSError, subprocess.CalledProcessError) as error:
            context.abort(grpc.StatusCode.UNKNOWN, f"installing the program's dependencies failed: {error}")

    def Run(  # noqa: N802, D102
        self, request: language_pb2.RunRequest, context: grpc.ServicerContext
    ) -> language_pb2.RunResponse:
        environment = Environment.of(request.info)
        if environment.is_ours:
            status = program.run(request, self._engine_address)
        elif environment.python.exists():
            status = self._run_elsewhere(request, environment.python)
        else:
            return language_pb2.RunResponse(
                error=f"The virtual environment {environment.folder} is missing. Run `pulumi install` to make it."
            )
        if status in (0, program.SHOWN):
            return language_pb2.RunResponse(bail=status != 0)
        return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {status}")

    def _run_elsewhere(self, request: language_pb2.RunRequest, python: Path) -> int:
        # -P: the folder of the program's runner must not be searched for modules.
        child = subprocess.Popen([python, "-u", "-P", program.__file__, self._engine_address], stdin=subprocess.PIPE)
        self._children.append(child)
        child.communicate(request.SerializeToString())
        return child.returncode

    def RunPlugin(  # noqa: N802, D102
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        environment = Environment.of(request.info)
        folder = request.info.program_directory
        command = [str(environment.python), "-u"]
        if request.kind == "analyzer":
            engine, *options = request.args
            command += ["-m", "pulumi.policy", engine, folder, *options]
        else:
            command += [folder, *request.args]
        child = subprocess.Popen(
            command,
            cwd=request.pwd or None,
            env=dict(entry.split("=", 1) for entry in request.env if "=" in entry),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._children.append(child)
        context.add_callback(child.kill)  # the engine ends a plugin by ending the call
        yield from _forward(child)

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802, D102
        for child in self._children:
            child.terminate()
        return empty_pb2.Empty()


def _forward(child: subprocess.Popen[bytes]) -> Iterator[language_pb2.RunPluginResponse]:
    """What a plugin prints, as it prints it, and at last its exit status."""
    stderr = _Collector(child.stderr)
    while chunk := _read(child.stdout):
        yield language_pb2.RunPluginResponse(stdout=chunk)
        if text := stderr.taken():
            yield language_pb2.RunPluginResponse(stderr=text)
    status = child.wait()
    if text := stderr.rest():
        yield language_pb2.RunPluginResponse(stderr=text)
    yield language_pb2.RunPluginResponse(exitcode=status)


def _read(stream: IO[bytes] | None) -> bytes:
    return b"" if stream is None else os.read(stream.fileno(), 65536)


class _Collector:
    """Reads a stream on a thread of its own, so that neither of a plugin's two outputs can block the other."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._text = b""
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        while chunk := _read(self._stream):
            with self._lock:
                self._text += chunk

    def taken(self) -> bytes:
        """What has come since the last call."""
        with self._lock:
            text, self._text = self._text, b""
        return text

    def rest(self) -> bytes:
        """All that is still to come."""
        self._thread.join()
        return self.taken()


def main(argv: list[str]) -> int:
    """Serve until the engine ends the process. The one argument that is no option is the engine's address."""
    addresses = [argument for argument in argv if not argument.startswith("-")]
    # Set by the launcher for this process; what the program starts shall not find the rehearsal in its path.
    os.environ.pop("PYTHONPATH", None)
    options = [(f"grpc.max_{way}_message_length", _LARGEST_MESSAGE_BYTES) for way in ("receive", "send")]
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=options)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(Host(addresses[-1] if addresses else ""), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(grace=None)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
