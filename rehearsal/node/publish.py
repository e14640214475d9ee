"""Publishes addresses of the node's network on this machine.

The listening sockets are made by the caller in this machine's network and inherited; connections to the target are made
in the network that this process was started in. So nothing is left to clean up: it all ends with the node.

    python -m rehearsal.node.publish FD=HOST:PORT ...
"""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Sequence

CONNECT_SECONDS = 5
_CHUNK_BYTES = 256 * 1024


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on as they come, and the end of the stream when it comes."""
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _serve(listener: socket.socket, host: str, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            away_reader, away = await asyncio.wait_for(asyncio.open_connection(host, port), CONNECT_SECONDS)
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
            descriptor, _, target = argument.partition("=")
            host, _, port = target.rpartition(":")
            group.create_task(_serve(socket.socket(fileno=int(descriptor)), host, int(port)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1:]))
