"""Documents to bytes and back, and what a damaged one says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.documents import copying, definitions, manifest, run, target, unchanged
from bqdump.core.documents import units as units
from bqdump.core.documents.codec import decode, encode, encode_indented
from bqdump.core.documents.copying import Arrived, ArrivedFiles, Copying, CopyOf, CopyPlace, Expected, Renewed
from bqdump.core.documents.definitions import (
    Definitions,
    Index,
    ObjectDefinition,
    RoutineDefinition,
    RowPolicy,
    Unread,
)
from bqdump.core.documents.document import Notes
from bqdump.core.documents.manifest import (
    Carried,
    Erased,
    File,
    Head,
    IcebergFile,
    Manifest,
    ManifestFiles,
    Named,
    PartitionEntry,
    TableEntry,
    TableFiles,
    Totals,
)
from bqdump.core.documents.run import (
    ByLabel,
    Failure,
    FileDigests,
    Flag,
    Owner,
    Partitioned,
    Plan,
    Receipt,
    Share,
    Skipped,
    Split,
    TablePlan,
)
from bqdump.core.documents.target import (
    Drill,
    Erasing,
    IcebergTables,
    Intent,
    Latest,
    LogEntry,
    Newest,
    Pointer,
    PrefixOwner,
    Proofs,
    Publishing,
    Stages,
)
from bqdump.core.documents.unchanged import Reading, Removed, RemovedPartitions, Reused, ReusedPartitions
from bqdump.core.documents.units import Changed, Claim, GivenUp, ReadAttempt, SharedSession, Unit
from bqdump.core.errors import DocumentError
from bqdump.core.risks import Risk
from bqdump.core.tables.catalog import Mask, Shape

# JSON has no lone surrogates.
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
COUNT = st.integers(0, 2**63 - 1)
MAYBE = st.none() | COUNT
TIME = st.integers(0, 253_402_300_799_999)
ATTEMPT = st.integers(0, 999)
RUN = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,9}", fullmatch=True)
UNIT = st.from_regex(r"[0-9]{5}-[0-9]{5}", fullmatch=True)
CRC = st.from_regex(r"[A-Za-z0-9+/]{6}==", fullmatch=True)
RAW = st.sampled_from([msgspec.Raw(b"null"), msgspec.Raw(b'{"schema":{"fields":[{"name":"a"}]}}')])
STATUS, MODE = st.sampled_from(["complete", "partial"]), st.sampled_from(["replace", "keep"])
SETTINGS = st.dictionaries(TEXT, TEXT | st.booleans() | st.integers(-9, 9), max_size=3)


def some(strategy: Any) -> Any:
    return st.lists(strategy, max_size=3).map(tuple)


MASK = st.builds(Mask, st.booleans(), TEXT, st.none() | TEXT | st.integers(-9, 9) | st.booleans())
SHAPE = st.builds(Shape, some(TEXT), st.dictionaries(TEXT, MASK, max_size=2), TEXT)
MOMENT = st.sampled_from(["snapshot", "job"])
OWNER = st.builds(Owner, TEXT, COUNT)
REMOVED = st.builds(
    Removed, TEXT, st.sampled_from(["excluded", "relabelled", "dropped", "dataset-empty", "skipped"]), RUN, TEXT, MAYBE
)
CARRIED = st.builds(Carried, RUN, TIME, TEXT, TEXT, SETTINGS, TIME)
LOOK = st.builds(Reading, TIME, TIME, COUNT, COUNT, TEXT, TEXT, TIME)
REUSED = st.builds(Reused, TEXT, RUN, TIME, COUNT, COUNT, COUNT)
BY_LABEL = st.builds(ByLabel, st.sampled_from(["include", "exclude", "tables"]), TEXT, some(TEXT))
SKIPPED = st.builds(Skipped, TEXT, TEXT, TEXT)
FAILURE = st.builds(Failure, UNIT, TEXT, TEXT, ATTEMPT, TEXT, TEXT, OWNER)
FLAG = st.builds(Flag, st.sampled_from(Risk), TEXT, some(TEXT), TEXT, st.booleans())
SHA = st.sampled_from(["", "0" * 64, "af" * 32])
CONTENT = st.sampled_from(["0" * 64, "af" * 32])
FILE = st.builds(File, TEXT, COUNT, CRC, COUNT, st.none() | COUNT, SHA)
COPY_OF = st.builds(CopyOf, TEXT, CONTENT, TEXT, TIME)
EXPECTED = st.builds(Expected, TEXT, COUNT, TEXT)
ARRIVED = st.builds(Arrived, TEXT, COUNT, TEXT)
METADATA = st.builds(IcebergFile, TEXT, COUNT, COUNT)
FILES = st.builds(TableFiles, TEXT, some(FILE), some(METADATA))
TOTALS = st.builds(Totals, COUNT, COUNT, COUNT, COUNT, COUNT, COUNT, COUNT)
POINTER = st.builds(Pointer, RUN, TIME, TEXT)
LATEST = st.builds(
    Latest, run=RUN, dataset=TEXT, project=TEXT, snapshot_time=TEXT, snapshot=TIME, status=STATUS, mode=MODE,
    manifest=TEXT, manifest_generation=COUNT, uncleared=some(POINTER),
)  # fmt: skip
LOG_ENTRY = st.builds(
    LogEntry, run=RUN, dataset=TEXT, project=TEXT, snapshot_time=TEXT, snapshot=TIME, status=STATUS, mode=MODE,
    digest=CONTENT, generation=COUNT, totals=TOTALS, rows=COUNT, skipped=COUNT, failed=COUNT, begun=TIME, ended=TIME,
)  # fmt: skip
ENTRY = st.builds(
    TableEntry, table=TEXT, kind=TEXT, route=TEXT, unit=UNIT, jobs=some(TEXT), planned_rows=COUNT,
    planned_bytes=COUNT, created=TIME, started=TIME, ended=TIME, task=COUNT, files=some(FILE), definition=RAW,
    rows=st.none() | COUNT, read_at=MOMENT, why=TEXT, format=TEXT, compression=TEXT, shape=SHAPE,
    planned_billed=MAYBE, billed=MAYBE, carried=st.none() | CARRIED, look=st.none() | LOOK,
    look_before=st.none() | LOOK,
)  # fmt: skip
PARTITION = st.builds(
    PartitionEntry,
    id=TEXT,
    route=TEXT,
    job=TEXT,
    files=COUNT,
    planned_rows=COUNT,
    planned_bytes=COUNT,
    rows=MAYBE,
    billed=MAYBE,
    look=st.none() | LOOK,
)
PARTITIONED = st.builds(Partitioned, TEXT, UNIT, COUNT)
SPLIT = st.builds(Split, TEXT, some(UNIT))
DEFINED: dict[type[msgspec.Struct], Any] = {
    ObjectDefinition: st.builds(ObjectDefinition, TEXT, TEXT, RAW),
    RoutineDefinition: st.builds(RoutineDefinition, TEXT, TEXT, RAW),
    RowPolicy: st.builds(RowPolicy, TEXT, TEXT, TEXT, st.none() | some(TEXT)),
    Index: st.builds(Index, TEXT, TEXT, TEXT, TEXT),
    Unread: st.builds(Unread, TEXT, TEXT),
}
DEFINITIONS = st.builds(
    Definitions,
    dataset=RAW,
    objects=some(DEFINED[ObjectDefinition]),
    routines=some(DEFINED[RoutineDefinition]),
    policies=some(DEFINED[RowPolicy]),
    indexes=some(DEFINED[Index]),
    unread=some(DEFINED[Unread]),
)
ERASED = st.builds(Erased, TEXT, TIME, TEXT, TEXT)
ERASING = st.builds(Erasing, TEXT, TIME, TEXT, TEXT, TIME)
STRATEGIES: dict[type[msgspec.Struct], Any] = {
    **DEFINED,
    Definitions: DEFINITIONS,
    Share: st.builds(Share, COUNT, COUNT, COUNT, COUNT, COUNT),
    Split: SPLIT,
    Partitioned: PARTITIONED,
    PartitionEntry: PARTITION,
    ByLabel: BY_LABEL,
    Skipped: SKIPPED,
    Removed: REMOVED,
    ReusedPartitions: st.builds(ReusedPartitions, TEXT, some(TEXT), COUNT, COUNT, COUNT),
    RemovedPartitions: st.builds(RemovedPartitions, TEXT, st.just("expired"), some(TEXT), RUN, TEXT, MAYBE),
    Carried: CARRIED,
    Reading: LOOK,
    Reused: REUSED,
    Named: st.builds(Named, TEXT),
    Flag: FLAG,
    Unit: st.builds(
        Unit, UNIT, TEXT, TEXT, TEXT, COUNT, COUNT, TEXT, RAW, why=TEXT, format=TEXT, compression=TEXT, shape=SHAPE,
        read_at=MOMENT, bills=MAYBE, bills_at_least=st.booleans(), look=st.none() | LOOK, look_before=st.none() | LOOK,
    ),
    TablePlan: st.builds(TablePlan, UNIT, TEXT, TEXT, TEXT, COUNT, COUNT, TEXT, RAW),
    Mask: MASK,
    Shape: SHAPE,
    Plan: st.builds(
        Plan, run=RUN, tool=TEXT, nonce=st.just("00ff"), project=TEXT, dataset=TEXT, location=TEXT, snapshot=TIME,
        mode=MODE, settings=SETTINGS, digest=TEXT, units=TEXT, tables=COUNT, rows=COUNT, bytes=COUNT,
        shares=some(st.builds(Share, COUNT, COUNT, COUNT, COUNT, COUNT)),
        skipped=some(SKIPPED), by_label=some(BY_LABEL), excluded=COUNT, bills=COUNT,
        flags=some(FLAG), splits=some(SPLIT), over=TEXT, removed=some(REMOVED), kept=some(TEXT),
        reused=some(REUSED),
    ),
    Newest: st.builds(Newest, RUN),
    Stages: st.builds(Stages, RUN),
    PrefixOwner: st.builds(
        PrefixOwner, st.from_regex(r"[a-z][a-z.:-]{0,20}", fullmatch=True),
        st.from_regex(r"\w{1,20}", fullmatch=True), RUN, TIME, st.booleans(),
    ),
    Owner: OWNER,
    ReadAttempt: st.builds(ReadAttempt, OWNER, TEXT),
    SharedSession: st.builds(SharedSession, TEXT, some(TEXT), st.binary()),
    Claim: st.builds(Claim, OWNER),
    Receipt: st.builds(
        Receipt, UNIT, TEXT, TEXT, ATTEMPT, COUNT, TIME, TIME, TIME, COUNT, MAYBE, MAYBE,
        some(st.sampled_from(Risk)),
    ),
    FileDigests: st.builds(FileDigests, some(TEXT)),
    Failure: FAILURE,
    GivenUp: st.builds(GivenUp, FAILURE),
    Changed: st.builds(Changed, UNIT, TEXT),
    File: FILE,
    IcebergFile: METADATA,
    TableFiles: FILES,
    TableEntry: ENTRY,
    Totals: TOTALS,
    Head: st.builds(
        Head, run=RUN, tool=TEXT, status=STATUS, project=TEXT, dataset=TEXT, location=TEXT, snapshot_time=TEXT,
        snapshot=TIME, mode=MODE, settings=SETTINGS, totals=TOTALS, skipped=some(SKIPPED), failed=some(FAILURE),
    ),
    Manifest: st.builds(
        Manifest, run=RUN, tool=TEXT, status=STATUS, project=TEXT, dataset=TEXT, location=TEXT, snapshot_time=TEXT,
        snapshot=TIME, mode=MODE, settings=SETTINGS, digest=TEXT, totals=TOTALS, tables=some(ENTRY),
        skipped=some(SKIPPED), failed=some(FAILURE), left=some(FILES), found=some(FILE), flags=some(FLAG),
        definitions=DEFINITIONS, copy_of=st.none() | COPY_OF, erased=some(ERASED),
    ),
    CopyOf: COPY_OF,
    CopyPlace: st.builds(CopyPlace, TEXT, TEXT, TEXT, TIME),
    Expected: EXPECTED,
    Copying: st.builds(Copying, RUN, TEXT, CONTENT, some(EXPECTED)),
    Arrived: ARRIVED,
    Renewed: st.builds(Renewed, RUN, some(st.tuples(TEXT, COUNT))),
    ArrivedFiles: st.builds(ArrivedFiles, RUN, some(ARRIVED)),
    ManifestFiles: st.builds(ManifestFiles, RUN, STATUS, TOTALS, some(FILES), some(FILES), some(FILE)),
    Pointer: POINTER,
    Latest: LATEST,
    LogEntry: LOG_ENTRY,
    Erased: ERASED,
    Erasing: ERASING,
    IcebergTables: st.builds(IcebergTables, run=RUN, tables=st.dictionaries(TEXT, TEXT, max_size=3)),
    Publishing: st.builds(Publishing, RUN, TIME, TEXT, st.none() | LATEST),
    Intent: st.builds(Intent, RUN, some(TEXT)),
    Proofs: st.builds(Proofs, proven=st.dictionaries(TEXT, TEXT), different=st.dictionaries(TEXT, TEXT)),
    Drill: st.builds(
        Drill, run=RUN, snapshot=TIME, dataset=TEXT, tool=TEXT, began=TIME, ended=TIME, tables=COUNT, of=COUNT,
        rows=COUNT, different=COUNT, failed=COUNT, problems=some(TEXT), last=TEXT,
    ),
}  # fmt: skip
STORED = (
    Plan,
    PrefixOwner,
    Newest,
    Stages,
    Claim,
    Receipt,
    GivenUp,
    Changed,
    Failure,
    Manifest,
    ManifestFiles,
    Latest,
    LogEntry,
    CopyPlace,
    Copying,
    ArrivedFiles,
    Renewed,
    IcebergTables,
    Intent,
)
ROOT = "gs://b/x.json"
# Parts of documents that are arrays, which have no version of their own.
ARRAYS = (Share, Split, Partitioned, Reused, ReusedPartitions, Arrived, Expected)


def test_every_document_is_tried_here() -> None:
    modules = (run, unchanged, units, manifest, target, definitions, copying)
    values = [value for module in modules for value in vars(module).values()]
    defined = {value for value in values if isinstance(value, type) and issubclass(value, msgspec.Struct)}
    # No documents: those with an underscore, which read what BigQuery has written, parts of tables, and folders.
    defined = {value for value in defined if not value.__name__.startswith("_")} - {msgspec.Struct, Notes, units.Part}
    assert defined | {Mask} == set(STRATEGIES)


def test_a_unit_of_an_earlier_release_is_read() -> None:
    line = (b'{"id":"00000-00000","table":"t","kind":"TABLE","route":"extract","rows":1,"bytes":2,"pattern":"*",'
            b'"definition":{}}')  # fmt: skip
    unit = decode(line, Unit, ROOT)
    assert (unit.read_at, unit.shape, unit.format) == ("snapshot", Shape(), "")
    assert encode(unit) == line


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in STRATEGIES
        if kind not in (Share, Split, Partitioned, Reused, ReusedPartitions, Arrived, Expected)
    ],
    ids=lambda kind: kind.__name__,
)
@given(data=st.data())
def test_a_document_survives_its_bytes(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    document = data.draw(STRATEGIES[kind])
    line = encode(document)
    assert b"\n" not in line
    read = decode(line, kind, ROOT)
    # Raw values compare by their bytes.
    assert encode(read) == line
    assert msgspec.json.decode(encode_indented(document)) == msgspec.json.decode(line)
    decode(encode_indented(document), kind, ROOT)


@given(STRATEGIES[Manifest])
def test_a_later_publication_reads_its_part_of_a_manifest(manifest: Manifest) -> None:
    part = decode(encode(manifest), ManifestFiles, ROOT)
    assert part.tables == tuple(TableFiles(entry.table, entry.files, entry.iceberg) for entry in manifest.tables)
    assert (part.run, part.left, part.found) == (manifest.run, manifest.left, manifest.found)


@given(st.binary(max_size=60))
@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
def test_garbage_names_the_object_and_what_it_should_be(kind: type[msgspec.Struct], data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"x\.json"):
        decode(data, kind, ROOT)


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_truncated_document_names_the_object(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    whole = encode(data.draw(STRATEGIES[kind]))
    with pytest.raises(DocumentError, match=f"it is not a valid {kind.__name__}"):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))], kind, ROOT)


@pytest.mark.parametrize(
    "data", [b"", b"null", b"[]", b"7", b'"x"', b"{}", b'{"run": 7}', b"\xff\xfe", b'{"run": "\xff"}', b"[" * 1_000_000,
             b'{"a":' * 1_000_000, b'{"format_version": "1"}', b'{"format_version": 1e400}'],
    ids=["empty", "null", "list", "number", "text", "nothing in it", "wrong type", "other encoding", "broken text",
         "huge nesting", "huge nesting of objects", "version as text", "version beyond numbers"],
)  # fmt: skip
def test_what_is_no_document_is_a_document_error(data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"^cannot read gs://b/x\.json: "):
        decode(data, Plan, ROOT)


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_version_is_refused_with_the_supported_one(version: int) -> None:
    data = msgspec.json.encode({"format_version": version, "anything": []})
    with pytest.raises(
        DocumentError, match=f"format version {version}, but this release reads version 1. Use the matching"
    ):
        decode(data, Latest, ROOT)


def test_unknown_fields_of_the_same_version_are_passed_over() -> None:
    assert decode(b'{"run": "r", "more": {"a": [1]}}', Newest, ROOT) == Newest("r")


@given(st.lists(st.tuples(st.integers(0, 9), TEXT)))
def test_runs_are_ordered_by_moment_then_by_name(ages: list[tuple[int, str]]) -> None:
    pointers = [Pointer(run, snapshot, "m") for snapshot, run in ages]
    assert [pointer.age for pointer in sorted(pointers, key=lambda pointer: pointer.age)] == sorted(ages)
