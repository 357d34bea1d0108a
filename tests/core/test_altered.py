"""Columns whose values a format does not bring back as they are: named one by one, and refused if that is required."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bqdump.core.documents.run import TablePlan
from bqdump.core.errors import UsageError
from bqdump.core.formats.formats import FORMATS, altered, altered_as_texts
from bqdump.core.formats.types import SCALARS, Column
from bqdump.core.plan.altered import AlteredColumn, altered_columns, altered_flags, by_table, folded
from bqdump.core.plan.guards import judge, refuse
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Mask, Shape

EVERY = [Column(f"v_{type_.lower()}", type_) for type_ in SCALARS]
NULLS, BYTES, SIGN, DOCUMENT = (
    '"" becomes NULL', "b'' becomes NULL", "-0.0 becomes 0.0", "a JSON null becomes NULL",
)  # fmt: skip


def found(format_: str, route: str, *columns: Column) -> dict[str, str]:
    return {one.path: one.change for one in altered(format_, route, columns)}


@pytest.mark.parametrize("route", ["extract", "query"])
def test_each_type_of_each_format_that_does_not_come_back_is_known(route: str) -> None:
    assert {format_: found(format_, route, *EVERY) for format_ in FORMATS} == {
        "csv": {"v_string": NULLS, "v_bytes": BYTES},
        "json": {"v_float64": SIGN, "v_json": DOCUMENT},
        "avro": {},
        "parquet": {},
    }


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_the_read_route_brings_everything_back(format_: str) -> None:
    assert found(format_, "read", *EVERY) == {}


def test_where_no_null_is_what_reads_like_it_comes_back() -> None:
    assert found("csv", "extract", Column("s", "STRING", required=True), Column("t", "STRING")) == {"t": NULLS}
    assert found("json", "extract", Column("a", "JSON", repeated=True), Column("j", "JSON", required=True)) == {}


def test_members_and_elements_are_named_by_their_path() -> None:
    inner = (Column("f", "FLOAT64", repeated=True), Column("j", "JSON"), Column("k", "JSON", required=True))
    record = Column("r", "STRUCT", repeated=True, fields=(Column("s", "STRUCT", fields=inner),))
    assert found("json", "query", record) == {"r.s.f": SIGN, "r.s.j": DOCUMENT}
    assert [one.type for one in altered("json", "query", [record])] == ["ARRAY<FLOAT64>", "JSON"]


def test_a_nested_column_that_became_a_string_loses_its_json_nulls_and_signs_of_zeros_only() -> None:
    record = Column("r", "STRUCT", fields=(Column("j", "JSON"), Column("s", "STRING"), Column("f", "FLOAT64")))
    numbers = Column("l", "FLOAT64", repeated=True)
    assert [(one.path, one.change) for one in altered_as_texts([record, numbers])] == [
        ("r.j", DOCUMENT),
        ("r.f", SIGN),
        ("l", SIGN),
    ]
    assert [*altered_as_texts([Column("i", "INTERVAL"), Column("j", "JSON", repeated=True)])] == []


def table(name: str, fields: list[dict[str, Any]], **changed: Any) -> TablePlan:
    definition = msgspec.Raw(msgspec.json.encode({"schema": {"fields": fields}}))
    usual: dict[str, Any] = {"id": "00000-00000", "kind": "TABLE", "route": "extract", "rows": 1, "bytes": 1}
    return TablePlan(table=name, pattern=f"{name}/*", definition=definition, **usual | changed)


STRINGS = [{"name": name, "type": "STRING"} for name in ("a", "b", "c", "d")]


def test_only_columns_that_are_exported_as_they_are_count() -> None:
    shape = Shape(columns=("a", "b", "c"), masks={"a": Mask(null=True)}, left_out={"b": "why"})
    tables = [table("t", STRINGS, shape=shape), table("p", STRINGS, format="parquet")]
    assert [*altered_columns(tables, {"format": "csv"})] == [AlteredColumn("t", "c", "STRING", "csv", NULLS)]


def settings(**values: Any) -> Settings:
    return Settings(project="proj", dataset="data", target=Target("gs", "bucket"), **values)


def test_strict_refuses_them_in_one_sentence_unless_they_are_allowed() -> None:
    columns = [*altered_columns([table("t", STRINGS), table("u", STRINGS)], {"format": "csv"})]
    flags = [*altered_flags(columns)]
    with pytest.raises(UsageError) as caught:
        refuse(judge(flags, settings(strict=True)), "proj.data")
    assert caught.value.cause == (
        "the export would be incomplete (values that the format does not restore exactly: "
        'csv: "" becomes NULL, in t.a, t.b, t.c, t.d, u.a and 3 more columns of 2 tables)'
    )
    assert "{setting:format=parquet}" in caught.value.hint
    for allowed in (settings(), settings(strict=True, allow=(Risk.ALTERED_VALUES,))):
        assert [flag.allowed for flag in judge(flags, allowed)] == [True]


def test_a_plan_names_every_column_of_a_table() -> None:
    (one,) = by_table(altered_columns([table("t", STRINGS)], {"format": "csv"}))
    assert (one.table, one.format, one.change) == ("t", "csv", NULLS)
    assert one.columns == ("a STRING", "b STRING", "c STRING", "d STRING")


def test_many_tables_with_the_same_columns_are_shown_as_one() -> None:
    tables = [table(f"t{number}", STRINGS[:1]) for number in range(6)] + [table("u", STRINGS[:2])]
    shown = folded(altered_columns(tables, {"format": "csv"}))
    assert [(one.table, one.columns) for one in shown] == [
        ("t0 to t5 (6)", ("a STRING",)), ("u", ("a STRING", "b STRING")),
    ]  # fmt: skip
    few = folded(altered_columns(tables[:3], {"format": "csv"}))
    assert [one.table for one in few] == ["t0", "t1", "t2"]


def test_what_is_exact_is_no_risk() -> None:
    assert [*altered_flags([])] == []
