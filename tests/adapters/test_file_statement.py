"""DuckDB computes checksums of columns with any name."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from bqdump.core.formats.types import Column
from bqdump.core.sql.checksums import file_statement, leaves


def sums(number: str, tags: str, member: str) -> Any:
    columns = (
        Column(number, "INT64"), Column(tags, "STRING", repeated=True),
        Column("items", "STRUCT", repeated=True, fields=(Column(member, "STRING", repeated=True),)),
    )  # fmt: skip
    source = f"""(SELECT 1::BIGINT AS "{number}", ['p', 'q'] AS "{tags}", [{{'{member}': ['k']}}] AS items)"""
    with duckdb.connect() as connection:
        return connection.execute(file_statement(source, leaves(columns), "parquet")).fetchall()


@pytest.mark.parametrize("names", [("e0", "tags", "a"), ("e1", "e0", "e0"), ("x", "h0", "l1"), ("0", "1", "in ner")])
def test_column_names_cannot_inject_sql(names: tuple[str, str, str]) -> None:
    assert sums(*names) == sums("id", "tags", "a")
