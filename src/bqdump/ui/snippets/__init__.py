"""Code that reads a table of an export with other tools: its files, or its Iceberg metadata, at their addresses."""

from __future__ import annotations

from typing import NamedTuple

from bqdump.ui.snippets.bigquery import bigquery
from bqdump.ui.snippets.duckdb import duckdb
from bqdump.ui.snippets.polars import polars
from bqdump.ui.snippets.source import Source


class Snippet(NamedTuple):
    """Code for a tool."""

    tool: str
    code: str


def snippets(source: Source) -> list[Snippet]:
    """The code for each tool that can read the table's files."""
    candidates = (
        Snippet("DuckDB", duckdb(source)),
        Snippet("polars", polars(source)),
        Snippet("BigQuery external table", bigquery(source)),
    )
    return [snippet for snippet in candidates if snippet.code]
