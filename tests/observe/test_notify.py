"""What happened to a run or a drill is posted once, and never changes what happens to it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from bqdump import verbs
from bqdump.adapters import webhook
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import NotFoundError, QuotaError, TablesFailedError
from bqdump.core.restore.drill import Drilled as RunDrilled
from bqdump.core.restore.drill import Sample
from bqdump.core.restore.plan import Options
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.ports.warehouse import JobError
from bqdump_memory import MemoryDestination
from hooks import Hook, hook
from opened import Given
from restore.world import SETTINGS, ExportedWorld


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    monkeypatch.setattr(webhook, "PAUSES", (0.0,))
    monkeypatch.setenv("BQDUMP_NOTIFY_SECRET", "t0ken")
    with hook() as made:
        yield made


class NotifiedRuns:
    """A dataset of two tables in memory, and runs of it that post to a webhook."""

    def __init__(self, served: Hook, **options: Any) -> None:
        self.store, clock = MemoryStore(), itertools.count(1_800_000_000_000)
        self.big = MemoryDestination(self.store, lambda: next(clock), **options)
        for table in ("one", "two"):
            self.big.put("project", "data", table, ["a", "b"])
        self.settings = Settings(
            project="project", dataset="data", target=Target("gs", "memory"), header=False, notify=served.url
        )

    def end(self, owner: Owner, **changed: Any) -> None:
        """Do one task's part of run r1 as this process."""
        settings = msgspec.structs.replace(self.settings, **changed)
        services = Given(settings, lambda _: self.store, self.big)
        asyncio.run(verbs.run(services, verbs.Start(settings, "r1", owner, 2, attempt=0)))

    def run(self, name: str = "r1", task: int = 0, attempt: int | None = None, **changed: Any) -> verbs.Ended:
        settings = msgspec.structs.replace(self.settings, **changed)
        services = Given(settings, lambda _: self.store, self.big)
        return asyncio.run(verbs.run_one(services, verbs.Start(settings, name, Owner(name, task), 1, attempt=attempt)))


def test_a_published_run_is_posted_with_its_result_once(served: Hook) -> None:
    world = NotifiedRuns(served)
    world.run()
    world.run()
    ((headers, posted),) = served.posts
    assert headers["authorization"] == "Bearer t0ken"
    assert (posted["event"], posted["run"], posted["dataset"], posted["error"]) == ("run_published", "r1", "data", "")
    assert (posted["result"]["state"], posted["result"]["tables"], posted["result"]["rows"]) == ("published", 2, 4)
    assert "run r1 of project.data is published: 2 tables, 4 rows" in posted["text"]


@pytest.mark.parametrize("several", [False, True], ids=["one dataset", "a set"])
@pytest.mark.parametrize("late", [False, True], ids=["before the notice", "while it is posted"])
def test_a_run_that_is_stopped_before_its_notice_is_posted_once_it_is_resumed(
    served: Hook, late: bool, several: bool
) -> None:
    world = Project(served) if several else NotifiedRuns(served)
    world.end(Owner("night", 1), notify="" if not late else served.url)
    if late:
        for name in [name for name in world.store.names_now() if name.endswith("notified/run_published.json")]:
            world.store._objects.pop(name)
        served.posts.clear()
        # It is about to post, as far as the others know: if it has stopped, it is started again.
        world.end(Owner("night", 0))
        assert served.posts == []
        world.end(Owner("night", 1))
    else:
        assert served.posts == []
        world.end(Owner("resumed", 0))
    for again in (Owner("night", 0), Owner("night", 1), Owner("resumed", 1), Owner("another", 0)):
        world.end(again)
    assert [body["event"] for body in served.bodies] == ["run_published"]
    assert (served.bodies[0]["result"]["state"], served.bodies[0]["run"]) == ("published", "r1")


def test_a_notice_that_was_not_delivered_is_posted_when_the_run_is_resumed(served: Hook) -> None:
    world = NotifiedRuns(served)
    served.statuses = [500, 500]
    world.run()
    served.posts.clear()
    world.end(Owner("resumed", 0))
    world.end(Owner("again", 0))
    assert len(served.posts) == 1


def test_tables_that_fail_are_posted_once_for_all_tasks_and_attempts(served: Hook) -> None:
    world = NotifiedRuns(served, failing=lambda table, job: JobError("invalid", "no good") if table == "one" else None)
    for task, attempt in ((0, 0), (0, 1), (1, 0)):
        with pytest.raises(TablesFailedError):
            world.run(task=task, attempt=attempt)
    (posted,) = served.bodies
    assert (posted["event"], posted["result"]) == ("run_failed", None)
    assert "one: invalid: no good" in posted["error"]
    assert "failed and is not published" in posted["text"]


def test_a_partial_export_names_what_is_missing(served: Hook) -> None:
    world = NotifiedRuns(served, failing=lambda table, job: JobError("invalid", "no good") if table == "one" else None)
    world.run(allow_partial=True)
    assert "1 table failed and missing" in served.bodies[0]["text"]


@pytest.mark.parametrize(("task", "attempt", "posts"), [(0, None, 1), (0, 0, 1), (0, 1, 0), (1, 0, 0)])
def test_what_ends_every_task_is_posted_by_the_first_one(
    served: Hook, task: int, attempt: int | None, posts: int
) -> None:
    world = NotifiedRuns(served)
    with pytest.raises(NotFoundError):
        world.run(task=task, attempt=attempt, dataset="gone")
    assert [body["event"] for body in served.bodies] == ["run_failed"] * posts


@pytest.mark.parametrize(("attempt", "posts"), [(0, 0), (None, 1)])
def test_what_a_restarted_task_may_get_over_is_posted_only_where_nothing_restarts_it(
    served: Hook, attempt: int | None, posts: int
) -> None:
    world = NotifiedRuns(served, failing=lambda table, job: JobError("quotaExceeded", "later"))
    with pytest.raises(QuotaError):
        world.run(attempt=attempt)
    assert len(served.posts) == posts


def test_a_notice_that_is_not_delivered_changes_nothing(served: Hook, caplog: pytest.LogCaptureFixture) -> None:
    world = NotifiedRuns(served)
    served.statuses = [500, 500, 500]
    assert world.run().result.state == "published"
    assert len(served.posts) == 2
    (line,) = [record for record in caplog.records if getattr(record, "event", "") == "notify_failed"]
    assert "HTTP 500" in line.getMessage()
    assert "s3cret" not in caplog.text


def test_the_address_is_in_no_document(served: Hook) -> None:
    world = NotifiedRuns(served)
    world.run()
    documents = [world.store.peek(name) for name in world.store.names_now()]
    assert documents
    assert not any(b"s3cret" in found[0] for found in documents if found)


def test_without_an_address_nothing_is_posted(served: Hook) -> None:
    world = NotifiedRuns(served)
    world.run(notify="")
    assert served.posts == []
    assert not any("notified" in name for name in world.store.names_now())


class Project(NotifiedRuns):
    """Two datasets, which are exported together."""

    def __init__(self, served: Hook, **options: Any) -> None:
        super().__init__(served, **options)
        self.big.put("project", "more", "three", ["c"])
        self.settings = msgspec.structs.replace(self.settings, dataset="data,more")

    def run_set(self, task: int = 0) -> None:
        services = Given(self.settings, lambda _: self.store, self.big)
        asyncio.run(verbs.run(services, verbs.Start(self.settings, "r1", Owner("r1", task), 2, attempt=0)))


def test_a_published_set_is_posted_once(served: Hook) -> None:
    project = Project(served)
    project.run_set()
    project.run_set()
    (posted,) = served.bodies
    assert (posted["event"], posted["result"]["state"], posted["result"]["tables"]) == ("run_published", "published", 3)


def test_a_set_with_a_dataset_that_failed_is_posted_once(served: Hook) -> None:
    project = Project(served, failing=lambda table, job: JobError("invalid", "no good") if table == "one" else None)
    for task in (0, 1):
        with pytest.raises(TablesFailedError):
            project.run_set(task)
    assert [body["event"] for body in served.bodies][-1] == "run_failed"
    assert [body["event"] for body in served.bodies].count("run_failed") == 1


class Drilled(ExportedWorld):
    """An export of one table, of which the manifest has other rows, and drills of it that post to a webhook."""

    def __init__(self, served: Hook) -> None:
        super().__init__({"one": ["a"]})
        self.change_manifest(tables=(msgspec.structs.replace(self.manifest.tables[0], rows=7),))
        self.settings = msgspec.structs.replace(SETTINGS, notify=served.url)

    def drill(self, **request: Any) -> RunDrilled:
        task = self.task(Options(project="project", dataset=""), **request)._replace(settings=self.settings)
        return asyncio.run(verbs.drill(task, Sample()))


def test_a_drill_that_finds_a_difference_is_posted_with_its_result(
    served: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    world = Drilled(served)
    done = world.drill()
    ((headers, posted),) = served.posts
    assert headers["authorization"] == "Bearer t0ken"
    assert [posted[key] for key in ("event", "run", "target", "error")] == ["drill_failed", "r1", "gs://memory/", ""]
    assert posted["result"] == json.loads(msgspec.json.encode(done))
    assert posted["result"]["state"] == "different"
    assert posted["text"] == f"bqdump: run r1 in gs://memory/ may not be restorable: {done.problems[0]}"
    documents = [world.store.peek(name) for name in world.store.names_now()]
    for secret in ("s3cret", "t0ken"):
        assert secret not in json.dumps(posted)
        assert secret not in caplog.text
        assert not any(secret.encode() in found[0] for found in documents if found)


def test_a_drill_that_ends_without_a_result_is_posted_with_the_error(served: Hook) -> None:
    world = Drilled(served)
    with pytest.raises(NotFoundError):
        world.drill(run="gone")
    (posted,) = served.bodies
    assert (posted["event"], posted["run"], posted["result"]) == ("drill_failed", "gone", None)
    assert "gone" in posted["error"]
    assert posted["text"] == f"bqdump: a drill of gs://memory/ ended without a result: {posted['error']}"


@pytest.mark.parametrize("statuses", [[500, 0], [404]], ids=["no answer", "refused"])
def test_a_drill_whose_notice_is_not_delivered_ends_as_without_one(
    served: Hook, statuses: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    world = Drilled(served)
    served.statuses = [*statuses, *statuses]
    assert world.drill().state == "different"
    with pytest.raises(NotFoundError):
        world.drill(run="gone")
    failed = [record.getMessage() for record in caplog.records if getattr(record, "event", "") == "notify_failed"]
    assert len(failed) == 2
    assert "s3cret" not in caplog.text
