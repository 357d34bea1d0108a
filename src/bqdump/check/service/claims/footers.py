"""Parquet files with a second footer, which has field ids: whether BigQuery still loads them."""

from __future__ import annotations

from bqdump.check.service import files
from bqdump.check.service.claim import Claim, Observed
from bqdump.check.service.claims.loads import load_back
from bqdump.check.service.claims.types import export, values_table
from bqdump.check.service.scratch import Exported, Scratch
from bqdump.check.service.values import BY_TYPE
from bqdump.core.formats.types import columns
from bqdump.core.iceberg.footer import instants, second_footer


async def _with_second_footer(scratch: Scratch, type_: str) -> tuple[str, Exported]:
    """An extract's file with what follows it, as one object."""
    table = await values_table(scratch, "parquet", type_)
    found = await export(scratch, "parquet", "extract", type_)
    definition, _ = await scratch.described(table)
    at = set(instants(columns(definition.definition)))
    data = found.data[0] + second_footer(files.footer(found.data[0]), at, "the file")
    info = await scratch.put(f"{scratch.place.folder}{scratch.new('footer')}.parquet", data)
    return table, Exported((info,), (data,))


async def _loaded(scratch: Scratch) -> Observed:
    table, made = await _with_second_footer(scratch, "TIMESTAMP")
    counts = await load_back(scratch, table, made, "parquet", "extract")
    return {"different": counts[BY_TYPE["TIMESTAMP"].column], "rows": counts["rows found again"]}


async def _ids(scratch: Scratch) -> Observed:
    """What BigQuery writes itself."""
    found = await export(scratch, "parquet", "extract", "TIMESTAMP")
    ids = second_footer(files.footer(found.data[0]), (), "the file")
    return {"field ids": "none" if ids else "some"}


CLAIMS = (
    Claim(
        "footers.ids",
        "Parquet files of an extract have no field ids",
        "formats.md#parquet",
        {"field ids": "none"},
        _ids,
        {"made.parquet.TIMESTAMP": 1},
    ),
    Claim(
        "footers.load",
        "a load job reads a Parquet file by its last footer",
        "restore.md#how-tables-are-loaded",
        {"different": "0", "rows": str(len(BY_TYPE["TIMESTAMP"].samples))},
        _loaded,
        {"made.parquet.TIMESTAMP": 1, "footers.load": 2},
    ),
)
