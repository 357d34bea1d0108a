"""Rows in the streaming buffer: whether the metadata of the table show it, and which exports have its rows."""

from __future__ import annotations

from bqdump.core.sql import statements as sql
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.claims.times import rows_in
from bqdump_claims.scratch import Scratch

PAGE = "limits.md#risks"
MADE = {"made.streamed": 1}


async def _streamed(scratch: Scratch) -> str:
    """A table with two rows, and a third one in its streaming buffer."""

    async def make() -> str:
        table = scratch.table("streamed")
        await scratch.run(f"CREATE TABLE {table} (n INT64)", f"INSERT INTO {table} (n) VALUES (1), (2)")
        await scratch.stream("streamed", [{"n": "3"}])
        return "streamed"

    return await scratch.once("streamed", make)


async def _buffer(scratch: Scratch) -> Observed:
    _, resource = await scratch.described(await _streamed(scratch))
    return {"buffer": "reported" if "streamingBuffer" in resource else "not reported"}


async def _extract(scratch: Scratch) -> Observed:
    return {"rows of 3": str(rows_in(await scratch.extract(await _streamed(scratch), "csv")))}


async def _query(scratch: Scratch) -> Observed:
    table = await _streamed(scratch)
    then = await scratch.now()
    return {"rows of 3": str(rows_in(await scratch.query(table, sql.select(scratch.dataset, table, then), "csv")))}


CLAIMS = (
    Claim("streaming.buffer", "tables.get reports the streaming buffer as soon as rows are streamed", PAGE,
          {"buffer": "reported"}, _buffer, MADE),
    Claim("streaming.extract", "how many rows an extract job writes of a table with a row in its streaming buffer",
          PAGE, {}, _extract, MADE),
    Claim("streaming.query", "how many rows EXPORT DATA writes of it, as of a time", PAGE, {}, _query,
          MADE | {"streaming.query": 1}),
)  # fmt: skip
