"""Serve the console on the loopback address."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn

from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.ui.app import make_app

HOST = "127.0.0.1"


async def serve(store: ObjectStore, settings: Settings, port: int, listening: Callable[[str], None]) -> None:
    """Serve until cancelled. `listening` is called with the address once requests are answered.

    port: 0 for any free port. Raises UsageError when the port is taken.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError as error:
            cause = f"cannot listen on port {port}: {error.strerror}"
            raise UsageError("serve the console", "--port", cause, "Choose another one, or 0 for any.") from None
        config = uvicorn.Config(
            make_app(store, settings),
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        sock.listen()
        listening(f"http://{HOST}:{sock.getsockname()[1]}/")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            server.should_exit = True
            await serving
            raise
