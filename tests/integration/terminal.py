"""A terminal to run commands on: a real pseudo-terminal, and what its screen shows in the end."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

PARTS = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|[\r\n]|[^\x1b\r\n]+|.", re.DOTALL)


class Session(NamedTuple):
    """How a command ended, and every byte that came to its terminal."""

    code: int
    raw: str

    @property
    def screen(self) -> list[str]:
        """The lines that are left on the screen, as far as anything stands on it."""
        return "\n".join(screen(self.raw)[0]).rstrip().split("\n")

    @property
    def cursor_shown(self) -> bool:
        """Whether the cursor is to be seen in the end."""
        return screen(self.raw)[1]

    @property
    def coloured(self) -> bool:
        """Whether anything was printed in colour."""
        return bool(re.search(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7])(?:;[0-9;]*)?m", self.raw))


def screen(raw: str) -> tuple[list[str], bool]:
    """What a terminal makes of this: its lines, and whether it shows the cursor. Fails on what it does not know."""
    lines, row, column, cursor = [""], 0, 0, True
    for part in PARTS.finditer(raw):
        text, argument, command = part.group(), part.group(1), part.group(2)
        if command == "m":
            continue
        if text == "\r":
            column = 0
        elif text == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif command == "A":
            row = max(0, row - int(argument or 1))
        elif (argument, command) == ("2", "K"):
            lines[row] = ""
        elif command in ("h", "l") and argument == "?25":
            cursor = command == "h"
        elif command or text == "\x1b":
            raise AssertionError(f"an escape sequence that this terminal does not know: {text!r}")
        else:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines], cursor


def on_terminal(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    cwd: Path | None = None,
    size: tuple[int, int] = (100, 30),
    answer: Callable[[subprocess.Popen[bytes], str], str | None] | None = None,
) -> Session:
    """Run a command on a terminal of so many columns and rows until it ends.

    answer: gets the process and all that it has written so far, whenever there is more; returns what is typed then.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={"PATH": os.environ["PATH"], **env}, cwd=cwd,
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        raw = b""
        while data := _read(ours):
            raw += data
            if answer and (typed := answer(process, raw.decode(errors="replace"))):
                os.write(ours, typed.encode())
    os.close(ours)
    return Session(process.returncode, raw.decode())


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        # Linux ends a terminal that nobody writes to any more with EIO.
        return b""
