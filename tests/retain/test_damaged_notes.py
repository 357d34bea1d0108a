"""Notes that another tool has uploaded again, without what listings need: their content counts, and stops prune."""

from __future__ import annotations

import asyncio
import json

import pytest

from bqdump.core.documents.retention import MOST_TAGS
from bqdump.core.errors import DocumentError
from bqdump.observe.history import list_runs
from bqdump.repository.notes import change_tags
from retain.scene import DAY, LAYOUT, SETTINGS, Scene

GARBAGE = [b"", b"garbage", b"{}", b'{"run":"b","tags":["keep"]}', b'{"run":"a","tags":["keep"]}x'.ljust(5000)]


def upload_again(scene: Scene, name: str, change: bytes | None = None) -> None:
    """Store an object as `gcloud storage cp` does."""
    found = scene.store.peek(name)
    assert found
    scene.store.put_now(name, found[0] if change is None else change)


def test_a_tag_that_was_uploaded_again_keeps_its_run(scene: Scene) -> None:
    scene.run("a", "b")
    asyncio.run(change_tags(scene.store, LAYOUT, "a", ["keep"]))
    upload_again(scene, LAYOUT.tags("a").name)
    assert asyncio.run(change_tags(scene.store, LAYOUT, "a", ["keep"])) == ("keep",)
    assert [line.tags for line in asyncio.run(list_runs(scene.store, SETTINGS))] == [(), ("keep",)]
    assert scene.removed(scene.prune()) == []


def test_as_many_tags_as_a_run_can_have_are_listed_with_blanks(scene: Scene) -> None:
    scene.run("a", "b")
    asyncio.run(change_tags(scene.store, LAYOUT, "a", [f"tag-{number:026}" for number in range(MOST_TAGS)]))
    found = scene.store.peek(LAYOUT.tags("a").name)
    assert found
    upload_again(scene, LAYOUT.tags("a").name, json.dumps(json.loads(found[0]), indent=2).encode())
    assert scene.removed(scene.prune(keep_tag=("tag-" + "0" * 26,))) == []


@pytest.mark.parametrize("content", GARBAGE)
def test_tags_that_cannot_be_read_stop_prune_and_are_named_by_runs(scene: Scene, content: bytes) -> None:
    scene.run("a", "b")
    asyncio.run(change_tags(scene.store, LAYOUT, "a", ["keep"]))
    upload_again(scene, LAYOUT.tags("a").name, content)
    before = scene.names()
    for delete in (False, True):
        with pytest.raises(DocumentError, match=r"tags/a\.json: .* or delete it, then tag the run again"):
            scene.prune(delete=delete)
    assert scene.names() == before
    with pytest.raises(DocumentError, match=r"tags/a\.json"):
        asyncio.run(change_tags(scene.store, LAYOUT, "a", ["keep"]))
    last, first = asyncio.run(list_runs(scene.store, SETTINGS))
    assert (first.run, first.state, first.tags, last.problem) == ("a", "complete", (), "")
    assert "tags/a.json" in first.problem


def test_a_mark_that_was_uploaded_again_hides_its_run_for_another_day(scene: Scene) -> None:
    scene.run("a", "b")
    scene.prune_once()
    scene.now += DAY
    upload_again(scene, LAYOUT.mark("a").name)
    assert scene.removed(scene.prune_once()) == []
    assert [line.run for line in asyncio.run(list_runs(scene.store, SETTINGS))] == ["b"]
    scene.now += DAY
    assert scene.removed(scene.prune_once()) == ["a"]


def test_receipts_that_were_uploaded_again_count(scene: Scene) -> None:
    scene.abandon("a")
    for name in scene.names("/receipts/"):
        upload_again(scene, name)
    begun = len(scene.warehouse.extracted)
    scene.run("a")
    assert len(scene.warehouse.extracted) == begun


def test_a_receipt_that_cannot_be_read_stops_prune(scene: Scene) -> None:
    scene.run("a")
    scene.abandon("b")
    scene.run("c")
    scene.store.put_now(scene.names("/b/receipts/")[0], b"garbage")
    with pytest.raises(DocumentError, match=r"/receipts/"):
        scene.prune(abandoned_after=3600)
