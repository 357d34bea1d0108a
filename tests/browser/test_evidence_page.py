"""The evidence for an auditor: a page of its own, in a browser, that says what was proven and no more."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from playwright.sync_api import expect

from bqdump import verbs
from bqdump.core.documents.codec import encode
from bqdump.core.documents.target import Drill
from bqdump.core.errors import NotFoundError
from bqdump.core.times import milliseconds_of
from bqdump.core.version import VERSION
from bqdump.repository.drills import with_proofs
from bqdump.repository.manifests import read_contents
from browser.conftest import Visitor, fits_in_every_look
from browser.scenes import HOSTILE, Scene, shop

BEGAN = 1_800_000_000_000


def drill(**changes: Any) -> Drill:
    values = {
        "run": "monday", "snapshot": BEGAN, "dataset": "my-project.bqdump_drill_1", "tool": VERSION, "began": BEGAN,
        "ended": BEGAN + 60_000, "tables": 5, "of": 5, "objects": 2, "rows": 1234, "bytes": 5_000_000,
    }  # fmt: skip
    return Drill(**{**values, **changes})


def done(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it in its own thread: playwright uses this one's event loop."""
    found: list[Any] = []

    def main() -> None:
        try:
            found.append(asyncio.run(work))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def exported(*drills: Drill) -> Scene:
    scene = shop()
    scene.table(f"evil {HOSTILE}", [HOSTILE])
    done(scene.export("monday"))
    snapshot = milliseconds_of(done(_manifest(scene)).snapshot_time)
    for number, one in enumerate(drills):
        note = encode(done(_with_proofs(scene, replace(one, snapshot=snapshot))) if one.run == "monday" else one)
        done(scene.store.write_note(f"_bqdump/drills/{number}.json", note, 0))
    return scene


async def _with_proofs(scene: Scene, note: Drill) -> Drill:
    """The note, with its first tables as proven."""
    layout = scene.settings.layout
    contents = await read_contents(scene.store, layout.run("monday"))
    tables = [line.table for line in contents.tables] if contents else []
    found = ((), tables[:1]) if note.different else (tables[: note.tables], ())
    return await with_proofs(scene.store, layout, contents, note, *found) if contents else note


def evidence(scene: Scene, run: str = "") -> str:
    return str(done(verbs.report(lambda _: scene.store, scene.settings, run, drill=True))[1].decode())


def test_the_page_is_accessible_fits_the_screen_and_names_what_was_proven(tmp_path: Path, visitor: Visitor) -> None:
    scene = exported(drill(tables=2, began=BEGAN - 10**6), drill(), drill(run="another", dataset="elsewhere"))
    path = tmp_path / "evidence.html"
    path.write_text(evidence(scene))
    page = visitor.page()
    page.goto(path.as_uri())
    expect(page.get_by_text("All 4 tables were restored and compared value by value on 2027-01-15")).to_be_visible()
    stored = scene.store.peek(scene.settings.layout.run("monday").manifest.name)
    assert stored
    export = page.get_by_role("region", name="Export", exact=True)
    for shown in ("monday (complete)", f"bqdump {VERSION}", hashlib.sha256(stored[0]).hexdigest(), "Snapshot"):
        expect(export).to_contain_text(shown, ignore_case=True)
    drills = page.get_by_role("region", name="Drills of this run").get_by_role("row").all_inner_texts()
    assert len(drills) == 3
    assert "5 of 5" in drills[1]
    assert not [row for row in drills if "elsewhere" in row]
    region = page.get_by_role("region", name="Drills of this run")
    assert region.evaluate("one => one.scrollWidth <= one.clientWidth"), "a column is cut off"
    assert region.get_by_text("monday").first.evaluate("one => one.getClientRects().length") == 1
    # What is proven of another run proves nothing of this one, and is shown for itself.
    expect(page.get_by_role("region", name="Drills of other runs")).to_contain_text("elsewhere")
    files = page.get_by_role("region", name="Files", exact=True)
    file = done(_manifest(scene)).tables[0].files[0]
    for shown in (file.name, file.crc32c, str(file.generation)):
        expect(files).to_contain_text(shown)
    fits_in_every_look(page)


async def _manifest(scene: Scene) -> Any:
    return await verbs.manifest(scene.store, scene.settings, "monday")


@pytest.mark.parametrize(
    ("drills", "word", "words"),
    [
        ((), "Not proven.", "No drill has restored tables of run monday yet: bqdump drill monday"),
        ((drill(tables=2),), "Proven in part.", "2 of 4 tables were restored"),
        ((drill(), drill(began=BEGAN + 1, different=1, problems=("orders: 3 rows",))), "Not proven.", "orders: 3 rows"),
    ],
    ids=["never", "some", "failed since"],
)
def test_less_than_a_proof_is_called_so(drills: tuple[Drill, ...], word: str, words: str) -> None:
    page = evidence(exported(*drills))
    assert f"<strong>{word}</strong>" in page
    assert words in page
    assert "Proven restorable" not in page


def test_a_run_that_does_not_exist_has_no_evidence() -> None:
    with pytest.raises(NotFoundError, match="run tuesday"):
        evidence(exported(), "tuesday")


def test_the_page_says_what_a_drill_does_not_prove_and_who_asks_for_such_evidence() -> None:
    page = evidence(exported())
    limits = page.partition('<h2 id="limits">What a drill does not prove</h2>')[2].partition("<h2")[0]
    for words in (
        "right in BigQuery",
        "row access policies",
        "ISO/IEC 27001:2022, Annex A 8.13",
        "A1.2",
        "A1.3",
        "SOC 2",
    ):
        assert words in limits
