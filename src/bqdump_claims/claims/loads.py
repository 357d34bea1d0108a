"""Files load back: BigQuery's own files and those of the read route, as a restore loads them."""

from __future__ import annotations

from functools import partial

import msgspec

from bqdump.core.documents.manifest import File, TableEntry
from bqdump.core.errors import JobFailedError
from bqdump.core.formats.fidelity import SERVER
from bqdump.core.formats.formats import FORMATS
from bqdump.core.formats.types import Column, columns
from bqdump.core.restore.columns import restored_columns
from bqdump.core.restore.loads import loading
from bqdump.core.sql.statements import as_text, identifier
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.claims.types import TITLES, export, exported, values_table
from bqdump_claims.scratch import Exported, Scratch
from bqdump_claims.values import BY_TYPE, held, rows

# How a table was exported, as its manifest has it.
SETTINGS = {"compression": "none", "header": True, "delimiter": ","}

EMPTY = "''"

# Types that CAST does not turn into strings, or not into equal ones.
TEXTS = {"BYTES": "TO_HEX({})", "JSON": "TO_JSON_STRING({})", "FLOAT64": "CAST({} + 0.0 AS STRING)"}


async def load_back(scratch: Scratch, source: str, files: Exported, format_: str, route: str) -> dict[str, str]:
    """Load files as a restore does and compare with the table: the rows, and for each column those that differ."""
    _, definition = await scratch.described(source)
    entry = _entry(source, files, format_, route, msgspec.Raw(msgspec.json.encode(definition)))
    load = loading(entry, restored_columns(entry), SETTINGS | {"format": format_}, 0)
    back = scratch.new("loaded")
    await scratch.begin(scratch.destination.create_table(scratch.dataset, back, load.scratch))
    uris = tuple(scratch.uri(file.name) for group in load.groups for file in group)
    job = await scratch.load(back, uris, load.options, load.schema)
    pairs = ", ".join(f"{value} AS {identifier(name)}" for name, value in zip(load.columns, load.values, strict=True))
    compared = [column for column in columns(entry.definition) if column.name != "n"]
    differ = ", ".join(f"COUNTIF({text_of(column, 's')} != {text_of(column, 'b')})" for column in compared)
    counts = await scratch.ask(
        f"SELECT COUNT(*), {differ} FROM {scratch.table(source)} AS s "
        f"JOIN (SELECT {pairs} FROM {scratch.table(back)}) AS b ON s.n = b.n"
    )
    names = [column.name for column in compared]
    different = dict(zip(names, map(str, counts[1:]), strict=True))
    return {"rows loaded": str(job.rows), "rows found again": str(counts[0]), **different}


def text_of(column: Column, table: str) -> str:
    """A value for a comparison that leaves out what is lost by the documentation: NULL or "", and the sign of zero."""
    ref = f"{table}.{column.name}"
    text = TEXTS[column.type].format(ref) if column.type in TEXTS and not column.repeated else as_text(column, ref)
    return f"IFNULL({text}, '')"


def _entry(table: str, files: Exported, format_: str, route: str, definition: msgspec.Raw) -> TableEntry:
    return TableEntry(
        table=table, kind="TABLE", route=route, unit="00000-00000", jobs=(), planned_rows=0, planned_bytes=0, created=0,
        started=0, ended=0, task=0, definition=definition, format=format_,
        files=tuple(File(info.name, info.size, info.crc32c, info.generation) for info in files.files),
    )  # fmt: skip


async def _loaded_back(format_: str, type_: str, scratch: Scratch) -> Observed:
    """All types at once; if that is refused, each by itself."""
    only = ""
    try:
        observed = await scratch.once(("load", format_), lambda: _load(scratch, format_))
    except JobFailedError:
        only = type_
        observed = await scratch.once(("load", format_, type_), lambda: _load(scratch, format_, type_))
    expected = rows([BY_TYPE[only]] if only else held(format_))
    same = observed["rows loaded"] == observed["rows found again"] == str(expected)
    return {"rows": "all" if same else str(observed), "different": observed[BY_TYPE[type_].column]}


async def _load(scratch: Scratch, format_: str, only: str = "") -> dict[str, str]:
    files = await export(scratch, format_, "extract", only)
    return await load_back(scratch, await values_table(scratch, format_, only), files, format_, "extract")


async def _loaded_directly(format_: str, type_: str, scratch: Scratch) -> Observed:
    """Whether a load job reads a type that a restore loads as a string."""
    files = await exported(scratch, format_, "extract", type_)
    kind, table = BY_TYPE[type_], scratch.new("direct")
    await scratch.run(f"CREATE TABLE {scratch.table(table)} ({kind.column} {kind.ddl})")
    _, definition = await scratch.described(table)
    options = {"sourceFormat": FORMATS[format_].api, "ignoreUnknownValues": True, "useAvroLogicalTypes": True}
    uris = tuple(scratch.uri(file.name) for file in files.files)
    raw = [msgspec.Raw(msgspec.json.encode(value)) for value in (options, definition["schema"])]
    job = await scratch.load(table, uris, *raw)
    return {"rows": str(job.rows)}


async def _load_with_a_missing_key(scratch: Scratch) -> Observed:
    """A row without a key for a column that has a default value."""
    table = scratch.new("defaults")
    await scratch.run(f"CREATE TABLE {scratch.table(table)} (n INT64, v INT64 DEFAULT 7)")
    _, definition = await scratch.described(table)
    source = await scratch.put(f"{scratch.place.folder}defaults.json", b'{"n":"1"}\n')
    schema = {"fields": [{"name": field["name"], "type": field["type"]} for field in definition["schema"]["fields"]]}
    options = {"sourceFormat": FORMATS["json"].api}
    raw = [msgspec.Raw(msgspec.json.encode(document)) for document in (options, schema)]
    await scratch.load(table, (scratch.uri(source.name),), *raw)
    (value,) = await scratch.ask(f"SELECT IFNULL(MAX(v), -1) FROM {scratch.table(table)}")
    return {"value": "NULL" if value == -1 else str(value)}


async def _load_empty_fields(scratch: Scratch) -> Observed:
    """The read route quotes an empty value, and writes NULL as an empty field."""
    table = await _empty_fields(scratch, "quoted", "n INT64, v STRING", b'1,""\n2,\n')
    values = await scratch.ask(
        f"SELECT {', '.join(f'COUNTIF(n = {n} AND v IS NULL), COUNTIF(n = {n} AND v = {EMPTY})' for n in (1, 2))} "
        f"FROM {scratch.table(table)}"
    )
    words = {(1, 0): "NULL", (0, 1): "empty"}
    pairs = {"quoted": (values[0], values[1]), "unquoted": (values[2], values[3])}
    return {name: words.get(pair, str(pair)) for name, pair in pairs.items()}


async def _load_into_required(scratch: Scratch) -> Observed:
    """An empty field of a column that may not be NULL."""
    try:
        table = await _empty_fields(scratch, "required", "n INT64, v STRING NOT NULL", b"1,\n")
    except JobFailedError as error:
        return {"job": "refused", "message": error.cause}
    (empty,) = await scratch.ask(f"SELECT COUNTIF(v = {EMPTY}) FROM {scratch.table(table)}")
    return {"job": "done", "value": "empty" if empty else "another"}


async def _empty_fields(scratch: Scratch, name: str, columns: str, data: bytes) -> str:
    """A table with these columns, loaded from a CSV file without a header."""
    table = scratch.new(name)
    await scratch.run(f"CREATE TABLE {scratch.table(table)} ({columns})")
    _, definition = await scratch.described(table)
    source = await scratch.put(f"{scratch.place.folder}{name}.csv", data)
    options = {"sourceFormat": FORMATS["csv"].api}
    raw = [msgspec.Raw(msgspec.json.encode(value)) for value in (options, definition["schema"])]
    await scratch.load(table, (scratch.uri(source.name),), *raw)
    return table


CLAIMS = (
    *(
        Claim(
            f"loads.{format_}.{kind.type}",
            sentence=f"{kind.type} loads back from an extract's {format_} file as the same value",
            page=f"formats.md#{TITLES[format_]}",
            expected={"rows": "all", "different": "0"},
            observe=partial(_loaded_back, format_, kind.type),
            reads={f"made.{format_}": 1, f"loads.{format_}": 2},
        )
        for format_ in SERVER
        for kind in held(format_)
    ),
    *(
        Claim(
            f"direct.{format_}.{type_}",
            sentence=f"whether a load job reads {type_} from an extract's {format_} file; "
            "a restore casts it from a string",
            page=f"formats.md#{TITLES[format_]}",
            expected={},
            observe=partial(_loaded_directly, format_, type_),
            reads={f"made.{format_}": 1},
        )
        for format_, type_ in (("json", "INTERVAL"), ("json", "RANGE"), ("avro", "DATETIME"), ("avro", "INTERVAL"))
    ),
    Claim(
        "direct.json.defaults",
        sentence="whether a load job fills a missing key by the column's default; a restore sets defaults after "
        "loading",
        page="internals/restore.md#how-tables-are-loaded",
        expected={},
        observe=_load_with_a_missing_key,
        reads={"direct.defaults": 1},
    ),
    Claim(
        "direct.csv.quoted",
        sentence='a quoted empty field of a CSV file loads as "", an unquoted one as NULL',
        page="formats.md#csv",
        expected={"quoted": "empty", "unquoted": "NULL"},
        observe=_load_empty_fields,
        reads={"direct.quoted": 1},
    ),
    Claim(
        "direct.csv.required",
        sentence="whether a load job refuses an empty field of a REQUIRED column; then a restore fills the table by a "
        "query",
        page="formats.md#values-that-do-not-come-back",
        expected={},
        observe=_load_into_required,
        reads={"direct.required": 1},
    ),
)
