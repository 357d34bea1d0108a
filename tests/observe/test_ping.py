"""A dead man's switch: pings at the start, a success and a failure, and silence wherever a service is to alert."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import select
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import msgspec
import pytest

from bqdump import verbs
from bqdump.adapters import webhook
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.webhook import MOST_BYTES, Ping
from bqdump.core.copy.plan import Request
from bqdump.core.documents.run import Owner
from bqdump.core.errors import BqdumpError, NotFoundError, QuotaError, TablesFailedError
from bqdump.core.restore.drill import Sample
from bqdump.core.restore.plan import Options
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.ports.warehouse import JobError
from bqdump.restoration import restore
from bqdump.restoration.changes import Compared
from bqdump.verbs.pinging import pinged
from bqdump_memory import MemoryDestination
from loopback import serving
from opened import Given, everywhere
from restore.world import SETTINGS, ExportedWorld

BAD = JobError("invalid", "no good")


class Pings:
    """What a service of pings got: paths below its address, and bodies. statuses: of the next answers, then 200."""

    def __init__(self) -> None:
        self.url, self.got, self.statuses = "", list[tuple[str, str]](), list[int]()

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.got]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pings]:
    monkeypatch.setattr(webhook, "PING_PAUSES", (0.0,))
    pings = Pings()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            assert self.path.startswith("/ping/s3cret")
            assert self.path.endswith("?create=1")
            pings.got.append((self.path.removeprefix("/ping/s3cret").removesuffix("?create=1"), body))
            self.send_response(pings.statuses.pop(0) if pings.statuses else 200)
            self.send_header("Location", f"{pings.url}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with serving(Handler) as address:
        pings.url = f"{address}/ping/s3cret?create=1"
        yield pings


class Runs:
    """Two tables in memory, and runs of them that ping."""

    def __init__(self, served: Pings, **options: Any) -> None:
        self.store, clock = MemoryStore(), itertools.count(1_800_000_000_000)
        self.big = MemoryDestination(self.store, lambda: next(clock), **options)
        for table in ("one", "two"):
            self.big.put("project", "data", table, ["a", "b"])
        target = Target("gs", "memory")
        self.settings = Settings(project="project", dataset="data", target=target, header=False, ping=served.url)

    def run(self, task: int = 0, name: str = "r1", execution: str = "", attempt: int | None = None, tasks: int = 1,
            **changed: Any) -> None:  # fmt: skip
        settings = msgspec.structs.replace(self.settings, **changed)
        services = Given(settings, lambda _: self.store, self.big)
        start = verbs.Start(settings, name, Owner(execution or name, task), tasks, attempt=attempt)
        asyncio.run(verbs.run(services, start))


def test_a_published_run_pings_its_start_and_its_success_once(served: Pings) -> None:
    world = Runs(served)
    world.run()
    assert served.got == [("/start", ""), ("", "")]
    served.got.clear()
    # The run of this id is published already: nothing was exported that could be a success.
    world.run(execution="again")
    assert served.paths == ["/start"]


def test_several_tasks_ping_once(served: Pings) -> None:
    world = Runs(served)
    for task in (1, 0, 2):
        world.run(task, tasks=3, attempt=0)
    assert sorted(served.paths) == ["", "/start"]


def test_tables_that_fail_ping_one_failure_with_the_exit_code_and_the_last_lines(
    served: Pings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world = Runs(served, failing=lambda table, job: BAD if table == "one" else None)
    for task, attempt in ((0, 0), (0, 1), (1, 0)):
        with pytest.raises(TablesFailedError):
            world.run(task, attempt=attempt)
    assert served.paths == ["/start", "/fail"]
    lines = served.got[-1][1].splitlines()
    assert lines[-1] == "exit code 3"
    assert any("one" in line and "invalid: no good" in line for line in lines[:-1])
    assert 2 < len(lines) <= 22


def test_a_superseded_run_does_not_ping_its_success(served: Pings, caplog: pytest.LogCaptureFixture) -> None:
    busy = ["earlier"]
    world = Runs(served, failing=lambda table, job: JobError("quotaExceeded", "later") if busy else None)
    with pytest.raises(QuotaError):
        world.run(name="earlier", attempt=0)
    busy.clear()
    world.run(name="later", ping="")
    world.run(name="earlier", execution="resumed")
    assert served.paths == ["/start", "/start"]
    assert asyncio.run(verbs.status(everywhere(world.store), world.settings, "earlier")).state == "superseded"


@pytest.mark.parametrize(("task", "attempt", "paths"), [
    (0, None, ["/start", "/fail"]), (0, 0, ["/start", "/fail"]), (0, 1, []), (1, 0, []),
])  # fmt: skip
def test_what_ends_every_task_is_pinged_by_the_first_one(
    served: Pings, task: int, attempt: int | None, paths: list[str]
) -> None:
    with pytest.raises(NotFoundError):
        Runs(served).run(task, attempt=attempt, dataset="gone")
    assert served.paths == paths
    assert [body[-11:] for path, body in served.got if path == "/fail"] == ["exit code 5"] * (len(paths) // 2)


def test_what_a_restarted_task_may_get_over_is_no_failure_yet(served: Pings) -> None:
    with pytest.raises(QuotaError):
        Runs(served, failing=lambda table, job: JobError("quotaExceeded", "later")).run(attempt=0)
    assert served.paths == ["/start"]


def test_work_that_is_cancelled_is_silent(served: Pings) -> None:
    world = Runs(served)

    async def cancelled() -> None:
        async with pinged(world.settings):
            await asyncio.sleep(0.01)
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert set(served.paths) <= {"/start"}


def test_a_prune_that_a_run_does_is_part_of_the_run(served: Pings) -> None:
    world = Runs(served)
    world.run(path="{run}/{table}_*.{ext}", prune=True, keep_last=1)
    assert served.paths == ["/start", ""]


@pytest.mark.parametrize("differs", [False, True])
def test_a_drill_pings_how_it_ended(served: Pings, differs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    world = ExportedWorld({"one": ["a"]})
    if differs:
        world.change_manifest(tables=(msgspec.structs.replace(world.manifest.tables[0], rows=7),))
    else:
        # Rows of this memory have no columns whose values could be compared.
        monkeypatch.setattr(restore, "compare_values", lambda *_: _compared())
    settings = msgspec.structs.replace(SETTINGS, ping=served.url)
    task = world.task(Options(project="project", dataset=""))._replace(settings=settings)
    done = asyncio.run(verbs.drill(task, Sample()))
    assert done.state == ("different" if differs else "proven")
    assert served.paths == ["/start", "/fail" if differs else ""]
    assert served.got[-1][1].endswith("exit code 4" if differs else "")


async def _compared() -> Compared:
    return Compared(1, [])


def test_verify_prune_and_copy_ping_how_they_ended_and_what_only_shows_does_not(
    served: Pings, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    world = Runs(served)
    world.run(path="{run}/{table}_*.{ext}", ping="")
    settings = world.settings
    asyncio.run(verbs.verify(everywhere(world.store), settings))
    assert served.paths == ["/start", ""]
    asyncio.run(verbs.prune(everywhere(world.store), msgspec.structs.replace(settings, keep_last=1), delete=False))
    assert len(served.got) == 2
    asyncio.run(verbs.prune(everywhere(world.store), msgspec.structs.replace(settings, keep_last=1), delete=True))
    assert served.paths == ["/start", ""] * 2
    (name,) = [name for name in world.store.names_now() if name.startswith("r1/one")]
    found = world.store.peek(name)
    assert found
    asyncio.run(world.store.delete([(name, found[1].generation)]))
    asyncio.run(verbs.verify(everywhere(world.store), settings))
    assert served.paths[-2:] == ["/start", "/fail"]
    assert served.got[-1][1].endswith("exit code 4")
    folder = msgspec.structs.replace(settings, target=Target("file", str(tmp_path / "none")))
    for dry, paths in ((True, []), (False, ["/start", "/fail"])):
        served.got.clear()
        request = Request(Target("file", str(tmp_path / "copy")), dry=dry)
        with pytest.raises(BqdumpError):
            asyncio.run(verbs.copy(folder, request, Owner("c", 0)))
        assert served.paths == paths


@pytest.mark.parametrize("statuses", [[200, 301], [200, 500, 500], [404, 404]])
def test_an_address_that_refuses_or_redirects_changes_nothing_and_leaks_nothing(
    served: Pings, statuses: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    served.statuses = statuses
    world = Runs(served)
    world.run()
    assert {path for path, _ in served.got} == {"/start", ""}
    (line,) = [record for record in caplog.records if getattr(record, "event", "") == "notify_failed"]
    assert "HTTP " in line.getMessage()
    assert "s3cret" not in caplog.text
    documents = [world.store.peek(name) for name in world.store.names_now()]
    assert not any(b"s3cret" in found[0] for found in documents if found)


class Hanging(BaseHTTPRequestHandler):
    """Sends headers that have no end, until the client closes the connection."""

    piece = b"X"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        with contextlib.suppress(OSError):
            while not select.select([self.connection], [], [], 0.01)[0]:
                self.wfile.write(self.piece)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_an_address_that_hangs_does_not_hold_up_the_work_and_is_given_up_at_its_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The work ends while the start is still without an answer."""
    monkeypatch.setattr(webhook, "START_DEADLINE", 0.2)
    monkeypatch.setattr(webhook, "TIMEOUT", (0.3, 0.3))

    async def work(address: str) -> list[bool]:
        ping = Ping(f"{address}/s3cret", deadline=0.2)
        ping.start()
        answered = [ping.problem is not None]
        with pytest.raises(BqdumpError, match=r"no answer within 0\.2 seconds") as caught:
            await ping.end(0, "")
        assert "s3cret" not in str(caught.value)
        return [*answered, ping.problem is not None]

    with serving(Hanging) as address:
        assert asyncio.run(work(address)) == [False, True]


def test_a_start_that_is_slow_arrives_before_the_end(served: Pings) -> None:
    async def work() -> None:
        ping = Ping(served.url)
        ping.start()
        await ping.end(0, "")

    asyncio.run(work())
    assert served.paths == ["/start", ""]


def test_a_body_is_at_most_what_a_service_keeps_and_has_the_end_of_the_text(served: Pings) -> None:
    async def work() -> None:
        await Ping(served.url).end(3, "é" * MOST_BYTES + "exit code 3")

    asyncio.run(work())
    ((path, body),) = served.got
    assert path == "/fail"
    assert len(body.encode()) <= MOST_BYTES
    assert body.endswith("ééexit code 3")


def test_the_address_is_in_no_command_that_is_printed_to_be_repeated(
    served: Pings, capsys: pytest.CaptureFixture[str]
) -> None:
    from bqdump.cli.errors import SECRET, Flags

    called = Flags({}, {"ping": served.url, "prefix": "x"}).call("run", {"run_id": "r1"})
    assert "ping" in SECRET
    assert called == "bqdump run --run-id r1 --prefix x"
