"""What a copy moves, and under which names."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bqdump.core.copy.manifest import (
    PIECE_BYTES,
    Here,
    Item,
    Missing,
    Side,
    content_of,
    copied_manifest,
    egress_of,
    items_of,
    pointer_to,
    requests_for,
)
from bqdump.core.copy.plan import BATCH_BYTES, BATCH_FILES, Present, batches, plan_copy, requested_copy
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.copying import CopyOf
from bqdump.core.documents.manifest import Carried, File, Manifest, PartitionEntry, TableEntry, Totals
from bqdump.core.documents.path_template import BY_PARTITION, DEFAULT, split_shard
from bqdump.core.documents.retention import RetainedFiles
from bqdump.core.errors import UsageError
from bqdump.core.plan.names import pattern_of
from bqdump.core.retention.policy import Policy
from bqdump.core.retention.pruned import foreign_file
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target, record_of
from core.strategies import settings as settings_with

SOURCE, TARGET = Target("gs", "source", "x/"), Target("gs", "target", "copies/")
KEEP = "{run}/{table}/{table}_*.{ext}"
RUNS = st.sampled_from(["monday", "tuesday", "wednesday"])


def settings(path: str, place: Target = SOURCE) -> dict[str, object]:
    recorded = {"project": "p", "dataset": "d", "format": "csv", "compression": "none", "path": path, "iceberg": False}
    return recorded | record_of(place)


def name_of(path: str, table: str, run: str, number: int, partition: str = "") -> str:
    name = path.replace("/{partition}", f"/{partition}" if partition else "")
    name = name.replace("{run}", run).replace("{table}", table).replace("{ext}", "csv")
    return f"x/{name.replace('*', f'{number:012d}')}"


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """A run with tables of its own and of earlier runs, complete and by partition."""
    path = draw(st.sampled_from([DEFAULT, KEEP, BY_PARTITION, f"{{run}}/{BY_PARTITION}"]))
    keeps = "{run}" in path
    entries = []
    for number in range(draw(st.integers(0, 4))):
        table, maker = f"t_{number}", draw(RUNS)
        carried = None if maker == "wednesday" else Carried(maker, 1, "", "1", {}, 1)
        parts: list[PartitionEntry] = []
        files: list[File] = []
        makers = [draw(RUNS) for _ in range(draw(st.integers(1, 3)))] if "{partition}" in path and not carried else []
        for part, of in enumerate(makers):
            count = draw(st.integers(0, 2))
            by = None if of == "wednesday" else Carried(of, 1, "", "1", {}, 1)
            parts.append(
                PartitionEntry(
                    id=f"2026010{part}",
                    route="extract",
                    job="j",
                    files=count,
                    planned_rows=1,
                    planned_bytes=1,
                    carried=by,
                )
            )
            files += [file(name_of(path, table, of, one, f"2026010{part}"), draw) for one in range(count)]
        if not makers:
            files = [file(name_of(path, table, maker, one), draw) for one in range(draw(st.integers(0, 3)))]
        entries.append(
            TableEntry(
                table=table, kind="TABLE", route="extract", unit="00000-00000", jobs=("j",), planned_rows=1,
                planned_bytes=1, created=1, started=1, ended=1, task=0, files=tuple(files), format="csv",
                definition=msgspec.Raw(b'{"schema":{"fields":[{"name":"id","type":"INT64"}]}}'),
                compression="none", carried=carried, partitions=tuple(parts),
            )
        )  # fmt: skip
    every = [one for entry in entries for one in entry.files]
    return Manifest(
        run="wednesday", tool="1", status="complete", project="p", dataset="d", location="US", snapshot=3,
        snapshot_time="2026-01-03T00:00:00.000Z", mode="keep" if keeps else "replace", settings=settings(path),
        totals=Totals(len(entries), len(every), sum(one.size for one in every), 1, 1), skipped=(), failed=(),
        digest="d", tables=tuple(entries), left=(), found=(),
    )  # fmt: skip


def file(name: str, draw: st.DrawFn) -> File:
    return File(
        name, draw(st.integers(0, 99)), draw(st.sampled_from(["AAAAAA==", "BBBBBB=="])), draw(st.integers(1, 9))
    )


def copied(manifest: Manifest, source: Target = SOURCE, target: Target = TARGET) -> Manifest:
    here = {item.target: Here(7, "a" * 64) for item in items_of(manifest, source, target)}
    return copied_manifest(manifest, source, target, here, CopyOf("gs://source/x/", content_of(manifest), "1", 1))


@given(manifests())
def test_each_file_has_a_name_of_its_own_in_the_folder_of_the_run_that_exported_it(manifest: Manifest) -> None:
    items = items_of(manifest, SOURCE, TARGET)
    assert [item.source for item in items] == [one.name for entry in manifest.tables for one in entry.files]
    assert len({item.target for item in items}) == len({item.source for item in items}) == len(items)
    for item in items:
        assert item.target.split("/")[1] in ("monday", "tuesday", "wednesday")


@given(manifests())
def test_the_copys_manifest_is_one_of_its_place(manifest: Manifest) -> None:
    made = copied(manifest)
    name = "copies/_bqdump/runs/wednesday/manifest.json"
    assert decode(encode(made), Manifest, name) == made
    assert foreign_file(decode(encode(made), RetainedFiles, name)) == ""
    assert (made.mode, made.settings["bucket"], made.settings["prefix"]) == ("keep", "target", "copies/")
    for entry in made.tables:
        if not entry.partitions:
            assert all(split_shard(one.name, {pattern_of(made, entry)}) for one in entry.files)
    assert pointer_to(made, name, 5).manifest_generation == 5


@given(manifests())
def test_copies_of_a_run_have_the_content_of_the_run_wherever_they_are(manifest: Manifest) -> None:
    first = copied(manifest)
    second = copied(first, TARGET, Target("file", "/mnt", ""))
    assert content_of(manifest) == content_of(first) == content_of(second)
    assert content_of(replace(manifest, snapshot=4)) != content_of(manifest)
    names = [one.name for entry in first.tables for one in entry.files]
    assert [one.name for entry in second.tables for one in entry.files] == [
        name.removeprefix("copies/") for name in names
    ]


@given(manifests())
def test_runs_that_share_a_file_share_it_in_the_copy(manifest: Manifest) -> None:
    later = replace(
        manifest,
        run="thursday",
        tables=tuple(
            entry if entry.carried else replace(entry, carried=Carried("wednesday", 3, "", "1", {}, 4))
            for entry in manifest.tables
        ),
    )
    first, second = items_of(manifest, SOURCE, TARGET), items_of(later, SOURCE, TARGET)
    assert [item.target for item in first] == [item.target for item in second]


@st.composite
def places(draw: st.DrawFn) -> tuple[list[Item], dict[str, Present], set[tuple[str, int]]]:
    items, present, deleting = [], dict[str, Present](), set[tuple[str, int]]()
    for number in range(draw(st.integers(0, 60))):
        item = Item(f"s{number}", f"t{number}", draw(st.sampled_from([0, 1, 5, BATCH_BYTES])), "AAAAAA==")
        items.append(item)
        match draw(st.sampled_from(["missing", "there", "other", "deleting"])):
            case "there":
                present[item.target] = Present(number + 1, item.size, item.crc32c)
            case "other":
                present[item.target] = Present(number + 1, item.size, "BBBBBB==")
            case "deleting":
                present[item.target] = Present(number + 1, item.size, item.crc32c)
                deleting.add((item.target, number + 1))
    return items, present, deleting


@given(places())
def test_every_file_is_there_or_missing_or_anothers(
    given_: tuple[list[Item], dict[str, Present], set[tuple[str, int]]],
) -> None:
    items, present, deleting = given_
    plan = plan_copy(items, present, deleting)
    missing = {one.item.target: one.expect for one in plan.files}
    assert sorted([*missing, *plan.stored, *plan.foreign]) == sorted(item.target for item in items)
    for item in items:
        found = present.get(item.target)
        if item.target in missing:
            assert missing[item.target] == (found.generation if found else 0)
            assert found is None or (item.target, found.generation) in deleting
        elif item.target in plan.stored:
            assert found == Present(plan.stored[item.target], item.size, item.crc32c)
    assert plan.bytes == sum(item.size for item in items if item.target in missing)


@given(places(), st.integers(0, 59))
def test_a_file_is_in_the_same_batch_whatever_the_copy_has(
    given_: tuple[list[Item], dict[str, Present], set[tuple[str, int]]], some: int
) -> None:
    items, present, deleting = given_
    of = {item.target: number for number, batch in enumerate(batches(items)) for item in batch}
    for there in ({}, present, dict(list(present.items())[:some])):
        plan = plan_copy(items, there, deleting)
        assert all(of[one.item.target] == number for number, batch in plan.missing for one in batch)
    sizes = [[item.size for item in batch] for batch in batches(items)]
    assert all(len(batch) <= BATCH_FILES and sum(batch[:-1]) < BATCH_BYTES for batch in sizes)
    order = [(-math.ceil(item.size / PIECE_BYTES), item.target) for batch in batches(items) for item in batch]
    assert order == sorted(order)


@pytest.mark.parametrize(("files", "most"), [(1, 1), (100, 16), (1000, 31), (10_000, 64)])
def test_of_many_files_batches_have_more(files: int, most: int) -> None:
    items = [Item(f"s{number}", f"t{number}", number % 9, "AAAAAA==") for number in range(files)]
    assert max(map(len, batches(items))) == most


@pytest.mark.parametrize(
    ("files", "size", "number"),
    [(4, 50 << 20, 4), (100, 10 << 20, 25), (1000, 1 << 20, 33), (100, 1000, 7), (40, 3 << 20, 14)],
)
def test_a_few_large_files_are_in_batches_of_their_own_so_that_they_are_moved_at_the_same_time(
    files: int, size: int, number: int
) -> None:
    items = [Item(f"s{at}", f"t{at}", size, "AAAAAA==") for at in range(files)]
    assert len(list(batches(items))) == number


def test_requests_are_counted_by_pieces() -> None:
    def missing(size: int) -> Missing:
        return Missing(Item("a", "b", size, "AAAAAA=="))

    assert requests_for([missing(0)], rewrites=False) == 1
    assert requests_for([missing(1)], rewrites=False) == 2
    assert requests_for([missing(PIECE_BYTES + 1)], rewrites=False) == 6
    assert requests_for([missing(1), missing(PIECE_BYTES * 9)], rewrites=True) == 2


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (Side(SOURCE, "US"), Side(TARGET, "us"), 0),
        (Side(SOURCE, "US"), Side(TARGET, "EU"), 100),
        (Side(SOURCE, ""), Side(TARGET, ""), 100),
        (Side(SOURCE, "US"), Side(Target("file", "/mnt"), ""), 100),
        (Side(Target("file", "/mnt"), ""), Side(TARGET, "EU"), 0),
    ],
)
def test_egress_is_what_leaves_the_location_of_the_source(source: Side, target: Side, expected: int) -> None:
    assert egress_of(100, source, target) == expected


def test_a_name_that_would_be_too_long_is_refused() -> None:
    long = File(f"x/{'n' * 1010}.csv", 1, "AAAAAA==", 1)
    manifest = Manifest(
        run="r" * 50, tool="1", status="complete", project="p", dataset="d", location="US", snapshot=3,
        snapshot_time="2026-01-03T00:00:00.000Z", mode="replace", settings=settings(DEFAULT),
        totals=Totals(1, 1, 1, 1, 1), skipped=(), failed=(), digest="d", left=(), found=(),
        tables=(
            TableEntry(
                table="t", kind="TABLE", route="extract", unit="00000-00000", jobs=(), planned_rows=1, planned_bytes=1,
                created=1, started=1, ended=1, task=0, files=(long,), definition=msgspec.Raw(b"{}"),
            ),
        ),
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"^table t: a file would have a name of 1,0\d\d bytes in the copy"):
        items_of(manifest, SOURCE, TARGET)


def request(dest: str, *runs: str, rules: tuple[str, ...] = (), **changes: object) -> Policy:
    chosen: Settings = settings_with(**changes)
    asked = requested_copy(chosen, dest, runs, rules, every=False, storage_class="", digests=False, dry=False)
    return asked.policy


def test_only_the_rules_that_were_given_choose_runs() -> None:
    assert request("gs://bucket/x", rules=("keep_last",), keep_last=3, keep_daily=7) == Policy(last=3)
    assert request("gs://bucket/x", keep_last=3, keep_daily=7) == Policy()
    with pytest.raises(UsageError, match="runs by name and a policy were given"):
        request("gs://bucket/x", "a", rules=("keep_last",), keep_last=3)
