"""Settings that every test needs."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from _pytest.assertion import rewrite
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none

import chance
import parsing
import tiers
from bqdump.adapters import lean_imports
from virtual_time import run_skipping
from warm_process import GC_THRESHOLD
from warm_start import WarmStart, warm_start

TESTS = Path(__file__).parent
# More than there are cores, where tests wait for servers and processes. Each worker imports all tests of a tier.
MORE_WORKERS = {"test": 1, "servers": 3, "all": 3}
# A loaded machine is slow, and that is no fault of what is tested.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("bqdump", PATIENT, max_examples=25)
# `.ci/run` searches longer, with `--hypothesis-profile thorough`.
settings.register_profile("thorough", PATIENT, max_examples=200)
settings.load_profile("bqdump")
parsing.guard()
# jsonschema would import it, and so compile a grammar for a second, to check IRIs. No test has any.
sys.modules["rfc3987_syntax"] = ModuleType("rfc3987_syntax")
# Commands that tests call leave this process's imports alone: servers in its threads import what an export does not.
lean_imports.import_lean = lambda: None


class _Filled(logging.LogRecord):
    """A line of the log: whoever reads it sees no placeholder."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        if str(name).startswith("bqdump"):
            assert not re.search(r"\{(setting|call):", self.getMessage()), self.getMessage()


logging.setLogRecordFactory(_Filled)


@pytest.fixture(scope="session", autouse=True)
def warm() -> Iterator[WarmStart]:
    """Commands start without importing everything anew."""
    with warm_start() as started:
        yield started


@pytest.fixture
def cold(warm: WarmStart) -> Iterator[None]:
    """For tests of what a command does while Python starts: commands start as ever."""
    with warm.cold():
        yield


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own. pytest's also lists all folders of a session and links the newest."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=tmp_path_factory.getbasetemp()))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees no setting, task variable or credential of whoever runs it."""
    outside = ("BQDUMP_", "CLOUD_RUN_", "BATCH_", "AWS_BATCH_", "JOB_COMPLETION", "GOOGLE_")
    for name in list(os.environ):
        if name.startswith(outside) or name in ("PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logging_as_imported() -> None:
    """A command that an earlier test ran in this process has not set up the log of this one."""
    logger = logging.getLogger("bqdump")
    logger.handlers[:] = [one for one in logger.handlers if isinstance(one, logging.NullHandler)]
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests on ports in memory, where nothing takes time: timers need not, either."""
    monkeypatch.setattr(asyncio, "run", run_skipping)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A test that is a coroutine runs in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in arguments}))
    return True


def pytest_addoption(parser: pytest.Parser) -> None:
    """What the targets of make differ in."""
    parser.addoption("--tier", choices=tiers.TIERS, default="all", help="which tests to run: see tests/tiers.py")
    parser.addoption("--seed", type=int, help="what all chance follows from: see tests/chance.py (default: any)")
    parser.addoption("--shuffle", action="store_true", help="run the tests in an order that follows from the seed")
    parser.addoption("--without", action="append", choices=tiers.ASIDE, default=[], help="leave this part out")


def pytest_configure(config: pytest.Config) -> None:
    """Take the options; Ctrl-C reaches the commands that tests start, also if a script runs them in its background."""
    tiers.choose(config.getoption("tier"), config.getoption("without"))
    if config.option.seed is None:
        config.option.seed = chance.new_seed()
    if config.getoption("numprocesses", None):
        chance.seed_workers(config.option.seed)
    chance.follow(config.option.seed)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Import no tests that do not run."""
    if not collection_path.is_relative_to(TESTS) or collection_path == TESTS:
        return None
    return tiers.leaves_out(collection_path.relative_to(TESTS).as_posix()) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests and cases that are not of this tier."""
    selection = tiers.Selection()
    taken, left = list[pytest.Item](), list[pytest.Item]()
    for item in items:
        (taken if selection.takes(*_test_and_variants(item)) else left).append(item)
    if left:
        items[:] = taken
        config.hook.pytest_deselected(items=left)
    if config.option.shuffle:
        chance.shuffle(config.option.seed, items)


def pytest_report_header(config: pytest.Config) -> str:
    """With what this session is repeated."""
    return f"chance: {chance.how_to_repeat(config.option.seed, config.option.shuffle)}"


def pytest_collectstart(collector: pytest.Collector) -> None:
    """What a module of tests draws when it is imported does not depend on the modules before it."""
    if isinstance(collector, pytest.Module):
        chance.begin(collector.config.option.seed, collector.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each test begins with a chance of its own."""
    chance.begin(item.config.option.seed, item.nodeid)


def _test_and_variants(item: pytest.Item) -> tuple[str, tuple[str, ...]]:
    """The test of an item, and which variants of its fixtures it has, apart from the test's own parameters."""
    test = f"{item.path.relative_to(TESTS).as_posix()}::{item.name.partition('[')[0]}"
    own = {
        name.strip()
        for mark in item.iter_markers("parametrize")
        for name in (mark.args[0].split(",") if isinstance(mark.args[0], str) else mark.args[0])
    }
    call = getattr(item, "callspec", None)
    return test, tuple(str(value) for name, value in (call.params if call else {}).items() if name not in own)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Rewrite the assertions of changed modules before workers start: each worker would, at the same time."""
    if not session.config.getoption("numprocesses", None) or sys.dont_write_bytecode:
        return
    state = session.config.stash[rewrite.assertstate_key]
    for path in TESTS.rglob("test_*.py"):
        found = path.relative_to(TESTS)
        if any(tiers.leaves_out(each.as_posix()) for each in (found, *found.parents[:-1])):
            continue
        kept = rewrite.get_cache_dir(path) / f"{path.stem}{rewrite.PYC_TAIL}"
        if rewrite.try_makedirs(kept.parent) and rewrite._read_pyc(path, kept) is None:
            status, code = rewrite._rewrite_test(path, session.config)
            rewrite._write_pyc(state, code, status, kept)


@pytest.hookimpl(tryfirst=True)
def pytest_collection() -> None:
    """What thousands of tests consist of stays until the end: the collector need not walk through it all the time."""
    gc.disable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Collect from here on what tests leave."""
    # Hypothesis asks the collector who holds its random numbers; it sees no holder among what is frozen.
    settings(max_examples=1, database=None)(given(none())(lambda _: None))()
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(GC_THRESHOLD)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes `-n auto` is."""
    return (os.cpu_count() or 1) + MORE_WORKERS.get(config.getoption("tier"), 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say how failures are repeated. Where skips are forbidden, name them."""
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        repeated = chance.how_to_repeat(config.option.seed, config.option.shuffle)
        terminalreporter.write_line(f"the same chance: {repeated}", yellow=True)
    for report in terminalreporter.stats.get("skipped", []):
        if os.environ.get("BQDUMP_FORBID_SKIPS"):
            terminalreporter.write_line(f"skipped, which is forbidden here: {report.nodeid}", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where skips are forbidden, one of them fails the whole session."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("BQDUMP_FORBID_SKIPS") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
