"""A copy is a complete export of its own, gets only what it lacks, and refuses places that are not its own."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from adapters.folder_faults import fault, unsynchronized
from bqdump import verbs
from bqdump.adapters.folder.store import FolderStore
from bqdump.adapters.memory import MemoryStore
from bqdump.check.verify import verify
from bqdump.copying.places import claim_place, refuse_bare_word
from bqdump.copying.survey import Place
from bqdump.core.copy.manifest import content_of, items_of
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import DeniedError, NotFoundError, TargetError, UsageError, VerificationError
from bqdump.core.retention.policy import Policy
from bqdump.core.settings.target import FOLDER, Target
from bqdump.observe.history import list_runs
from bqdump.observe.status import newest_run, status
from bqdump.repository.notes import change_tags
from copying.scene import Copies, complete
from forged import with_checksum_of
from retain.scene import DAY


def source_manifest(copies: Copies, run: str) -> Manifest:
    name = copies.settings.layout.run(run).manifest.name
    found = copies.source.store.peek(name)
    assert found
    return decode(found[0], Manifest, name)


def test_a_copy_has_the_published_run_with_every_file(copies: Copies) -> None:
    copies.export("a", "b")
    expected = {
        entry.table: [found[0] for file in entry.files if (found := copies.source.store.peek(file.name))]
        for entry in source_manifest(copies, "b").tables
    }
    result = copies.copy()
    assert [(one.run, one.state) for one in result.runs] == [("b", "copied")]
    assert result.files == len(copies.data())
    assert copies.lines("b") == expected
    assert copies.latest() == "b"
    complete(copies)
    verified = copies.verify()
    assert (verified.run, verified.findings, verified.copied) == ("b", (), False)


def test_the_manifest_of_a_copy_says_what_it_is_a_copy_of(copies: Copies) -> None:
    copies.export("a")
    copies.copy()
    manifest = copies.manifest("a")
    assert manifest.copy_of
    assert manifest.copy_of.source == "gs://memory/x/"
    assert manifest.copy_of.content == content_of(source_manifest(copies, "a")) == content_of(manifest)
    assert (manifest.mode, manifest.settings["bucket"], manifest.settings["prefix"]) == ("keep", "second", "copies/")
    for entry in manifest.tables:
        for file in entry.files:
            found = copies.target.peek(file.name)
            assert found
            assert file.sha256 == hashlib.sha256(found[0]).hexdigest()


def test_each_run_has_its_own_folder_also_where_the_source_replaces_its_files() -> None:
    copies = Copies("replace")
    for night in ("a", "b", "c"):
        copies.export(night)
        copies.copy()
    assert {name.split("/")[1] for name in copies.data()} == {"a", "b", "c"}
    assert [copies.lines(night)["items"] for night in ("a", "b", "c")] == [
        [f"item of {night} 0\nitem of {night} 1\nitem of {night} 2\n".encode()] for night in ("a", "b", "c")
    ]
    assert all(not copies.verify(night).findings for night in ("a", "b", "c"))
    complete(copies)


def test_a_second_copy_moves_nothing(copies: Copies) -> None:
    copies.export("a")
    copies.copy()
    before = {name: copies.target.peek(name) for name in copies.target.names_now()}
    result = copies.copy()
    assert [(one.state, one.moved_files) for one in result.runs] == [("there", 0)]
    assert {name: copies.target.peek(name) for name in copies.target.names_now()} == before


def test_a_run_that_reuses_files_moves_only_its_new_ones(copies: Copies) -> None:
    copies.export("a", "b", incremental=True)
    copies.copy()
    copies.export("c", incremental=True)
    result = copies.copy()
    assert [(one.run, one.files, one.moved_files) for one in result.runs] == [("c", 2, 1)]
    assert result.runs[0].moved_bytes < result.runs[0].bytes
    complete(copies)
    assert not copies.verify("b").findings
    assert not copies.verify("c").findings
    digests = [file.sha256 for entry in copies.manifest("c").tables for file in entry.files]
    assert digests
    assert all(digests)


def test_of_ten_nights_each_copy_moves_the_bytes_of_what_has_changed(copies: Copies) -> None:
    """A hundred tables of one size, one of which changes each night: a hundredth of the bytes for each new file."""

    def fill(*numbers: int, night: int) -> None:
        for number in numbers:
            lines = [f"{night:02} {number:03} {line:04}".ljust(60) for line in range(100)]
            copies.source.warehouse.put("p", "sales", f"t_{number:03}", lines)

    fill(*range(100), night=0)
    for name in ("before", "night-00"):
        # What has not changed is known from the second run on.
        copies.source.run(name, path=copies.path, incremental=True)
    first = copies.copy().runs[0]
    for night in range(1, 10):
        fill(night, night=night)
        copies.source.run(f"night-{night:02}", path=copies.path, incremental=True)
        moved = copies.copy().runs[0]
        # A run exports a table also in the night after the one in which it has changed.
        assert moved.moved_files == min(night, 2)
        assert moved.moved_bytes * 100 == pytest.approx(moved.bytes * moved.moved_files, rel=0.05)
    assert first.moved_files == first.tables >= 100
    complete(copies)
    assert len(copies.prune(keep_last=3)) == 7
    complete(copies)
    for night in (7, 8, 9):
        assert not copies.verify(f"night-{night:02}").findings


def test_all_runs_are_copied_in_their_order(copies: Copies) -> None:
    copies.export("a", "b", "c", incremental=True)
    result = copies.copy(every=True)
    if copies.settings.template.keeps:
        assert [(one.run, one.state) for one in result.runs] == [("a", "copied"), ("b", "copied"), ("c", "copied")]
    else:
        assert [(one.run, one.state) for one in result.runs] == [
            ("a", "not copied"),
            ("b", "not copied"),
            ("c", "copied"),
        ]
        assert result.not_copied[0].problem.startswith("later runs have replaced 1 file of it, such as x/items/items_")
    assert copies.latest() == "c"
    complete(copies)


def test_a_policy_chooses_the_runs_that_it_would_keep() -> None:
    copies = Copies()
    copies.export("a", "b", "c", "d")
    result = copies.copy(policy=Policy(last=2))
    assert [one.run for one in result.runs] == ["c", "d"]


def test_an_older_run_that_is_copied_later_is_not_published() -> None:
    copies = Copies()
    copies.export("a", "b")
    copies.copy()
    copies.copy("a")
    assert copies.latest() == "b"
    assert {manifest.run for manifest in copies.manifests()} == {"a", "b"}
    complete(copies)


def test_a_copy_of_a_copy_is_a_copy_of_the_same_run(copies: Copies) -> None:
    copies.export("a")
    copies.copy()
    third = Copies()
    third.source.store, third.settings = copies.target, copies.there
    third.target = MemoryStore("third", page=100)
    third.there = Copies().there.__class__(**{**_fields(copies.there), "target": Target("gs", "third", "")})
    third.copy()
    assert content_of(third.manifest("a")) == content_of(copies.manifest("a"))
    assert third.lines("a") == copies.lines("a")
    origin = third.manifest("a").copy_of
    assert origin
    assert origin.source == "gs://second/copies/"


def _fields(settings: Any) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def test_a_dry_run_shows_files_bytes_requests_and_egress_and_changes_nothing(copies: Copies) -> None:
    copies.export("a")
    result = copies.copy(dry=True)
    manifest = source_manifest(copies, "a")
    assert [(one.run, one.state, one.moved_files) for one in result.runs] == [("a", "missing", 2)]
    assert (result.copied, result.bytes, result.egress) == (False, manifest.totals.bytes, 0)
    assert result.requests == 4
    assert copies.target.names_now() == []
    copies.target.bucket = replace(copies.target.bucket, location="EU")
    assert copies.copy(dry=True).egress == manifest.totals.bytes


def test_commands_work_on_a_copy(copies: Copies) -> None:
    copies.export("a")
    copies.copy()
    copies.export("b")
    copies.copy()

    async def look() -> None:
        store, settings = copies.target, copies.there
        lines = await list_runs(store, settings)
        assert [(line.run, line.state, line.published) for line in lines] == [
            ("b", "complete", True),
            ("a", "complete", False),
        ]
        assert await newest_run(store, settings) == "b"
        published = await status(store, settings, "b")
        planned = sum(entry.planned_bytes for entry in copies.manifest("b").tables)
        assert (published.state, published.bytes) == ("published", planned)
        assert (await status(store, settings, "a")).state == "superseded"
        assert (await verbs.manifest(store, settings, "a"))["items"].uris[0].startswith("gs://second/copies/")
        assert [change.table for change in await verbs.diff(lambda _: store, settings)] == ["items"]
        assert "items" in (await verbs.report(lambda _: store, settings))[1].decode()
        assert await change_tags(store, settings.layout, "a", add=("audit",)) == ("audit",)

    asyncio.run(look())


def test_tags_come_with_the_first_copy_of_a_run() -> None:
    copies = Copies()
    copies.export("a", "b")
    asyncio.run(change_tags(copies.source.store, copies.settings.layout, "a", add=("keep",)))
    copies.copy(every=True)
    assert copies.prune(keep_last=1) == []


def test_a_prune_of_the_copy_by_its_own_policy_leaves_kept_runs_complete(copies: Copies) -> None:
    for night in ("a", "b", "c"):
        copies.export(night, incremental=True)
        copies.copy()
    assert sorted(copies.prune(keep_last=1)) == ["a", "b"]
    complete(copies)
    assert [manifest.run for manifest in copies.manifests()] == ["c"]
    assert not copies.verify("c").findings
    # The files that c took over from a, and no others of a and b.
    assert len(copies.data()) == 2


def test_kept_runs_stay_complete_when_a_run_is_copied_after_a_prune(copies: Copies) -> None:
    for number, night in enumerate("abcdefgh"):
        copies.export(night, incremental=True)
        copies.copy()
        complete(copies)
        if number > 1:
            copies.prune(0, keep_last=2)
            complete(copies)
    assert [run.state for run in copies.copy(every=True).runs if run.run in "gh"] == ["there", "there"]
    for night in "gh":
        assert not copies.verify(night).findings


def test_a_run_that_was_pruned_in_the_copy_is_not_copied_again() -> None:
    copies = Copies()
    copies.export("a", "b", "c", incremental=True)
    copies.copy("b", "c")
    copies.prune(keep_last=1)
    with pytest.raises(UsageError, match=r"^run b: it was pruned in gs://second/copies/\."):
        copies.copy("b")
    assert [(one.run, one.state) for one in copies.copy(every=True).runs] == [("a", "copied"), ("c", "there")]
    assert copies.prune(keep_last=1) == ["a"]
    # A place with a shorter policy settles.
    assert [(one.run, one.state) for one in copies.copy(every=True).runs] == [("c", "there")]
    assert copies.prune(keep_last=1) == []


def test_an_unknown_run_is_not_found() -> None:
    copies = Copies()
    copies.export("monday")
    with pytest.raises(NotFoundError, match=r"cannot find run munday in gs://memory/x/: .*; did you mean monday"):
        copies.copy("munday")
    assert copies.target.names_now() == []


def test_nothing_to_copy_is_not_found() -> None:
    with pytest.raises(NotFoundError, match=r"cannot find an export in gs://memory/x/: nothing has been published"):
        Copies().copy(every=True)


@pytest.mark.parametrize(
    ("place", "cause"),
    [
        ("x/", "gs://memory/x/: it is the export that is to be copied. Copy to another place."),
        ("x/second/", "gs://memory/x/second/: it is inside the export that is to be copied, gs://memory/x/."),
        ("", "gs://memory/: the export that is to be copied is inside it: gs://memory/x/."),
    ],
)
def test_a_place_that_overlaps_the_export_is_refused(place: str, cause: str) -> None:
    copies = Copies()
    copies.export("a")
    before = copies.source.store.names_now()
    copies.target, copies.there = copies.source.store, _at(copies, Target("gs", "memory", place))
    with pytest.raises(UsageError) as raised:
        copies.copy()
    assert str(raised.value).startswith(cause)
    assert copies.source.store.names_now() == before


def _at(copies: Copies, target: Target) -> Any:
    return copies.there.__class__(**{**_fields(copies.there), "target": target})


def test_another_prefix_of_the_same_bucket_is_a_place() -> None:
    copies = Copies()
    copies.export("a")
    copies.target, copies.there = copies.source.store, _at(copies, Target("gs", "memory", "second/"))
    copies.copy()
    assert copies.latest() == "a"


def test_the_place_of_an_export_is_refused() -> None:
    copies, other = Copies(), Copies()
    copies.export("a")
    other.export("z")
    copies.target, copies.there = other.source.store, _at(copies, Target("gs", "memory2", "x/"))
    with pytest.raises(UsageError, match=r"^gs://memory2/x/: it holds an export of p\.sales, not copies\."):
        copies.copy()
    copies.there = _at(copies, Target("gs", "memory2", "x/y/z/"))
    with pytest.raises(UsageError, match=r"^gs://memory2/x/y/z/: it is inside gs://memory2/x/, which holds an export"):
        copies.copy()


def test_a_folder_inside_the_folder_of_an_export_is_refused(tmp_path: Path) -> None:
    copies, outer = Copies(), tmp_path / "outer"
    copies.export("a")
    copies.there = _at(copies, Target(FOLDER, str(outer)))
    copies.copy(target=FolderStore(outer))
    before = sorted(outer.rglob("*"))
    inner = outer / "below/inner"
    copies.there = _at(copies, Target(FOLDER, str(inner)))
    with pytest.raises(UsageError, match=re.escape(f"{inner}/: it is inside {outer}, which holds an export")):
        copies.copy(target=FolderStore(inner))
    assert sorted(outer.rglob("*")) == before


def test_the_place_of_another_datasets_copies_is_refused() -> None:
    copies, other = Copies(), Copies()
    copies.export("a")
    other.source.warehouse.put("p", "hr", "people", ["x"])
    other.source.run("z", dataset="hr")
    other.copy()
    copies.target = other.target
    with pytest.raises(UsageError, match=r"^gs://second/copies/: it holds copies of p\.hr, and this is p\.sales\."):
        copies.copy()


def test_a_place_with_foreign_files_is_refused_and_keeps_them() -> None:
    copies = Copies()
    copies.export("a")
    copies.target.put_now("copies/holiday.jpg", b"mine")
    with pytest.raises(UsageError, match=r"it is not empty, and holds no copies of exports: it has holiday\.jpg\."):
        copies.copy()
    assert copies.target.names_now() == ["copies/holiday.jpg"]


def test_a_foreign_file_under_a_name_of_the_run_is_not_overwritten(copies: Copies) -> None:
    copies.export("a")
    copies.copy()
    copies.export("b")
    name = copies.data()[0].replace("/a/", "/b/")
    copies.target.put_now(name, b"mine")
    with pytest.raises(VerificationError, match="it is not a file of run b: it has another size or checksum"):
        copies.copy()
    found = copies.target.peek(name)
    assert found
    assert found[0] == b"mine"
    assert copies.latest() == "a"


def test_another_run_of_the_same_id_is_refused() -> None:
    copies, other = Copies(), Copies()
    copies.export("a")
    copies.copy()
    other.source.now += 5 * DAY
    other.export("a")
    other.target = copies.target
    with pytest.raises(UsageError, match=r"^run a: gs://second/copies/ has another run of this id\."):
        other.copy()


@pytest.mark.parametrize("damage", ["flipped", "truncated", "swapped", "missing"])
def test_a_damaged_file_of_the_source_is_named_and_nothing_is_published(copies: Copies, damage: str) -> None:
    copies.export("a")
    one, two = (entry.files[0].name for entry in source_manifest(copies, "a").tables)
    store = copies.source.store
    data = {name: found[0] for name in (one, two) if (found := store.peek(name))}
    if damage == "flipped":
        store.put_now(one, b"X" + data[one][1:])
    elif damage == "truncated":
        store.put_now(one, data[one][:-1])
    elif damage == "swapped":
        store.put_now(one, data[two])
        store.put_now(two, data[one])
    else:
        copies.source.delete_now(one)
    with pytest.raises(VerificationError) as raised:
        copies.copy()
    assert one in str(raised.value)
    assert "bqdump.verify(run='a')" in str(raised.value)
    assert copies.latest() == ""
    assert copies.manifests() == []


@pytest.mark.parametrize("damage", ["file", "gone", "manifest"])
def test_a_damaged_run_holds_back_no_other(damage: str) -> None:
    copies = Copies()
    copies.export("a", "b", "c")
    store, manifest = copies.source.store, source_manifest(copies, "b")
    [name, *_] = [file.name for entry in manifest.tables for file in entry.files if "/b/" in file.name]
    if damage == "manifest":
        name = copies.settings.layout.run("b").manifest.name
        store.put_now(name, b"{}")
    elif damage == "gone":
        copies.source.delete_now(name)
    else:
        store.put_now(name, b"other")
    result = copies.copy(every=True)
    assert {run.run: run.state for run in result.runs} == {"a": "copied", "b": "not copied", "c": "copied"}
    [lacking] = result.not_copied
    assert name in lacking.problem
    assert copies.latest() == "c"
    complete(copies)


def test_a_file_that_was_there_before_its_run_was_copied_is_compared_by_its_sha256(copies: Copies) -> None:
    copies.export("a")
    manifest, store = source_manifest(copies, "a"), copies.source.store
    data = {
        file.name: found[0] for entry in manifest.tables for file in entry.files if (found := store.peek(file.name))
    }
    tables = tuple(
        replace(
            entry,
            files=tuple(replace(file, sha256=hashlib.sha256(data[file.name]).hexdigest()) for file in entry.files),
        )
        for entry in manifest.tables
    )
    store.put_now(copies.settings.layout.run("a").manifest.name, encode(replace(manifest, tables=tables)))
    [item, *_] = items_of(manifest, copies.settings.target, copies.there.target)
    asyncio.run(claim_place(copies.task(), manifest))
    copies.target.put_now(item.target, with_checksum_of(data[item.source], b"forged"))
    with pytest.raises(VerificationError, match=f"{item.target}: it has the SHA-256 .* and .* is expected"):
        copies.copy()
    assert copies.latest() == ""


@pytest.mark.parametrize("damage", ["flipped", "truncated", "swapped", "missing"])
def test_a_damaged_file_of_the_copy_is_named_by_verify_and_by_the_next_copy(copies: Copies, damage: str) -> None:
    copies.export("a")
    copies.copy()
    name, other = copies.data()[:2]
    found, second = copies.target.peek(name), copies.target.peek(other)
    assert found
    assert second
    if damage == "missing":
        asyncio.run(copies.target.delete([(name, found[1].generation)]))
    elif damage == "swapped":
        copies.target.put_now(name, second[0])
        copies.target.put_now(other, found[0])
    else:
        copies.target.put_now(name, found[0][:-1] if damage == "truncated" else b"X" + found[0][1:])
    assert [finding.file for finding in copies.verify().findings] == [name, *([other] if damage == "swapped" else [])]
    with pytest.raises(VerificationError, match=name):
        copies.copy()


class Damaging(MemoryStore):
    """A store whose answers to reads of files are damaged on the way, so many times."""

    times: int

    def __init__(self, store: MemoryStore, times: int) -> None:
        self.__dict__ = store.__dict__ | {"times": times}

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Any:
        stored = await super().read(name, start, length)
        if "_bqdump" in name or not self.times:
            return stored
        self.__dict__["times"] -= 1
        return stored._replace(data=b"X" + stored.data[1:])


def test_bytes_that_are_damaged_on_the_way_are_read_again(copies: Copies) -> None:
    copies.export("a")
    copies.copy(source=Damaging(copies.source.store, 2))
    complete(copies)
    assert copies.latest() == "a"


def test_bytes_that_are_always_damaged_on_the_way_are_an_error_that_names_the_file(copies: Copies) -> None:
    copies.export("a")
    with pytest.raises(VerificationError, match=r"_000000000000\.csv: the CRC32C is"):
        copies.copy(source=Damaging(copies.source.store, 1000))
    assert copies.data() == []
    assert copies.manifests() == []


def test_notes_that_the_bucket_locks_do_not_fail_a_complete_copy(
    copies: Copies, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    copies.export("a")
    delete = copies.target.delete

    async def locked(objects: Any) -> list[Any]:
        refusal = DeniedError("delete", "object", "it is locked")
        return [refusal if "/copied/" in name else (await delete([(name, of)]))[0] for name, of in objects]

    monkeypatch.setattr(copies.target, "delete", locked)
    assert [run.state for run in copies.copy().runs] == ["copied"]
    assert copies.latest() == "a"
    assert "the copy is complete, and 1 note of how it was made cannot be deleted: it is locked" in caplog.text
    assert [run.state for run in copies.copy().runs] == ["there"]


def test_a_destination_that_is_the_name_of_a_run_is_refused_unless_such_a_folder_exists(
    copies: Copies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies.export("monday")
    place = Place(copies.source.store, copies.settings)
    monkeypatch.chdir(tmp_path)
    copies.there = msgspec.structs.replace(copies.settings, target=Target(FOLDER, "monday"))
    with pytest.raises(
        UsageError, match=r"^monday: it is a run of gs://memory/x/, not a destination.*copy DEST monday"
    ):
        copies.copy()
    assert not copies.data()
    for other in ("./monday", "./tuesday", str(tmp_path / "monday")):
        asyncio.run(refuse_bare_word(place, Target(FOLDER, other)))
    (tmp_path / "monday").mkdir()
    asyncio.run(refuse_bare_word(place, Target(FOLDER, "monday")))


@pytest.mark.parametrize("step", [0, 8, 30])
def test_a_disk_that_is_full_is_one_sentence_and_the_same_copy_goes_on_later(tmp_path: Path, step: int) -> None:
    copies, here = Copies(), tmp_path / "here"
    copies.export("a")
    copies.there = _at(copies, Target(FOLDER, str(here)))
    with unsynchronized(), fault(step, "full") as met, pytest.raises(TargetError, match=r"Free some space") as raised:
        copies.copy(target=FolderStore(here))
    assert met.went_off
    assert "\n" not in str(raised.value)
    assert list(here.rglob("manifest.json")) == []
    copies.copy(target=FolderStore(here))
    assert list(asyncio.run(verify(FolderStore(here), copies.there, "")).findings) == []
