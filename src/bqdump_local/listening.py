"""Ports on which connections wait while a stand-in is imported, so that whoever starts it need not wait for that."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from bqdump_local.held import port_in_use

THREADS = 64
MESSAGE_BYTES = 128 << 20


def listen(port: int) -> socket.socket:
    """A socket for HTTP on a port (0: any)."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=2048)
    except OSError as error:
        raise port_in_use(port, error) from error


class GrpcPort:
    """A server of gRPC that listens, and accepts calls once it is started with its handlers."""

    def __init__(self, port: int) -> None:
        options = [("grpc.max_send_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
        self.server = grpc.server(ThreadPoolExecutor(THREADS, thread_name_prefix="read"), options=options)
        try:
            self.address = f"127.0.0.1:{self.server.add_insecure_port(f'127.0.0.1:{port}')}"
        except RuntimeError as error:
            raise port_in_use(port, error) from error

    def start(self, handlers: Any) -> None:
        """Accept calls."""
        self.server.add_generic_rpc_handlers((handlers,))
        self.server.start()
