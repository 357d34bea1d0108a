"""The three streams of a process, even if one is closed, full, or no longer read.

The output of a command is its result: if it cannot be written, the command fails. Log lines are no result: the export
that they are about goes on without them.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TextIO, cast

from bqdump.core.errors import BqdumpError

# Writing to a device that was opened for reading fails as writing to a closed stream does.
CLOSED = {"stdin": os.O_RDONLY, "stdout": os.O_RDONLY, "stderr": os.O_WRONLY}


class OutputError(BqdumpError):
    """Standard output does not take what a command prints."""

    def __init__(self, error: OSError) -> None:
        super().__init__("write to", "standard output", error.strerror or str(error))


class Output(io.TextIOWrapper):
    """Standard output with errors in one sentence, except BrokenPipeError."""

    def write(self, text: str, /) -> int:
        """See TextIOWrapper. Raises OutputError."""
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error) from None

    def flush(self) -> None:
        """See TextIOWrapper. Raises OutputError."""
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(error) from None


def open_streams() -> None:
    """Make all three streams usable, before anything else opens a file that would get the number of a closed one.

    What the encoding of a stream does not have is written as an escape.
    """
    for name, mode in CLOSED.items():
        if getattr(sys, name) is None:
            number = os.open(os.devnull, mode)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", encoding="utf-8"))
    output = cast("io.TextIOWrapper", sys.stdout)
    buffering, through = output.line_buffering, output.write_through
    sys.stdout = Output(output.detach(), output.encoding, "backslashreplace", None, buffering, through)


def silence(stream: TextIO) -> None:
    """Send what was and will be written to the stream nowhere, so that neither a later line nor the exit fails."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    with suppress(OSError, ValueError, BqdumpError):
        stream.flush()


def tell(message: str) -> None:
    """A line for the person at the terminal, on standard error."""
    try:
        sys.stderr.write(message + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        silence(sys.stderr)
