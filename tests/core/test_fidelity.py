"""Which type fits which format, and what the user is told where one does not."""

from __future__ import annotations

from itertools import product

import pytest

from bqdump.core.errors import UsageError
from bqdump.core.formats.fidelity import CELLS, cell
from bqdump.core.formats.formats import FORMATS, formats_that_hold, unfit
from bqdump.core.formats.types import TYPES, Column
from bqdump.core.tables.columns import Misfit, refuse

RANGE = Column("span", "RANGE", element="DATE")
INTERVAL = Column("pause", "INTERVAL")
ARRAY = Column("tags", "STRING", repeated=True)
DEEP = Column("r", "STRUCT", fields=(Column("plain", "INT64"), Column("s", "STRUCT", repeated=True, fields=(RANGE,))))
IMPOSSIBLE = {
    ("csv", "STRUCT"), ("csv", "ARRAY"), ("avro", "RANGE"), ("parquet", "RANGE"), ("parquet", "INTERVAL"),
}  # fmt: skip


@pytest.mark.parametrize("route", CELLS)
def test_every_format_has_a_cell_for_every_type(route: str) -> None:
    assert set(CELLS[route]) == set(FORMATS)
    assert all(set(cells) == set(TYPES) for cells in CELLS[route].values())


@pytest.mark.parametrize("route", ["extract", "query"])
def test_the_server_side_routes_cannot_hold_these_and_say_why(route: str) -> None:
    found = {
        (format_, type_) for format_, type_ in product(FORMATS, TYPES) if cell(format_, route, type_).holds == "no"
    }
    assert found == IMPOSSIBLE
    assert all(cell(format_, route, type_).lost for format_, type_ in found)


def test_what_is_lost_makes_a_cell_lossy() -> None:
    assert cell("csv", "extract", "STRING").holds == "lossy"
    assert cell("avro", "extract", "STRING").holds == "yes"


def test_an_unknown_type_is_left_to_bigquery() -> None:
    assert not unfit("avro", "extract", [Column("v", "VECTOR")])
    assert not cell("avro", "extract", "VECTOR").sure


@pytest.mark.parametrize(
    ("format_", "column", "path", "type_"),
    [
        ("avro", RANGE, "span", "RANGE<DATE>"),
        ("parquet", INTERVAL, "pause", "INTERVAL"),
        ("csv", ARRAY, "tags", "ARRAY<STRING>"),
        ("csv", DEEP, "r", "STRUCT"),
        ("avro", DEEP, "r.s.span", "RANGE<DATE>"),
    ],
)
def test_a_column_that_does_not_fit_is_found_at_its_path(format_: str, column: Column, path: str, type_: str) -> None:
    (found,) = unfit(format_, "extract", [Column("id", "INT64"), column])
    assert (found.column, found.path, found.type) == (column, path, type_)


@pytest.mark.parametrize(
    ("columns", "formats"),
    [
        ([RANGE], ["csv", "json"]),
        ([RANGE, ARRAY], ["json"]),
        ([INTERVAL], ["csv", "json", "avro"]),
        ([ARRAY], ["json", "avro", "parquet"]),
        ([Column("id", "INT64")], list(FORMATS)),
    ],
)
def test_the_formats_that_hold_all_columns(columns: list[Column], formats: list[str]) -> None:
    assert formats_that_hold([("extract", columns)]) == formats
    assert formats_that_hold([("extract", [column]) for column in columns]) == formats


def misfit(table: str, format_: str, *columns: Column) -> Misfit:
    return Misfit(table, format_, unfit(format_, "extract", columns))


def test_columns_that_do_not_fit_are_named_with_types_reasons_and_formats() -> None:
    with pytest.raises(UsageError) as caught:
        refuse("plan the export", [misfit("orders", "avro", RANGE, DEEP)], ["json"])
    assert caught.value.cause == "Avro exports have no RANGE (orders: span RANGE<DATE>, r.s.span RANGE<DATE>)"
    hint = "Set format to json, on_unsupported to skip or string, or leave the tables out with exclude."
    assert str(caught.value).endswith(hint)


def test_many_tables_and_columns_are_counted() -> None:
    many = [Column(f"c{number}", "STRING", repeated=True) for number in range(7)]
    with pytest.raises(UsageError, match=r"c4 ARRAY<STRING> and 2 more columns; .* and 2 more tables") as caught:
        refuse(
            "plan the export", [misfit(f"t{number}", "csv", *many) for number in range(7)], ["json", "avro", "parquet"]
        )
    assert "json, avro or parquet" in caught.value.hint


def test_nothing_is_refused_where_everything_fits() -> None:
    refuse("plan the export", [], [])
