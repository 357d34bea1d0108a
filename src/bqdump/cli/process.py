"""What a process has before its command is imported: the line of its version, and what Ctrl-C does.

SIGTERM ends a process as ever, but not as a failure once its command is over.

Ctrl-C ends a command with exit code 130 at any time, pressed once or twice, and never with a stack trace. While the
command is imported there is nothing to save, so the process ends at once. While it runs, Python's own handler lets it
clean up. Once it is over, only the exit is left.
"""

from __future__ import annotations

import os
import sys

from bqdump import __version__

# Until Ctrl-C is dealt with, each import may show a stack trace: `typing` would make forty of them.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

INTERRUPTED = 130
# As signal has it, without the imports of that, during which Ctrl-C would show a stack trace.
signal: Any = __import__("_signal")
SIGINT: int = signal.SIGINT


def end_at_once() -> None:
    """Let Ctrl-C end the process at once. Where it is ignored, as in a background job of a shell, it stays so."""
    if signal.getsignal(SIGINT) not in (signal.SIG_IGN, None):
        signal.signal(SIGINT, _end)
    sys.excepthook, sys.unraisablehook = _uncaught, _unraisable


def end_in_order() -> None:
    """Let Ctrl-C raise KeyboardInterrupt in the command that begins."""
    if signal.getsignal(SIGINT) is _end:
        signal.signal(SIGINT, signal.default_int_handler)


def end_with(code: int) -> None:
    """Let SIGTERM end the process at once, with the exit code of its command, which is over."""
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(code))


def _end(_number: int, _frame: object) -> None:
    os._exit(INTERRUPTED)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A second Ctrl-C, while the first one was dealt with."""
    if issubclass(kind, KeyboardInterrupt):
        _end(SIGINT, None)
    sys.__excepthook__(kind, error, trace)


def _unraisable(unraisable: Any) -> None:
    """Where Python cannot raise the exception of Ctrl-C, it would only print it."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        _end(SIGINT, None)
    sys.__unraisablehook__(unraisable)


# The commit, which the build of an image writes here.
REVISION = os.path.join(os.path.dirname(os.path.dirname(__file__)), "REVISION")  # noqa: PTH118, PTH120 (a light import)


def version_line() -> str:
    """The version and, where it is known, the commit."""
    try:
        with open(REVISION, encoding="utf-8") as file:  # noqa: PTH123
            return f"bqdump {__version__} ({file.read().strip()})"
    except OSError:
        return f"bqdump {__version__}"
