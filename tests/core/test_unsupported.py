"""What becomes of columns that a format cannot hold, by the user's choice."""

from __future__ import annotations

from typing import Any

import pytest

from bqdump.core.errors import UsageError
from bqdump.core.formats.types import Column
from bqdump.core.plan.routes import route_tables
from bqdump.core.plan.selection import Selection
from bqdump.core.sql.statements import as_text, items
from bqdump.core.tables.catalog import Dataset, Mask, Shape, Table
from bqdump.core.tables.columns import as_they_are, fitted
from bqdump.core.units.plan import RunToPlan, make_plan
from bqdump.core.units.shares import read_units
from core.strategies import settings, table

SPAN: Any = {"name": "span", "type": "RANGE", "rangeElementType": {"type": "DATE"}}
TAGS: Any = {"name": "tags", "type": "STRING", "mode": "REPEATED"}
ID: Any = {"name": "id", "type": "INTEGER"}
COLUMNS = (Column("id", "INT64"), Column("tags", "STRING", repeated=True), Column("span", "RANGE", element="DATE"))
WHY = {"span": "span RANGE<DATE>: Avro exports have no RANGE"}


@pytest.mark.parametrize(
    ("policy", "shape"), [("fail", Shape()), ("skip", Shape(left_out=WHY)), ("string", Shape(texts=WHY))]
)
def test_a_table_is_made_to_fit(policy: str, shape: Shape) -> None:
    assert fitted(policy, "avro", "query", COLUMNS, Shape()) == shape
    assert fitted(policy, "json", "query", COLUMNS, Shape()) == Shape()


def test_columns_that_are_masked_or_not_selected_need_not_fit() -> None:
    masked = Shape(masks={"span": Mask(null=True)})
    assert fitted("skip", "avro", "query", COLUMNS, masked) == masked
    chosen = Shape(columns=("id", "tags"))
    assert fitted("string", "avro", "query", COLUMNS, chosen) == chosen
    assert [column.name for column in as_they_are(COLUMNS, Shape(texts=WHY))] == ["id", "tags"]


def planned(policy: str, *tables: Table, **changes: object) -> Any:
    chosen = settings(format="avro", on_unsupported=policy, **changes)
    routing = route_tables(chosen, tables)
    return make_plan(RunToPlan(chosen, "run", "0f", Dataset("p", "d", "EU"), 1), Selection((), (), 0), routing, 1)


def test_the_plan_names_what_is_left_out_and_takes_the_query_route() -> None:
    plan, lines = planned("skip", table("t", 1, ID, SPAN), table("plain", 1, ID))
    units = {unit.table: unit for unit in read_units(lines, plan)}
    assert (units["t"].route, units["t"].shape) == ("query", Shape(left_out=WHY))
    assert units["t"].why == "columns are left out: extract jobs export complete tables"
    assert (units["plain"].route, units["plain"].shape) == ("extract", Shape())


def test_the_plan_names_what_becomes_text() -> None:
    plan, lines = planned("string", table("t", 1, ID, SPAN))
    (unit,) = read_units(lines, plan)
    assert (unit.route, unit.shape) == ("query", Shape(texts=WHY))


def test_a_table_of_which_nothing_is_left_is_skipped_with_the_reason() -> None:
    plan, _ = planned("skip", table("only", 1, SPAN), table("plain", 1, ID))
    assert [(item.table, item.reason) for item in plan.skipped] == [("only", "avro can hold none of its columns")]
    assert plan.tables == 1


def test_a_requested_extract_job_cannot_leave_columns_out() -> None:
    with pytest.raises(UsageError, match=r"the extract route cannot export it \(columns are left out: .* Set route"):
        planned("skip", table("t", 1, ID, SPAN), route="extract")


def test_by_default_it_is_refused_with_the_other_ways() -> None:
    with pytest.raises(UsageError, match=r"Set format to csv or json, on_unsupported to skip or string, or leave"):
        planned("fail", table("t", 1, ID, SPAN))


def test_only_formats_that_hold_all_tables_are_named() -> None:
    spans = {**SPAN, "name": "s"}
    with pytest.raises(UsageError, match=r"Set format to json, on_unsupported to skip or string, or leave"):
        planned("fail", table("spans", 1, ID, spans), table("nested", 1, ID, TAGS))


def test_columns_are_selected_by_their_quoted_names() -> None:
    hostile = Column("a`; DROP TABLE x; --", "INT64")
    columns = (hostile, *COLUMNS)
    assert items(columns, Shape()) == "*"
    assert items(columns, Shape(left_out=WHY)) == r"`a\`; DROP TABLE x; --`, `id`, `tags`"
    assert items(COLUMNS, Shape(texts=WHY)) == "`id`, `tags`, CAST(`span` AS STRING) AS `span`"


LACKING = {
    "ARRAY(SELECT CAST(item0 AS STRING) FROM UNNEST(`c`) AS item0 WITH OFFSET AS at0 ORDER BY at0)": Column(
        "c", "RANGE", repeated=True, element="DATE"
    ),
    "IF(`c` IS NULL, NULL, STRUCT(`c`.`a` AS `a`, ST_ASTEXT(`c`.`g`) AS `g`))": Column(
        "c", "STRUCT", fields=(Column("a", "INT64"), Column("g", "GEOGRAPHY"))
    ),
    "ARRAY(SELECT IF(item0 IS NULL, NULL, STRUCT(CAST(item0.`r` AS STRING) AS `r`)) "
    "FROM UNNEST(`c`) AS item0 WITH OFFSET AS at0 ORDER BY at0)": Column(
        "c", "STRUCT", repeated=True, fields=(Column("r", "RANGE", element="DATE"),)
    ),
}


@pytest.mark.parametrize("inner", LACKING)
def test_what_json_has_no_encoding_for_becomes_text_inside_of_it(inner: str) -> None:
    column = LACKING[inner]
    whole = f"TO_JSON_STRING({inner})"
    assert as_text(column, "`c`") == (whole if column.repeated else f"IF(`c` IS NULL, NULL, {whole})")


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (Column("c", "INTERVAL"), "CAST(`c` AS STRING)"),
        (Column("c", "STRING", repeated=True), "TO_JSON_STRING(`c`)"),
        (Column("c", "STRUCT", fields=(Column("a", "INT64"),)), "IF(`c` IS NULL, NULL, TO_JSON_STRING(`c`))"),
    ],
)
def test_what_is_nested_becomes_json_and_the_rest_what_cast_makes_of_it(column: Column, text: str) -> None:
    assert as_text(column, "`c`") == text
