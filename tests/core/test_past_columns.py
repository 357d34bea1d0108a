"""The columns of a table at the snapshot time: what a query gave for then, with all that is known of each column."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bqdump.core.tables.catalog import Table
from bqdump.core.tables.columns import as_of, may_differ

T = 1_800_000_000_000


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def column(name: str, type_: str = "STRING", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, **more}


def definition(*fields: dict[str, Any], **more: Any) -> msgspec.Raw:
    return raw({"id": "p:d.t", "schema": {"fields": list(fields)}, "numRows": "3", **more})


def merged(now: msgspec.Raw, *then: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(as_of(now, raw(list(then))))
    return made


@pytest.mark.parametrize(
    ("kind", "known", "expected"),
    [
        ("TABLE", {"lastModifiedTime": str(T - 1)}, False),
        ("TABLE", {"lastModifiedTime": str(T)}, True),
        ("TABLE", {"lastModifiedTime": str(T + 1)}, True),
        ("TABLE", {"lastModifiedTime": T + 1}, True),
        ("TABLE", {}, True),
        ("TABLE", {"lastModifiedTime": "lately"}, True),
        ("SNAPSHOT", {"lastModifiedTime": str(T + 1)}, False),
        ("VIEW", {"lastModifiedTime": str(T + 1)}, False),
        ("EXTERNAL", {"lastModifiedTime": str(T + 1)}, False),
    ],
)
def test_a_table_is_looked_up_when_it_may_have_been_modified_since(
    kind: str, known: dict[str, Any], expected: bool
) -> None:
    assert may_differ(Table("t", kind, 3, 3, definition(column("a"), **known)), T) is expected


@pytest.mark.parametrize("text", [b"null", b'{"numRows":"0"}', b'{"schema":{}}', b'{"schema":{"fields":[]}}'])
def test_a_table_that_is_gone_or_has_no_columns_is_not_looked_up(text: bytes) -> None:
    assert not may_differ(Table("t", "TABLE", 0, 0, msgspec.Raw(text)), T)


SAME = [
    (column("a", "INTEGER", mode="REQUIRED", description="x"), column("a", "INT64")),
    (column("a", "NUMERIC", precision="10", scale="2"), column("a", "NUMERIC", mode="NULLABLE")),
    (column("a", "STRING", maxLength="10", policyTags={"names": ["x"]}), column("a", "STRING")),
    (column("a", "RANGE", rangeElementType={"type": "DATE"}), column("a", "RANGE", rangeElementType={"type": "DATE"})),
    (column("a", "RECORD", mode="REPEATED", fields=[column("b", "FLOAT", description="y")]),
     column("a", "STRUCT", mode="REPEATED", fields=[column("b", "FLOAT64")])),
]  # fmt: skip


@pytest.mark.parametrize(("now", "then"), SAME, ids=lambda value: value["type"])
def test_the_definition_stays_byte_for_byte_where_the_columns_are_the_same(
    now: dict[str, Any], then: dict[str, Any]
) -> None:
    known = definition(now, description="edited since")
    assert as_of(known, raw([then])) is known


def test_a_column_that_was_added_since_is_left_out() -> None:
    made = merged(definition(column("a", description="x"), column("b")), column("a"))
    assert made == {"id": "p:d.t", "schema": {"fields": [column("a", description="x")]}, "numRows": "3"}


def test_a_column_that_was_dropped_since_is_there() -> None:
    made = merged(definition(column("b", "INTEGER", mode="REQUIRED")), column("a", "DATE"), column("b", "INT64"))
    assert made["schema"]["fields"] == [column("a", "DATE"), column("b", "INTEGER", mode="REQUIRED")]


def test_a_column_that_was_renamed_since_has_its_name_of_then() -> None:
    made = merged(definition(column("new", description="x"), column("A", description="y")), column("old"), column("a"))
    assert made["schema"]["fields"] == [column("old"), column("a", description="y")]


@pytest.mark.parametrize(
    ("now", "then"),
    [
        (column("a", "NUMERIC", precision="10"), column("a", "INTEGER")),
        (column("a", "BIGNUMERIC"), column("a", "NUMERIC")),
        (column("a", "FLOAT", defaultValueExpression="1.5"), column("a", "INTEGER")),
        (column("a", "STRING", collation="und:ci"), column("a", "STRING", mode="REPEATED")),
        (column("a", "RANGE", rangeElementType={"type": "DATE"}),
         column("a", "RANGE", rangeElementType={"type": "DATETIME"})),
        (column("a", "RECORD", fields=[column("x")]), column("a", "STRING")),
    ],
)  # fmt: skip
def test_a_column_of_another_type_has_the_type_of_then(now: dict[str, Any], then: dict[str, Any]) -> None:
    kept = {"description": "x", "policyTags": {"names": ["t"]}}
    assert merged(definition({**now, **kept}), then)["schema"]["fields"] == [{**kept, **then}]


def test_members_of_structs_are_those_of_then_however_deep() -> None:
    now = column("s", "RECORD", mode="REPEATED", description="s", fields=[
        column("t", "RECORD", fields=[column("a", description="a"), column("later")]), column("later")])  # fmt: skip
    then = column("s", "RECORD", mode="REPEATED", fields=[
        column("t", "RECORD", fields=[column("a"), column("earlier")])])  # fmt: skip
    [made] = merged(definition(now), then)["schema"]["fields"]
    assert made == column("s", "RECORD", mode="REPEATED", description="s", fields=[
        column("t", "RECORD", fields=[column("a", description="a"), column("earlier")])])  # fmt: skip


def test_the_order_is_that_of_then() -> None:
    made = merged(definition(column("a"), column("b")), column("b"), column("a"))
    assert [field["name"] for field in made["schema"]["fields"]] == ["b", "a"]


def test_keys_and_clustering_by_later_columns_are_left_out() -> None:
    def key(*names: str) -> dict[str, Any]:
        return {"name": "k", "columnReferences": [{"referencingColumn": n, "referencedColumn": "x"} for n in names]}

    more = {
        "clustering": {"fields": ["later", "A"]},
        "tableConstraints": {"primaryKey": {"columns": ["a", "later"]}, "foreignKeys": [key("a"), key("a", "later")]},
    }
    made = merged(definition(column("a"), column("later"), **more), column("a"))
    assert made["clustering"] == {"fields": ["A"]}
    assert made["tableConstraints"] == {"foreignKeys": [key("a")]}
    only = {"clustering": {"fields": ["later"]}, "tableConstraints": {"primaryKey": {"columns": ["later"]}}}
    assert set(merged(definition(column("a"), column("later"), **only), column("a"))) == {"id", "schema", "numRows"}
    both = merged(definition(column("a"), column("later"), **more), column("a"), column("other"), column("later"))
    assert (both["clustering"], both["tableConstraints"]) == (more["clustering"], more["tableConstraints"])
