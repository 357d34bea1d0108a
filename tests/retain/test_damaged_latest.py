"""A latest.json that cannot be read: what does not depend on it goes on, and the error has a command that heals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from bqdump.check.verify import verify
from bqdump.core.documents.codec import decode
from bqdump.core.documents.layout import SMALL
from bqdump.core.documents.target import Latest
from bqdump.core.errors import DocumentError, UsageError
from bqdump.core.wording import COMMANDS
from bqdump.observe.history import list_runs
from bqdump.observe.status import status
from bqdump.repository.manifests import published_run
from retain.scene import LAYOUT, SETTINGS, Scene

REPLACE = "{table}/{table}_*.{ext}"
LAYOUTS = pytest.mark.parametrize("path", [SETTINGS.path, REPLACE])
HEAL = "bqdump run --run-id b"


def damage(scene: Scene, content: bytes = b"garbage") -> bytes:
    """Store another content over latest.json; what it was."""
    found = scene.store.peek(LAYOUT.latest.name)
    assert found
    scene.store.put_now(LAYOUT.latest.name, content)
    return found[0]


@LAYOUTS
@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b" " * (SMALL + 1)])
def test_the_newest_complete_run_writes_it_again(scene: Scene, path: str, content: bytes) -> None:
    scene.run("a", "b", path=path)
    scene.abandon("dead", path=path)
    before = damage(scene, content)
    asks: list[Callable[[], object]] = [
        lambda: asyncio.run(verify(scene.store, SETTINGS)),
        lambda: asyncio.run(published_run(scene.store, SETTINGS)),
        lambda: scene.run("c", path=path),
        lambda: scene.prune(path=path),
        lambda: scene.run("a", path=path),
    ]
    for ask in asks:
        with pytest.raises(DocumentError) as caught:
            ask()
        assert HEAL in caught.value.sentence(COMMANDS)
    jobs = len(scene.warehouse.extracted)
    (result,) = scene.run("b", path=path)
    assert (result.state, len(scene.warehouse.extracted)) == ("published", jobs)
    found = scene.store.peek(LAYOUT.latest.name)
    assert found
    healed, was = (decode(data, Latest, LAYOUT.latest.name) for data in (found[0], before))
    assert (healed.run, healed.number, healed.manifest_generation) == (was.run, was.number, was.manifest_generation)
    scene.run("c", path=path)
    assert asyncio.run(verify(scene.store, SETTINGS, "c")).findings == ()


@LAYOUTS
def test_healing_keeps_the_check_of_removed_tables(scene: Scene, path: str) -> None:
    scene.run("a", "b", path=path)
    damage(scene)
    scene.run("b", path=path)
    with pytest.raises(UsageError, match="items"):
        scene.run("c", path=path, include=("sales",))


@LAYOUTS
def test_a_run_that_was_killed_before_its_report_heals_it_too(scene: Scene, path: str) -> None:
    scene.run("a", "b", path=path)
    damage(scene)
    for name in (LAYOUT.summary("b").name, LAYOUT.run("b").report):
        scene.delete_now(name)
    (result,) = scene.run("b", path=path)
    assert result.state == "published"
    assert asyncio.run(published_run(scene.store, SETTINGS)) == "b"


def test_runs_status_and_verify_of_a_run_go_on_with_a_warning(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.run("a", "b")
    damage(scene)
    with caplog.at_level(logging.WARNING):
        lines = asyncio.run(list_runs(scene.store, SETTINGS))
        found = asyncio.run(status(scene.store, SETTINGS, "b"))
    assert [(line.run, line.published) for line in lines] == [
        ("b", False),
        ("a", False),
    ]
    assert (found.run, found.state, found.latest) == ("b", "complete", "")
    assert HEAL in found.latest_problem
    assert asyncio.run(verify(scene.store, SETTINGS, "b")).findings == ()
    assert [HEAL in record.getMessage() for record in caplog.records] == [True]


def test_a_pointer_that_can_be_read_is_left_alone(scene: Scene) -> None:
    scene.run("a", "b")
    before = scene.store.peek(LAYOUT.latest.name)
    scene.run("a", "b")
    assert scene.store.peek(LAYOUT.latest.name) == before
