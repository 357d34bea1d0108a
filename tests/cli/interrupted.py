"""Runs a command, and at each of its imports a copy of this process, in which somebody presses Ctrl-C at that moment.

Arguments: how often Ctrl-C is pressed, then those of the command. Prints a line for each copy that did not end cleanly,
and the number of all copies.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

TIMES, *ARGUMENTS = sys.argv[1:]
CLEAN = 130
# Calls between the first Ctrl-C and the second one.
BETWEEN = (1, 2, 5)


class Moments:
    """Is asked for each module before it is imported."""

    def __init__(self) -> None:
        self.copies, self.asking = 0, True

    def find_spec(self, name: str, _path: object, _target: object = None) -> None:
        """Nothing: the module is found by others."""
        # A copy has no running loop.
        running = getattr(sys.modules.get("_asyncio"), "_get_running_loop", lambda: None)
        if not self.asking or threading.active_count() > 1 or running():
            return
        # What a copy imports on its way to this moment is no moment of the command.
        self.asking = False
        for between in BETWEEN if TIMES == "2" else (0,):
            self.copies += 1
            if not self.copy(name, between):
                return
        self.asking = True

    def copy(self, name: str, between: int) -> bool:
        """Press Ctrl-C in a copy of this process, and wait for its end. Returns false in the copy."""
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            self.press(between)
            return False
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            printed = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != CLEAN or b"Traceback" in printed or b"ignored" in printed:
            sys.stderr.write(f"{name} {between}: {code} {printed!r}\n")
        return True

    def press(self, between: int) -> None:
        """Press it, and again after so many calls if not 0."""
        calls = 0

        def again(*_: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == between:
                sys.setprofile(None)
                os.kill(os.getpid(), signal.SIGINT)

        if between:
            sys.setprofile(again)
        os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    """See above."""
    from bqdump.__main__ import main as start

    moments = Moments()
    finder: Any = moments
    parent = os.getpid()
    sys.argv = ["bqdump", *ARGUMENTS]
    sys.meta_path.insert(0, finder)
    try:
        start()
    finally:
        if os.getpid() == parent:
            sys.stderr.write(f"{moments.copies} copies\n")


if __name__ == "__main__":
    main()
