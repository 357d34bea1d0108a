"""GoogleSQL: whatever a name or a text holds, it stays inside its quotes, and the parser reads the same back."""

from __future__ import annotations

import msgspec
import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from bqdump.core.sql.statements import condition, export, identifier, literal, select
from bqdump.core.tables.catalog import Dataset

NAMES = st.text(st.characters(codec="utf-8") | st.sampled_from("`\\'\"\n;-.*/"), min_size=1, max_size=20)


def closes_only_at_its_end(quoted: str) -> bool:
    """Whether the quote that opens the text is closed by its last character and by none before it."""
    inside, escaped = quoted[1:-1], False
    for char in inside:
        if not escaped and char == quoted[0]:
            return False
        escaped = char == "\\" and not escaped
    return quoted[0] == quoted[-1] and not escaped


@given(NAMES)
def test_no_name_and_no_text_leaves_its_quotes(text: str) -> None:
    for quoted in (identifier(text), literal(text)):
        assert closes_only_at_its_end(quoted)
        assert all(char >= " " and char != "\x7f" for char in quoted)


@given(st.text(st.characters(categories=("L", "M", "N", "Pc", "Pd")) | st.sampled_from(" '\";:-"), min_size=1))
def test_a_parser_finds_one_statement_with_these_names(name: str) -> None:
    dataset = Dataset("my-proj", "data", "EU")
    (statement,) = sqlglot.parse(select(dataset, name, 7), read="bigquery")
    assert statement is not None
    (found,) = statement.find_all(exp.Table)
    assert (found.catalog, found.db, found.name) == ("my-proj", "data", name)


def test_a_table_is_read_at_its_moment_and_a_view_when_it_runs() -> None:
    dataset = Dataset("p", "d", "EU")
    moment = "FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS(1800000000000)"
    assert select(dataset, "t", 1_800_000_000_000) == f"SELECT * FROM `p`.`d`.`t` {moment}"
    assert select(dataset, "v", None) == "SELECT * FROM `p`.`d`.`v`"


def test_what_differs_from_an_extract_job_by_default_is_spelt_out() -> None:
    text = export("SELECT 1", "gs://b/x_*.csv", "csv", "gzip", header=True, delimiter="\t")
    assert text == (
        "EXPORT DATA OPTIONS(uri='gs://b/x_*.csv', format='CSV', overwrite=true, compression='GZIP', header=true, "
        "field_delimiter='\\x09') AS\nSELECT 1"
    )
    avro = export("SELECT 1", "gs://b/x_*", "avro", "none", header=True, delimiter=",")
    assert "use_avro_logical_types=true" in avro
    assert "header" not in avro
    assert "compression" not in avro


ANY_DAY = "(`day` IS NULL OR `day` IS NOT NULL)"


@pytest.mark.parametrize(
    ("definition", "all_rows"),
    [
        ("null", ""),
        ("{}", ""),
        ('{"timePartitioning": {"type": "DAY", "field": "day"}}', ""),
        ('{"timePartitioning": {"type": "DAY", "field": "day"}, "requirePartitionFilter": false}', ""),
        ('{"timePartitioning": {"type": "DAY", "field": "day"}, "requirePartitionFilter": true}', ANY_DAY),
        ('{"timePartitioning": {"type": "DAY", "field": "day", "requirePartitionFilter": true}}', ANY_DAY),
        ('{"rangePartitioning": {"field": "day", "range": {}}, "requirePartitionFilter": true}', ANY_DAY),
        (
            '{"timePartitioning": {"type": "DAY"}, "requirePartitionFilter": true}',
            ANY_DAY.replace("day", "_PARTITIONTIME"),
        ),
    ],
)
def test_a_table_that_requires_a_partition_filter_gets_one_that_every_row_meets(definition: str, all_rows: str) -> None:
    table = msgspec.Raw(definition.encode())
    assert condition(table, "") == all_rows
    assert condition(table, "a OR b") == (f"(a OR b) AND {all_rows}" if all_rows else "a OR b")
