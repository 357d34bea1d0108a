"""The statements of wide and deep tables grow with their columns, and none is longer than BigQuery permits."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.check.compare_with_source import questions_about
from bqdump.core.errors import UsageError
from bqdump.core.formats.types import Column, columns
from bqdump.core.plan.routes import Routed, Routing
from bqdump.core.restore.partitions import fill
from bqdump.core.sql import statements
from bqdump.core.sql.checksums import LEAVES_AT_ONCE, bigquery_statement, chunks, leaves
from bqdump.core.tables.catalog import WHOLE, Shape
from bqdump.export.planning.target import estimate_queries
from bqdump_memory import MemoryWarehouse
from core.restore.exports import NOW, SOURCE, TARGET, column, entry, manifest, plan
from core.strategies import table

LIMIT = 1_000_000
MOST_COLUMNS = 10_000
TYPES = ("INTEGER", "STRING", "FLOAT", "DATETIME", "NUMERIC", "TIMESTAMP", "BIGNUMERIC", "BYTES")


def wide(count: int, name: str = "column_{:05}") -> list[dict[str, object]]:
    return [column(name.format(number), TYPES[number % len(TYPES)]) for number in range(count)]


def compared(count: int) -> list[str]:
    """The statements that compare a table of so many columns."""
    exported = entry("wide", wide(count), format="csv")
    return [question.select for question in questions_about(SOURCE, manifest(exported), exported, NOW, WHOLE)]


def test_the_statements_that_compare_a_table_grow_with_its_columns() -> None:
    few, many = compared(300), compared(900)
    assert [len(few), len(many)] == [3, 9]
    # With the names of all columns in each, those of the larger table would be longer.
    assert max(map(len, many)) < 1.01 * max(map(len, few))
    assert sum(map(len, many)) < 3.03 * sum(map(len, few))


def test_the_definition_of_a_table_is_decoded_as_often_for_many_statements_as_for_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[int] = []

    def counted(definition: msgspec.Raw) -> tuple[Column, ...]:
        decoded.append(len(columns(definition)))
        return columns(definition)

    monkeypatch.setattr(statements, "columns_of", counted)
    assert len(compared(900)) == 9
    assert decoded == [900]


def test_a_statement_that_compares_has_fewer_columns_where_their_names_are_long() -> None:
    name, deep = "n" * 300, column("n" * 300, "FLOAT", mode="REPEATED")
    for _ in range(14):
        deep = column(name, "RECORD", fields=[deep])
    fields = [{**deep, "name": f"{number:0300}"} for number in range(300)]
    found = leaves(columns(entry("deep", fields).definition))
    groups = chunks(found)
    assert [leaf for group in groups for leaf in group] == found
    assert max(map(len, groups)) < LEAVES_AT_ONCE
    assert max(len(bigquery_statement("(SELECT 1)", group, "csv")) for group in groups) < LIMIT


@pytest.mark.parametrize("count", [300, 3_000, MOST_COLUMNS])
def test_the_statement_that_casts_grows_with_the_columns_of_a_table(count: int) -> None:
    (step,) = plan(manifest(entry("wide", wide(count), format="avro"))).tables
    assert "DATETIME" in step.load.casts
    assert len(fill(TARGET, "wide", "scratch", step.load)) < 60 * count + 200 < LIMIT


def test_the_statement_that_casts_the_deepest_structs_fits() -> None:
    inner = [column(name, "FLOAT") for name in "abc"]
    for _ in range(15):
        inner = [column("a", "STRING"), column("b", "DATE"), column("deeper", "RECORD", fields=inner)]
    deep = entry("deep", inner, format="csv", route="query", shape=Shape(texts={"deeper": ""}))
    (step,) = plan(manifest(deep)).tables
    assert len(fill(TARGET, "deep", "scratch", step.load)) < 10_000


def test_a_table_whose_export_needs_a_longer_query_is_refused_by_name() -> None:
    def planned(count: int) -> Routing:
        found = table("long", 1, *(column(f"{number:0300}", "RANGE") for number in range(count)))
        texts = {name.name: "" for name in columns(found.definition)}
        item = Routed(found, "query", "", "csv", "none", shape=Shape(texts=texts))
        warehouse = MemoryWarehouse(MemoryStore(), lambda: NOW)
        return asyncio.run(estimate_queries(warehouse, SOURCE, NOW, Routing((item,), ())))

    permitted = r"the query would have 1,[0-9]{3},[0-9]{3} characters, and BigQuery permits 1,048,576"
    with pytest.raises(UsageError, match=permitted) as refused:
        planned(3_000)
    assert (refused.value.subject, "exclude" in refused.value.hint) == ("table long", True)
