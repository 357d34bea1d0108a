"""A plugin of pytest that tries mutants: it collects all tests once, and forks for each mutant.

The fork has the change in its functions, and the commands that its tests start load the changed module (see at_start).
It runs the tests that reach the function, those of `make test` first, until one fails. That one is run again in another
fork, without the change: only if it passes there, the mutant is killed.
"""

from __future__ import annotations

import ast
import gc
import json
import os
import select
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType
from typing import NamedTuple, NoReturn

import pytest

import tiers
from mutations import reach
from mutations.at_start import sitecustomize as at_start
from mutations.draw import Mutant, mutated, path_of

ORDERS, TRIAL = "MUTATION_ORDERS", "MUTATION_TRIAL"
# A test that takes so many times as long as it did, and so many seconds, hangs.
TIMES, LEAST_SECONDS = 20, 30
# The seconds that the tests of one target may take for one mutant.
LIMIT_SECONDS = 90
# How many cases of a test, besides those of `make test`, are tried.
CASES = 2
# A test that fails without the change, too, says nothing.
TRIES = 4


class Orders(NamedTuple):
    """What the plugin is to do. digests: of what a result follows from. results: the file to which it appends them."""

    mutants: list[Mutant]
    digests: list[str]
    records: str
    results: str
    workers: int


class Result(NamedTuple):
    """What became of a mutant. by: the test that killed it, "" for none. tier: the target of make that runs this test.

    reached: how many tests reach it. tried: how many of their cases ran.
    """

    name: str
    digest: str
    tier: str
    by: str
    how: str
    reached: int
    tried: int
    seconds: float


class Cases(NamedTuple):
    """Those of a trial: the cases of `make test`, then others."""

    of_test: list[pytest.Item]
    of_all: list[pytest.Item]


def apply(mutant: Mutant, folder: Path) -> None:
    """Change the function in this process, and the module for those that it starts, which read it from this folder.

    Raises ValueError if the function would need other variables from outside of it.
    """
    tree, path = mutated(mutant), path_of(mutant.module)
    code = compile(tree, str(path), "exec", dont_inherit=True)
    wanted = mutant.function.partition(":")[2]
    new = {found.co_firstlineno: found for found in _codes(code) if found.co_qualname == wanted}
    source = folder / f"{os.getpid()}.py"
    source.write_text(ast.unparse(tree))
    os.environ |= {at_start.MUTANT: f"{mutant.module}={source}", "PYTHONPATH": str(reach.AT_START)}
    gc.unfreeze()
    for found in gc.get_objects():
        if type(found) is FunctionType and found.__module__ == mutant.module and found.__code__.co_qualname == wanted:
            found.__code__ = new[found.__code__.co_firstlineno]
        elif type(found).__name__ == "_lru_cache_wrapper" and str(found.__module__).startswith("bqdump"):
            found.cache_clear()
    if mutant.module not in sys.modules:
        sys.meta_path.insert(0, at_start.Finder())


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


class Fork:
    """One fork of this process, which runs cases until one fails. changed: with the mutant, or without it."""

    def __init__(self, mutant: Mutant, cases: Cases, seconds: Callable[[pytest.Item], float], *, changed: bool) -> None:
        self.mutant, self.changed, self.cases = mutant, changed, [*cases.of_test, *cases.of_all]
        self.by: pytest.Item | None = None
        self.how, self.tried = "", 0
        self._seconds, self._rest = seconds, b""
        self._started = self._moved = time.monotonic()
        self.reader, writer = os.pipe()
        self._process = os.fork()
        if not self._process:
            os.close(self.reader)
            _run(mutant if changed else None, cases, writer)
        os.close(writer)

    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self._started

    def has_ended(self, *, ready: bool) -> bool:
        """Read what it reports, if anything. True also if it hangs."""
        data = os.read(self.reader, 65536) if ready else b""
        if ready and not data:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            word, _, rest = line.decode().partition(" ")
            if word == "tries":
                self.tried, self._moved = int(rest), time.monotonic()
            elif word == "failed":
                self.by, self.how = self.cases[self.tried - 1], rest
            else:
                self.how = rest
        patience = (
            max(LEAST_SECONDS, TIMES * self._seconds(self.cases[self.tried - 1])) if self.tried else LIMIT_SECONDS
        )
        if time.monotonic() - self._moved < patience:
            return False
        self.by, self.how = (self.cases[self.tried - 1], "hangs") if self.tried else (None, "hangs")
        return True

    def end(self) -> None:
        """End the process, and those that its tests have left."""
        os.close(self.reader)
        with suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        mark = f"{TRIAL}={self._process}\0".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)


class Trial:
    """All mutants, in one process that has collected the tests."""

    def __init__(self, session: pytest.Session, orders: Orders) -> None:
        self._orders, self._reach = orders, reach.Reach(Path(orders.records))
        self._cases = defaultdict[str, list[pytest.Item]](list)
        for item in session.items:
            self._cases[reach.test_of(item.nodeid)].append(item)
        self._of_test = _of_make_test(session)
        # By mutant: cases that fail without it as well.
        self._failing = defaultdict[str, list[pytest.Item]](list)

    def run(self) -> None:
        """Try each mutant."""
        waiting = list(reversed(self._orders.mutants))
        running, killed = dict[int, Fork](), dict[str, Fork]()
        while waiting or running:
            while waiting and len(running) < self._orders.workers:
                mutant = waiting.pop()
                fork = Fork(mutant, self._chosen(mutant), self._seconds, changed=True)
                running[fork.reader] = fork
            ready, _, _ = select.select(list(running), [], [], 1.0)
            for reader, fork in [*running.items()]:
                if not fork.has_ended(ready=reader in ready):
                    continue
                del running[reader]
                fork.end()
                name = fork.mutant.name
                if fork.changed and fork.by:
                    killed[name] = fork
                    control = Fork(fork.mutant, Cases([fork.by], []), self._seconds, changed=False)
                    running[control.reader] = control
                elif not fork.changed and fork.by:
                    self._failing[name].append(fork.by)
                    waiting += [fork.mutant] if len(self._failing[name]) < TRIES else []
                else:
                    self._store(fork if fork.changed else killed[name])

    def _seconds(self, item: pytest.Item) -> float:
        found = self._reach.tests.get(reach.test_of(item.nodeid))
        return found.seconds if found else 0.0

    def _reaching(self, mutant: Mutant) -> dict[str, reach.Reached]:
        return {test: found for test, found in self._reach.tests.items() if mutant.function in found.functions}

    def _chosen(self, mutant: Mutant) -> Cases:
        """The cases of the tests that reach this function; first those that are quick and reach little else."""
        found = [
            (number, reached.seconds * len(reached.functions), item)
            for test, reached in self._reaching(mutant).items()
            for number, item in enumerate(self._cases.get(test, ()))
            if item not in self._failing[mutant.name]
        ]
        found.sort(key=lambda case: case[:2])
        return Cases(
            [item for _, _, item in found if item in self._of_test],
            [item for number, _, item in found if item not in self._of_test and number < CASES],
        )

    def _store(self, fork: Fork) -> None:
        tier = "" if fork.by is None else "test" if fork.by in self._of_test else "test-all"
        by = fork.by.nodeid if fork.by else ""
        reached = len(self._reaching(fork.mutant))
        digest = self._orders.digests[self._orders.mutants.index(fork.mutant)]
        result = Result(fork.mutant.name, digest, tier, by, fork.how, reached, fork.tried, round(fork.seconds(), 1))
        with Path(self._orders.results).open("a") as results:
            results.write(json.dumps(result) + "\n")


def _of_make_test(session: pytest.Session) -> set[pytest.Item]:
    """The cases that `make test` runs."""
    plugins = session.config.pluginmanager.get_plugins()
    conftest = next(plugin for plugin in plugins if hasattr(plugin, "_test_and_variants"))
    tiers.choose("test")
    selection = tiers.Selection()
    return {item for item in session.items if selection.takes(*conftest._test_and_variants(item))}


def _run(mutant: Mutant | None, cases: Cases, writer: int) -> NoReturn:
    """Run cases in this fork until one fails, report it, and end."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.environ[TRIAL] = str(os.getpid())

    def report(text: str) -> None:
        os.write(writer, f"{text}\n".encode())

    try:
        if mutant:
            apply(mutant, Path(tempfile.mkdtemp()))
        _run_cases(cases, report)
    except BaseException as error:
        report(f"ended by {type(error).__name__}: {error}".replace("\n", " "))
        raise
    finally:
        os._exit(0)


def _run_cases(cases: Cases, report: Callable[[str], None]) -> None:
    failed = list[str]()

    class Watch:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed:
                failed.append(str(report.longrepr).strip().rpartition("\n")[2][:200])

    every = [*cases.of_test, *cases.of_all]
    if not every:
        return
    every[0].config.pluginmanager.register(Watch())
    for tier, first, chosen in (("test", 1, cases.of_test), ("all", len(cases.of_test) + 1, cases.of_all)):
        tiers.choose(tier)
        ends = time.monotonic() + LIMIT_SECONDS
        for number, item in enumerate(chosen, first):
            report(f"tries {number}")
            # Fixtures are kept for the next case only: what follows may be left out.
            following = every[number] if number < len(every) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if failed:
                report(f"failed {failed[0]}")
                item.session._setupstate.teardown_exact(None)
                return
            if time.monotonic() > ends:
                item.session._setupstate.teardown_exact(None)
                break
    every[0].session._setupstate.teardown_exact(None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    """Instead of the tests."""
    mutants, *rest = json.loads(Path(os.environ[ORDERS]).read_text())
    Trial(session, Orders([Mutant(*mutant) for mutant in mutants], *rest)).run()
    return True
