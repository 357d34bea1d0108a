"""The read route: what the Storage Read API sends, and when."""

from __future__ import annotations

from functools import partial

from bqdump_claims import files
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.claims.types import PAGE, TITLES, csv_forms, json_forms
from bqdump_claims.scratch import Exported, Scratch
from bqdump_claims.values import BY_TYPE, WIDEST, statements

TEXTS = {
    "NUMERIC": {"fraction": "1.500000000", "whole": "100.000000000", "small": "0.000000001", "widest": WIDEST},
    "BIGNUMERIC": {"fraction": "1.5", "whole": "100", "widest": f"999999999{WIDEST}"},
    "JSON": {"number": "1.5"},
    "GEOGRAPHY": {"point": "POINT(1.5 -2)"},
    "INTERVAL": {"parts": "1-2 3 4:5:6.789", "negative": "0-0 -5 0:0:0"},
    "RANGE": {"unbounded": "[2026-01-01, UNBOUNDED)"},
}
PARQUET = {
    "NUMERIC": "FIXED_LEN_BYTE_ARRAY, DECIMAL(38, 9)",
    **dict.fromkeys(("BIGNUMERIC", "JSON", "GEOGRAPHY", "INTERVAL", "RANGE"), "BYTE_ARRAY, STRING"),
}


async def _read_values(scratch: Scratch, format_: str, only: str = "") -> Exported:
    """A file with the sample values of all of these types, or of one."""

    async def table() -> str:
        name = f"values_read_{only}" if only else "values_read"
        kinds = [BY_TYPE[type_] for type_ in ((only,) if only else TEXTS)]
        await scratch.run(*statements(scratch.table(name), kinds))
        return name

    async def make() -> Exported:
        return await scratch.read(await scratch.once(("read table", only), table), format_)

    return await scratch.once(("read", format_, only), make)


async def _read_form(format_: str, type_: str, scratch: Scratch) -> Observed:
    try:
        exported = await _read_values(scratch, format_)
    except Exception:
        # Another type may be to blame, whatever BigQuery sends for it.
        exported = await _read_values(scratch, format_, type_)
    kind = BY_TYPE[type_]
    if format_ == "csv":
        return csv_forms(kind, exported)
    if format_ == "json":
        return json_forms(kind, exported)
    return {"type": files.parquet_types(exported.data[0])[kind.column]}


def _expected(format_: str, type_: str) -> Observed:
    if format_ == "parquet":
        return {"type": PARQUET[type_]}
    quote = format_ == "json" or type_ == "RANGE"
    return {word: f'"{form}"' if quote else form for word, form in TEXTS[type_].items()}


async def _read_as_of(scratch: Scratch) -> Observed:
    table = scratch.table("read_then")
    await scratch.run(f"CREATE TABLE {table} (n INT64)", f"INSERT INTO {table} (n) VALUES (1), (2)")
    then = await scratch.now()
    await scratch.run(f"INSERT INTO {table} (n) VALUES (3)")
    before, after = await scratch.read("read_then", "csv", snapshot=then), await scratch.read("read_then", "csv")
    return {"rows then": _rows(before.data), "rows now": _rows(after.data)}


def _rows(data: tuple[bytes, ...]) -> str:
    return str(sum(len(files.csv_fields(content)) - 1 for content in data))


CLAIMS = (
    *(
        Claim(
            f"{format_}.{type_}.read",
            sentence=f"the Storage Read API sends {type_}, which the read route writes as {format_}",
            page=f"{PAGE}#{TITLES[format_]}",
            expected=_expected(format_, type_),
            observe=partial(_read_form, format_, type_),
            reads={"made.read": 1},
        )
        for format_ in ("csv", "json", "parquet")
        for type_ in TEXTS
    ),
    Claim(
        "read.snapshot",
        sentence="a read session with a snapshot time reads the rows of then",
        page="export.md#snapshot-time",
        expected={"rows then": "2", "rows now": "3"},
        observe=_read_as_of,
        reads={"read.snapshot": 2},
    ),
)
