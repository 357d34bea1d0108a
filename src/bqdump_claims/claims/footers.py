"""Parquet files with a second footer, which has field ids: whether BigQuery still loads them."""

from __future__ import annotations

from bqdump.core.formats.types import columns
from bqdump.core.iceberg.footer import instants, second_footer
from bqdump_claims import files
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.claims.loads import load_back
from bqdump_claims.claims.types import export, values_table
from bqdump_claims.scratch import Exported, Scratch
from bqdump_claims.values import BY_TYPE

# Its second footer has a flag that the first one lacks.
TYPE = "TIMESTAMP"


async def _load_with_second_footer(scratch: Scratch) -> Observed:
    """An extract's file, to which Cloud Storage adds a second footer without a download."""
    table = await values_table(scratch, "parquet", TYPE)
    definition, _ = await scratch.described(table)
    at = set(instants(columns(definition.definition)))
    exported = await scratch.extract(table, "parquet")
    file, data = exported.files[0], exported.data[0]
    added = second_footer(files.footer(data), at, "the file")
    part = f"{scratch.place.folder}{scratch.new('footer')}"
    info = await scratch.begin(scratch.store.append(file.name, file.generation, added, part))
    stored = (await scratch.store.read(file.name)).data
    counts = await load_back(scratch, table, Exported((info,), (stored,)), "parquet", "extract")
    return {
        "content": "the file and the footer" if stored == data + added else "another",
        "generation": "larger" if info.generation > file.generation else "not larger",
        "different": counts[BY_TYPE[TYPE].column],
        "rows": counts["rows found again"],
    }


async def _field_ids(scratch: Scratch) -> Observed:
    """What BigQuery writes itself."""
    exported = await export(scratch, "parquet", "extract", TYPE)
    ids = second_footer(files.footer(exported.data[0]), (), "the file")
    return {"field ids": "none" if ids else "some"}


CLAIMS = (
    Claim(
        "footers.ids",
        sentence="Parquet files of an extract have no field ids",
        page="formats.md#parquet",
        expected={"field ids": "none"},
        observe=_field_ids,
        reads={"made.parquet.TIMESTAMP": 1},
    ),
    Claim(
        "footers.load",
        sentence="a footer is composed to a Parquet file, and a load job reads the file by its last footer",
        page="internals/iceberg.md#files-that-bigquery-writes",
        expected={
            "content": "the file and the footer",
            "generation": "larger",
            "different": "0",
            "rows": str(len(BY_TYPE[TYPE].samples)),
        },
        observe=_load_with_second_footer,
        reads={"made.parquet.TIMESTAMP": 1, "footers.load": 2},
    ),
)
