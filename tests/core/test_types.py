"""The columns of a definition as a tree, in the names of GoogleSQL."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bqdump.core.formats.types import STANDARD, TYPES, Column, columns, standard


def read(*fields: dict[str, Any]) -> tuple[Column, ...]:
    return columns(msgspec.Raw(msgspec.json.encode({"id": "t", "schema": {"fields": fields}})))


def test_legacy_and_standard_names_are_the_same_types() -> None:
    assert set(STANDARD.values()) <= set(TYPES)
    assert [column.type for column in read(*({"name": "c", "type": name} for name in STANDARD))] == list(
        STANDARD.values()
    )
    assert [standard(name) for name in TYPES] == list(TYPES)
    assert (standard("integer"), standard("Vector")) == ("INT64", "VECTOR")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"type": "INTEGER"}, "INT64"),
        ({"type": "STRING", "mode": "REPEATED"}, "ARRAY<STRING>"),
        ({"type": "RECORD", "fields": [{"name": "a", "type": "DATE"}]}, "STRUCT"),
        ({"type": "RANGE", "rangeElementType": {"type": "DATE"}}, "RANGE<DATE>"),
        ({"type": "RANGE", "rangeElementType": {"type": "TIMESTAMP"}, "mode": "REPEATED"}, "ARRAY<RANGE<TIMESTAMP>>"),
        ({"type": "NUMERIC", "precision": "10", "scale": "2"}, "NUMERIC(10, 2)"),
        ({"type": "NUMERIC", "precision": 10}, "NUMERIC(10)"),
        ({"type": "BYTES", "maxLength": "3"}, "BYTES(3)"),
        ({"type": "VECTOR"}, "VECTOR"),
    ],
)
def test_a_type_is_written_as_in_ddl(field: dict[str, Any], text: str) -> None:
    (column,) = read({"name": "c", **field})
    assert column.text == text


def test_members_are_columns_too() -> None:
    (column,) = read(
        {"name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [
            {"name": "a", "type": "INTEGER", "mode": "REQUIRED"},
            {"name": "b", "type": "STRUCT", "fields": [{"name": "c", "type": "BOOLEAN", "mode": "REPEATED"}]},
        ]}
    )  # fmt: skip
    assert column.repeated
    assert column.fields == (
        Column("a", "INT64", required=True),
        Column("b", "STRUCT", fields=(Column("c", "BOOL", repeated=True),)),
    )


@pytest.mark.parametrize("definition", [b"null", b"{}", b'{"schema": {}}', b'{"schema": {"fields": []}, "x": 1}'])
def test_a_table_without_columns_has_none(definition: bytes) -> None:
    assert columns(msgspec.Raw(definition)) == ()
