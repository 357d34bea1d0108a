"""Rows in the streaming buffer: whether the metadata of the table show it, and which exports have its rows."""

from __future__ import annotations

from bqdump.core.sql import statements as sql
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.claims.times import rows_in
from bqdump_claims.scratch import Scratch

PAGE = "limits.md#risks"
MADE = {"made.streamed": 1}


async def _table_with_buffer(scratch: Scratch) -> str:
    """A table with two rows, and a third one in its streaming buffer."""

    async def make() -> str:
        table = scratch.table("streamed")
        await scratch.run(f"CREATE TABLE {table} (n INT64)", f"INSERT INTO {table} (n) VALUES (1), (2)")
        await scratch.stream("streamed", [{"n": "3"}])
        return "streamed"

    return await scratch.once("streamed", make)


async def _describe_buffer(scratch: Scratch) -> Observed:
    _, resource = await scratch.described(await _table_with_buffer(scratch))
    return {"buffer": "reported" if "streamingBuffer" in resource else "not reported"}


async def _extract_with_buffer(scratch: Scratch) -> Observed:
    return {"rows of 3": str(rows_in(await scratch.extract(await _table_with_buffer(scratch), "csv")))}


async def _query_with_buffer(scratch: Scratch) -> Observed:
    table = await _table_with_buffer(scratch)
    then = await scratch.now()
    return {"rows of 3": str(rows_in(await scratch.query(table, sql.select(scratch.dataset, table, then), "csv")))}


CLAIMS = (
    Claim(
        "streaming.buffer",
        sentence="tables.get reports the streaming buffer as soon as rows are streamed",
        page=PAGE,
        expected={"buffer": "reported"},
        observe=_describe_buffer,
        reads=MADE,
    ),
    Claim(
        "streaming.extract",
        sentence="how many rows an extract job writes of a table with a row in its streaming buffer",
        page=PAGE,
        expected={},
        observe=_extract_with_buffer,
        reads=MADE,
    ),
    Claim(
        "streaming.query",
        sentence="how many rows EXPORT DATA writes of it, as of a time",
        page=PAGE,
        expected={},
        observe=_query_with_buffer,
        reads=MADE | {"streaming.query": 1},
    ),
)
