"""Snapshot times: how a table is exported as of a time."""

from __future__ import annotations

from bqdump.core.sql import statements as sql
from bqdump_claims import files
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.scratch import Exported, Scratch


def rows_in(exported: Exported) -> int:
    """The rows of CSV files with a header."""
    return sum(len(files.csv_fields(data)) - 1 for data in exported.data)


async def _export_as_of(scratch: Scratch) -> Observed:
    table = scratch.table("then")
    await scratch.run(f"CREATE TABLE {table} (n INT64)", f"INSERT INTO {table} (n) VALUES (1), (2)")
    then = await scratch.now()
    await scratch.run(f"INSERT INTO {table} (n) VALUES (3)", f"DELETE FROM {table} WHERE n = 1")
    extract = await scratch.extract("then", "csv", snapshot=then)
    query = await scratch.query("then", sql.select(scratch.dataset, "then", then), "csv")
    return {"extract": str(rows_in(extract)), "query": str(rows_in(query))}


CLAIMS = (
    Claim(
        "times.snapshot",
        sentence="a table is exported as of a time by its decorator, and by FOR SYSTEM_TIME AS OF",
        page="export.md#snapshot-time",
        expected={"extract": "2", "query": "2"},
        observe=_export_as_of,
        reads={"times.snapshot": 4},
    ),
)
