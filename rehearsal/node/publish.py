"""Passes connections on: published ports of this machine to the node's network, and the authority to the gateway.

A published port's listening socket is made by the caller in this machine's network and inherited; connections to the
target are made in the network that this process was started in. So nothing is left to clean up: it all ends with the
node. A listener given by its address is patient: it waits for a target that is not there yet.

Not checked:
- Azure's load balancer: its health probes, idle time-out, source addresses and public address. Every client comes from
  the node's own address.

    python -m rehearsal.node.publish FD=HOST:PORT ADDRESS:PORT=HOST:PORT ...
"""

import asyncio
import contextlib
import socket
import sys
import time
from collections.abc import Sequence

CONNECT_SECONDS = 5
PATIENCE_SECONDS = 25
"""Less than the 30 s that Caddy's ACME server waits for a challenge's connection."""
_RETRY_SECONDS = 0.1
_CHUNK_BYTES = 256 * 1024
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _connect(host: str, port: int, patience_seconds: float) -> _Streams:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            return await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_SECONDS)
        except (OSError, TimeoutError):
            if time.monotonic() >= deadline:
                raise
            await asyncio.sleep(_RETRY_SECONDS)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on as they come, and the end of the stream when it comes."""
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _serve(listener: socket.socket, host: str, port: int, patience_seconds: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            away_reader, away = await _connect(host, port, patience_seconds)
        except (OSError, TimeoutError):
            writer.close()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_copy(reader, away))
                group.create_task(_copy(away_reader, writer))
        except* OSError:
            pass  # one side hung up; both are closed below
        finally:
            away.close()
            writer.close()

    server = await asyncio.start_server(connected, sock=listener)
    async with server:
        await server.serve_forever()


async def _main(arguments: Sequence[str]) -> None:
    async with asyncio.TaskGroup() as group:
        for argument in arguments:
            where, _, target = argument.partition("=")
            host, _, port = target.rpartition(":")
            if where.isdigit():
                group.create_task(_serve(socket.socket(fileno=int(where)), host, int(port), 0))
            else:
                address, _, number = where.rpartition(":")
                listener = socket.create_server((address, int(number)), backlog=16)
                group.create_task(_serve(listener, host, int(port), PATIENCE_SECONDS))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
