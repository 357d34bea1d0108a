"""What the Iceberg writer promises without any reader: exact facts, stable ids, the same bytes each time."""

from __future__ import annotations

import io
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bqdump.core.errors import DocumentError
from bqdump.core.formats.parquet_footer import decode_struct, encode_struct
from bqdump.core.formats.types import Column
from bqdump.core.iceberg.columns import Node, field_ids, left_out, name_mapping, nodes_of, schema_fields, with_ids
from bqdump.core.iceberg.footer import instants, second_footer
from bqdump.core.iceberg.metadata import (
    MOST_SNAPSHOTS,
    NAME_MAPPING,
    RUN,
    age_of,
    encoded,
    mark_of,
    no_history,
    read_history,
)
from bqdump.core.iceberg.parquet import FileFacts, file_facts
from bqdump.core.iceberg.table import hint_of, run_of, with_same_rows
from iceberg.tables import DAY, INSTANTS, ROWS, TYPES, Lake, footer_of, parquet

# From GoogleCloudPlatform/bigquery-utils (Apache-2.0): tools/cloud_functions/gcs_event_based_ingest/tests.
REAL = Path(__file__).with_name("real_export.parquet")


def facts(data: bytes) -> FileFacts:
    return file_facts(footer_of(data), "file")


def by_name(file_facts: FileFacts, values: dict[int, Any]) -> dict[str, Any]:
    names = {node.id: node.name for node in file_facts.columns}
    return {names[id_]: value for id_, value in values.items() if id_ in names}


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], []])
def test_a_footer_is_the_same_after_decoding_and_encoding(rows: list[dict[str, Any]]) -> None:
    for data in (parquet(rows, TYPES, ids=False), REAL.read_bytes()):
        footer = footer_of(data)
        assert decode_struct(encode_struct(decode_struct(footer))) == decode_struct(footer)


def test_a_second_footer_adds_ids_and_instants_and_changes_no_value() -> None:
    data = parquet(ROWS, TYPES, ids=False)
    more = data + second_footer(footer_of(data), INSTANTS, "file")
    before, after = pq.ParquetFile(io.BytesIO(data)), pq.ParquetFile(io.BytesIO(more))
    ids = [int(field.metadata[b"PARQUET:field_id"]) for field in after.schema_arrow]
    assert ids == [node.id for node in facts(data).columns]
    assert after.schema_arrow.field("ts").type == pa.timestamp("us", "UTC")
    assert after.schema_arrow.field("local").type == pa.timestamp("us")
    assert (
        after.read().drop_columns(["ts", "deep", "lines"]).equals(before.read().drop_columns(["ts", "deep", "lines"]))
    )
    assert after.read()["ts"].cast(pa.timestamp("us")) == before.read()["ts"]
    assert second_footer(footer_of(more), INSTANTS, "file") == b""


def test_a_file_that_bigquery_wrote_gets_ids() -> None:
    data = REAL.read_bytes()
    more = data + second_footer(footer_of(data), {"created_date"}, "file")
    table = pq.read_table(io.BytesIO(more))
    assert table.num_rows == facts(data).rows == facts(more).rows
    assert facts(more).lower == facts(data).lower
    assert str(table.schema.field("created_date").type) == "timestamp[us, tz=UTC]"
    assert by_name(facts(more), facts(more).lower)["unique_key"] == min(table["unique_key"].to_pylist()).to_bytes(
        8, "little"
    )


def test_bounds_and_counts_are_exact_or_missing() -> None:
    file_facts = facts(parquet(ROWS, TYPES, ids=True))
    assert file_facts.rows == len(ROWS)
    lower, upper = by_name(file_facts, file_facts.lower), by_name(file_facts, file_facts.upper)
    assert lower["id"] == (-(2**63)).to_bytes(8, "little", signed=True)
    assert upper["id"] == (2**63 - 1).to_bytes(8, "little")
    assert (lower["last_one"], upper["last_one"]) == (b"end", b"z")
    assert upper["money"] == (12345678901234567890123456789123456789).to_bytes(16, "big")
    assert lower["day"] == (date(1, 1, 1) - date(1970, 1, 1)).days.to_bytes(4, "little", signed=True)
    # Zeros and NaN of floating point, bytes, long texts, and what is in a list have none.
    assert not {"ratio", "raw", "text", "flag", "the tags", "lines"} & lower.keys()
    assert by_name(file_facts, file_facts.nulls)["ratio"] == 1
    assert not {"the tags", "lines"} & by_name(file_facts, file_facts.nulls).keys()


@pytest.mark.parametrize(
    ("value", "stored"),
    [("0", b"\0"), ("1.27", b"\x7f"), ("1.28", b"\0\x80"), ("-1.28", b"\x80"), ("-1.29", b"\xff\x7f")],
)
def test_a_decimal_is_stored_in_as_few_bytes_as_possible(value: str, stored: bytes) -> None:
    file_facts = facts(parquet([{"n": Decimal(value)}], {"n": pa.decimal128(10, 2)}, ids=False))
    assert list(file_facts.lower.values()) == [stored]


def test_a_column_of_nulls_has_counts_and_no_bounds() -> None:
    file_facts = facts(parquet([{"n": None}] * 3, {"n": pa.int64()}, ids=False))
    assert (list(file_facts.values.values()), list(file_facts.nulls.values()), file_facts.lower) == ([3], [3], {})


@given(data=st.binary(max_size=200))
def test_any_footer_gives_facts_or_one_clear_error(data: bytes) -> None:
    with pytest.raises(DocumentError, match="cannot read the Parquet footer of the file"):
        file_facts(data, "the file")


@example(at=60, byte=20)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_footer_gives_facts_or_one_clear_error(at: int, byte: int) -> None:
    footer = bytearray(footer_of(parquet(ROWS[:1], TYPES, ids=False)))
    footer[at % len(footer)] = byte
    facts, problem = None, ""
    try:
        second_footer(bytes(footer), INSTANTS, "the file")
        facts = file_facts(bytes(footer), "the file")
    except DocumentError as error:
        problem = str(error)
    assert "the file" in problem or (facts and facts.rows >= 0)


def test_a_wide_decimal_is_mapped_but_left_out() -> None:
    types = {"a": pa.int64(), "wide": pa.decimal256(76, 38), "z": pa.int64()}
    columns = facts(parquet([{"a": 1, "wide": Decimal(1), "z": 2}], types, ids=False)).columns
    assert left_out(columns) == ["wide"]
    assert [field["name"] for field in schema_fields(columns)] == ["a", "z"]
    assert [one["names"] for one in name_mapping(columns)] == [["a"], ["wide"], ["z"]]


def test_ids_follow_from_the_path_whatever_else_the_table_has() -> None:
    one = with_ids([Node("a", "long"), Node("s", "struct", (Node("a", "long"),))])
    other = with_ids([Node("s", "struct", (Node("new", "long"), Node("a", "long"))), Node("A", "double")])
    assert other[1].id == one[0].id
    assert other[0].id == one[1].id
    assert other[0].children[1].id == one[1].children[0].id
    assert field_ids(["a", "s", "s.a"]) == {"a": one[0].id, "s": one[1].id, "s.a": one[1].children[0].id}


def test_no_two_columns_have_the_same_id() -> None:
    paths = [f"column {number}" for number in range(100_000)]
    ids = field_ids(paths)
    assert len(set(ids.values())) == len(paths)
    assert all(0 < number < 2**30 for number in ids.values())


def test_manifests_are_valid_avro(tmp_path: Path) -> None:
    lake = Lake(tmp_path, ids=True)
    written = lake.publish("run", ROWS)
    manifest, listed = (list(fastavro.reader(io.BytesIO(data))) for _, data in written.objects[:2])
    assert [entry["data_file"]["record_count"] for entry in manifest] == [1, 1, 1]
    (entry,) = listed
    assert isinstance(entry, dict)
    assert entry["manifest_path"] == lake.root + written.objects[0][0]
    assert entry["manifest_length"] == len(written.objects[0][1])
    assert entry["added_rows_count"] == 3


def test_the_same_run_gives_the_same_objects(tmp_path: Path) -> None:
    one, other = (Lake(tmp_path, ids=True).publish("run", ROWS) for _ in range(2))
    assert one == other


def test_each_object_names_its_run_and_the_hint_the_metadata(tmp_path: Path) -> None:
    written = Lake(tmp_path, ids=True).publish("nightly-2026_07", ROWS)
    assert {run_of(name) for name, _ in written.objects} == {"nightly-2026_07"}
    name, content = hint_of(written.metadata)
    assert run_of(name) == ""
    assert written.metadata == name.replace("version-hint.text", f"{content.decode()}.metadata.json")


def test_snapshots_of_deleted_runs_are_left_out(tmp_path: Path) -> None:
    lake = Lake(tmp_path, ids=True)
    for run in ("a", "b"):
        lake.publish(run, ROWS)
    history = lake.history
    ages, lists = [age_of(one) for one in history.snapshots], {one["manifest-list"] for one in history.snapshots}
    assert history.only([(1, "b")], lists).snapshots == history.only(ages, set()).snapshots == []
    lake.history = history.only(ages[1:], lists)
    metadata = msgspec.json.decode(lake.publish("c", ROWS).objects[-1][1])
    assert [one["summary"][RUN] for one in metadata["snapshots"]] == ["b", "c"]
    assert metadata["refs"].keys() == {"b", "c", "main"}
    assert metadata["last-sequence-number"] == 3


def test_a_snapshot_stands_for_the_runs_up_to_the_next_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path, ids=True)
    for run in ("a", "b"):
        lake.publish(run, ROWS)
    history = lake.history
    (a, b), lists = history.snapshots, {one["manifest-list"] for one in history.snapshots}
    first, second = age_of(a), age_of(b)
    between, later = (first[0] + 1, "z"), (second[0] + 1, "a")
    assert history.only([between], lists).snapshots == [a]
    assert history.only([later], lists).snapshots == [b]
    assert history.standing([between, later, second]) == {
        a["snapshot-id"]: [between],
        b["snapshot-id"]: [second, later],
    }
    assert [history.as_of(age) for age in ((1, "a"), first, between, second, later)] == [None, a, a, b, b]
    assert with_same_rows(history, history, b, "c", later[0], "place") == history


def test_metadata_has_the_newest_snapshots_only(tmp_path: Path) -> None:
    lake = Lake(tmp_path, ids=True)
    lake.publish("r0", [])
    one = lake.history.snapshots[0]
    most = 2 * MOST_SNAPSHOTS
    many = [one | {"summary": one["summary"] | {RUN: f"r{number:05d}"}} for number in range(most)]
    lake.history = msgspec.structs.replace(lake.history, snapshots=many)
    lake.publish("last", [])
    assert len(lake.history.snapshots) == MOST_SNAPSHOTS
    assert lake.history.runs()[-2:] == [f"r{most - 1:05d}", "last"]


def test_a_run_with_the_files_of_an_earlier_one_shares_its_manifest_list(tmp_path: Path) -> None:
    lake = Lake(tmp_path, ids=True)
    fewer = {name: kind for name, kind in TYPES.items() if name != "text"}
    lake.publish("a", ROWS)
    lake.publish("b", [{name: row[name] for name in fewer} for row in ROWS[:1]], fewer)
    (only,) = lake.publish_again("c", of="a").objects
    a, b, c = (metadata := msgspec.json.decode(only[1]))["snapshots"]
    assert c["manifest-list"] == a["manifest-list"] != b["manifest-list"]
    assert [one["schema-id"] for one in (a, b, c)] == [0, 1, 0]
    assert [one["sequence-number"] for one in (a, b, c)] == [1, 2, metadata["last-sequence-number"]] == [1, 2, 3]
    assert (c["summary"]["operation"], c["summary"]["total-records"]) == ("overwrite", str(len(ROWS)))
    assert (c["timestamp-ms"] - b["timestamp-ms"], c["parent-snapshot-id"]) == (DAY, b["snapshot-id"])
    assert len({one["snapshot-id"] for one in (a, b, c)}) == 3
    assert metadata["refs"]["c"] == {"snapshot-id": c["snapshot-id"], "type": "tag"}


def test_a_snapshot_that_is_found_later_takes_its_place_in_time_with_its_columns(tmp_path: Path) -> None:
    lake, other = Lake(tmp_path / "a", ids=False), Lake(tmp_path / "b", ids=False)
    more = TYPES | {"more": pa.int64()}
    other.publish("a", ROWS)
    other.publish("b", [row | {"more": 1} for row in ROWS], more)
    lake.publish("a", ROWS)
    lake.written *= 2
    lake.publish("c", ROWS)
    found = with_same_rows(lake.history, other.history, other.history.snapshots[1], "b", 1, "place")
    assert [one["summary"][RUN] for one in found.snapshots] == ["b", "a", "c"]
    b = with_same_rows(
        lake.history, other.history, other.history.snapshots[1], *mark_of(other.history.snapshots[1]), ""
    )
    assert b.runs() == ["a", "b", "c"]
    assert b.snapshots[1]["snapshot-id"] == other.snapshot("b")
    assert b.snapshots[1]["schema-id"] == 1
    metadata = msgspec.json.decode(encoded(b, "place"))
    assert "more" in metadata["properties"][NAME_MAPPING]
    assert metadata["current-schema-id"] == 0
    assert [one["snapshot-id"] for one in metadata["snapshot-log"]] == [one["snapshot-id"] for one in b.snapshots]


def test_a_schema_that_comes_back_keeps_its_number(tmp_path: Path) -> None:
    lake = Lake(tmp_path, ids=True)
    fewer = {name: kind for name, kind in TYPES.items() if name != "text"}
    numbers = []
    for run, types in (("a", TYPES), ("b", fewer), ("c", TYPES)):
        rows = [{name: row[name] for name in types} for row in ROWS]
        numbers.append(msgspec.json.decode(lake.publish(run, rows, types).objects[-1][1])["current-schema-id"])
    assert numbers == [0, 1, 0]


def test_damaged_metadata_is_one_clear_error() -> None:
    one = (
        b'{"table-uuid": "", "snapshots": [{"snapshot-id": 1, "sequence-number": 1, "timestamp-ms": 1, "schema-id": 7, '
    )
    one += b'"manifest-list": "", "summary": {"bqdump.run": "r", "total-data-files": "1", "total-records": "1", '
    one += b'"total-files-size": "1"}}], "schemas": []}'
    for data in (b"", b"{", b"[]", b"\xff", b'{"snapshots": 1}', one):
        with pytest.raises(DocumentError, match=r"read v1: it is not valid Iceberg metadata"):
            read_history(data, "v1")


def test_a_table_without_files_has_the_columns_of_its_definition() -> None:
    columns = (
        Column("n", "NUMERIC"),
        Column("m", "NUMERIC", parameters="(10, 2)"),
        Column("wide", "BIGNUMERIC"),
        Column("tags", "STRING", repeated=True),
        Column("s", "STRUCT", fields=(Column("ts", "TIMESTAMP"),)),
    )
    types = [field["type"] for field in schema_fields(with_ids(nodes_of(columns)))]
    assert types[:2] == ["decimal(38, 9)", "decimal(10, 2)"]
    assert types[2]["element"] == "string"
    assert types[3]["fields"][0]["type"] == "timestamptz"


def test_timestamps_are_found_in_structs_and_arrays() -> None:
    when = Column("when", "TIMESTAMP", repeated=True)
    lines = Column("lines", "STRUCT", repeated=True, fields=(when, Column("local", "DATETIME")))
    assert set(instants([Column("ts", "TIMESTAMP"), lines])) == {"ts", "lines.element.when.element"}


def test_a_table_has_one_uuid_for_good() -> None:
    assert no_history("gs://b/t").table_uuid == no_history("gs://b/t").table_uuid != no_history("gs://b/u").table_uuid


def test_dates_before_1970_are_bounds(tmp_path: Path) -> None:
    file_facts = facts(
        parquet([{"at": datetime.fromisoformat("1969-12-31T23:59:59")}], {"at": pa.timestamp("us")}, ids=False)
    )
    assert list(file_facts.lower.values()) == [(-1_000_000).to_bytes(8, "little", signed=True)]
