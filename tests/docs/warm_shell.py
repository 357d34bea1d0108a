"""A `bqdump` for scripts of a test, whose commands are started by the test's own process: as forks (see warm_start).

What a script starts is a program of a few lines that hands over its arguments, environment and streams, and ends with
the command's exit code.
"""

from __future__ import annotations

import array
import ast
import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from programs import python_program

# `import socket` would take longer than all the rest.
PROGRAM = """import _socket, os, sys
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect({address!r})
streams = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
request = repr((sys.argv[1:], os.getcwd(), dict(os.environ))).encode()
server.sendmsg([len(request).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
while request:
    request = request[server.send(request):]
sys.exit(int.from_bytes(server.recv(1) or b"\\x7f", "big"))
"""


@contextmanager
def commands(folder: Path) -> Iterator[Path]:
    """A folder, made in this one, with the command; it works within this block."""
    address, place = folder / "starts", folder / "bin"
    place.mkdir()
    (place / "bqdump").write_text(python_program(PROGRAM.format(address=str(address)), "-IS"))
    (place / "bqdump").chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        try:
            yield place
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_start, args=(connection,), daemon=True).start()


def _start(connection: socket.socket) -> None:
    """Run one command. It is asked to end where the program that stands for it was ended."""
    streams = array.array("i")
    with connection:
        head, messages, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(3 * streams.itemsize))
        for _, _, data in messages:
            streams.frombytes(data)
        request = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        arguments, folder, environment = ast.literal_eval(request.decode())
        command = [sys.executable, "-m", "bqdump", *arguments]
        stdin, stdout, stderr = streams
        process = subprocess.Popen(command, cwd=folder, env=environment, stdin=stdin, stdout=stdout, stderr=stderr)
        for stream in streams:
            os.close(stream)
        threading.Thread(target=_end_with, args=(connection, process), daemon=True).start()
        with contextlib.suppress(OSError):
            connection.sendall(bytes([process.wait() & 255]))


def _end_with(connection: socket.socket, process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if not connection.recv(1) and process.poll() is None:
            process.terminate()
