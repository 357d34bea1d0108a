"""Expressions that make values again: whatever the type, the values that went in come out."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import duckdb
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from bqdump.core.formats.fidelity import CAST
from bqdump.core.formats.types import Column
from bqdump.core.restore.columns import cast, free_name, from_json

DATABASE = duckdb.connect(config={"threads": 1})
DATABASE.execute("SET lambda_syntax = 'ENABLE_SINGLE_ARROW'")
START = datetime.fromisoformat("2000-01-01")
STORED = {"INT64": "BIGINT", "STRING": "VARCHAR", "DATETIME": "TIMESTAMP", "BOOL": "BOOLEAN"}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "INT64": st.integers(-(2**53), 2**53),
    "STRING": st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=5),
    "DATETIME": st.integers(-(10**8), 10**8).map(
        lambda one: datetime.fromisoformat("2000-01-01") + timedelta(milliseconds=one * 997)
    ),
    "BOOL": st.booleans(),
}
NAMES = ["a", "item", "item0", "ITEM_", "from", "x y", "é", "item_at0"]


def members(inner: st.SearchStrategy[Column]) -> st.SearchStrategy[tuple[Column, ...]]:
    return st.lists(inner, min_size=1, max_size=3, unique_by=lambda column: column.name.lower()).map(tuple)


LEAVES = st.builds(Column, st.sampled_from(NAMES), st.sampled_from(list(VALUES)), st.booleans())
COLUMNS = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        lambda name, fields, repeated: Column(name, "STRUCT", repeated, fields=fields),
        st.sampled_from(NAMES), members(inner), st.booleans(),
    ),
    max_leaves=5,
)  # fmt: skip


@st.composite
def columns_with_values(draw: st.DrawFn) -> tuple[Column, Any]:
    column = draw(COLUMNS)
    return column, draw(value_of(column))


def value_of(column: Column) -> st.SearchStrategy[Any]:
    fields = {member.name: value_of(member) for member in column.fields}
    one: st.SearchStrategy[Any] = st.fixed_dictionaries(fields) if column.fields else VALUES[column.type]
    return st.lists(one, max_size=3) if column.repeated else st.none() | one


def stored(column: Column, *, texts: bool) -> str:
    """The type in DuckDB. texts: a DATETIME is a string."""
    type_ = "VARCHAR" if texts and column.type == "DATETIME" else STORED.get(column.type, "")
    if column.fields:
        type_ = "STRUCT(" + ", ".join(f'"{one.name}" {stored(one, texts=texts)}' for one in column.fields) + ")"
    return f"{type_}[]" if column.repeated else type_


def as_json(value: Any) -> Any:
    """A value as TO_JSON_STRING writes it."""
    return json.loads(json.dumps(value, default=lambda moment: moment.isoformat()))


def result(expression: str, column: Column, type_: str, value: Any) -> Any:
    made = sqlglot.transpile(f"SELECT {expression} FROM t", read="bigquery", write="duckdb")[0]
    name = column.name.replace('"', '""')
    DATABASE.execute(f'CREATE OR REPLACE TABLE t ("{name}" {type_})')
    DATABASE.execute("INSERT INTO t VALUES (?)", [value])
    ((found,),) = DATABASE.execute(made).fetchall()
    return found


def nested(column: Column) -> bool:
    return column.repeated or bool(column.fields)


def ref(column: Column) -> str:
    return f"`{column.name}`"


@settings(max_examples=20, deadline=None)
@given(columns_with_values())
def test_strings_become_datetimes_wherever_they_are(pair: tuple[Column, Any]) -> None:
    column, value = pair
    item = free_name("item", [column])
    expression = cast(column, ref(column), lambda one: CAST if one.type == "DATETIME" else "", item)
    loaded = as_json(value)
    assert as_json(result(expression, column, stored(column, texts=True), loaded)) == loaded


@settings(max_examples=20, deadline=None)
@given(columns_with_values())
def test_json_text_becomes_the_value_that_it_was_made_from(pair: tuple[Column, Any]) -> None:
    column, value = pair
    text = None if value is None else json.dumps(as_json(value)) if nested(column) else str(as_json(value))
    expression = from_json(column, ref(column), free_name("item", [column]))
    found = result(expression, column, "VARCHAR", text)
    assert as_json(found) == as_json(value)
