"""The command line inside the test's own process: as good as a process of its own, except for signals and streams."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from bqdump.adapters.lean_imports import UNUSED
from bqdump.cli.main import start
from pasted import refused


class Called(NamedTuple):
    """How a command ended: its exit code, what it printed, and the errors that it told."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """All of it."""
        return self.out + self.err

    @property
    def errors(self) -> list[str]:
        """Every error: log lines that are errors, and what else is on standard error."""
        reported = []
        for line in filter(None, self.err.splitlines()):
            if line.startswith('{"severity":'):
                record = msgspec.json.decode(line)
                reported += [record["message"]] if record["severity"] in ("ERROR", "CRITICAL") else []
            elif logged := re.fullmatch(r"\d\d:\d\d:\d\d (error: )?(.*)", line):
                reported += [logged[2]] if logged[1] else []
            elif not line.startswith(("Usage:", "Try ")):
                reported.append(line)
        return reported


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> Called:
    """Run a command; whatever it changes in this process is set back."""
    with _as_before():
        code = start(arguments)
    out, err = capsys.readouterr()
    return _pastable(Called(code, out, err))


def call_in(folder: Path, variables: Mapping[str, str], *arguments: str) -> Called:
    """Run a command in this folder, with these environment variables."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err), _as_before():
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.chdir(folder)
        code = start(arguments)
    return _pastable(Called(code, out.getvalue(), err.getvalue()))


def _pastable(called: Called) -> Called:
    """Whatever a test is about, each command that was printed on the way is one that the shell and bqdump take."""
    wrong = refused(called.out) + refused(called.err)
    assert wrong == [], wrong
    return called


@contextmanager
def _as_before() -> Iterator[None]:
    logger = logging.getLogger("bqdump")
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    missing = [name for name in UNUSED if name not in sys.modules]
    logger.handlers[:] = []
    try:
        yield
    finally:
        logger.handlers[:], logger.propagate = handlers, propagate
        logger.setLevel(level)
        for name in missing:
            sys.modules.pop(name, None)
