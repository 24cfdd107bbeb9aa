"""A service that says back what it is told by WebSocket: ``python -m tests.websocket_echo PORT``."""

from __future__ import annotations

import asyncio
import logging
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed


async def echo(connection: ServerConnection) -> None:
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass  # with an error, as clients that test it provoke


async def main(port: int) -> None:
    logging.disable()
    async with serve(echo, "127.0.0.1", port, max_size=None, ping_interval=None) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
