"""How each type looks in files that BigQuery writes, by each format and route."""

from __future__ import annotations

from functools import partial

from bqdump.core.errors import JobFailedError
from bqdump.core.formats.fidelity import SERVER
from bqdump.core.sql import statements as sql
from bqdump_claims import files
from bqdump_claims.claim import Claim, Observed
from bqdump_claims.scratch import Exported, Scratch
from bqdump_claims.values import BY_TYPE, Kind, held, statements

ROUTES = ("extract", "query")
PAGE = "formats.md"
TITLES = {"csv": "csv", "json": "json-newline-delimited", "avro": "avro", "parquet": "parquet"}
REFUSED = {"job": "refused"}
# More digits than a DECIMAL(76, 38) holds.
WIDEST = "BIGNUMERIC '578960446186580977117854925043439539266.34992332820282019728792003956564819967'"


async def values_table(scratch: Scratch, format_: str, only: str = "") -> str:
    """The table with sample values of every type that a format holds, or of one type."""
    name = f"values_{format_}_{only}" if only else f"values_{format_}"

    async def make() -> str:
        kinds = [BY_TYPE[only]] if only else held(format_)
        await scratch.run(*statements(scratch.table(name), kinds))
        return name

    return await scratch.once(name, make)


async def exported(scratch: Scratch, format_: str, route: str, type_: str) -> Exported:
    """The files with the sample values of a type.

    One export has all types. If it is refused, each type has an export of its own.
    """
    try:
        return await export(scratch, format_, route)
    except JobFailedError:
        return await export(scratch, format_, route, type_)


async def export(scratch: Scratch, format_: str, route: str, only: str = "") -> Exported:
    """The files with the sample values of all types, or of one."""

    async def make() -> Exported:
        return await by(route, scratch, await values_table(scratch, format_, only), format_)

    return await scratch.once(("export", format_, route, only), make)


async def by(route: str, scratch: Scratch, table: str, format_: str, codec: str = "none") -> Exported:
    """Export a table with a route."""
    if route == "extract":
        return await scratch.extract(table, format_, codec=codec)
    if route == "query":
        return await scratch.query(table, sql.select(scratch.dataset, table, None), format_, codec=codec)
    return await scratch.read(table, format_)


async def observed(scratch: Scratch, format_: str, route: str, type_: str) -> Observed:
    """How the samples of a type look."""
    written = await exported(scratch, format_, route, type_)
    kind = BY_TYPE[type_]
    match format_:
        case "csv":
            return csv_forms(kind, written)
        case "json":
            return json_forms(kind, written)
        case "avro":
            fields = {field["name"]: field["type"] for field in files.avro_schema(written.data[0])["fields"]}
            return {"type": files.written(files.without_details(fields[kind.column]))}
        case _:
            described = {"type": files.parquet_types(written.data[0])[kind.column]}
            if type_ == "GEOGRAPHY":
                described["metadata"] = "geo" if "geo" in files.parquet_metadata(written.data[0]) else "none"
            return described


def csv_forms(kind: Kind, written: Exported) -> Observed:
    """The fields of a type as they are written, by the word for the sample."""
    forms: dict[int, str] = {}
    for data in written.data:
        header, *records = files.csv_fields(data)
        at = header.index(kind.column)
        forms |= {int(record[header.index("n")]): record[at] for record in records}
    return {sample.word: forms[n] for n, sample in enumerate(kind.samples)}


def json_forms(kind: Kind, written: Exported) -> Observed:
    """The members of a type as they are written, by the word for the sample."""
    rows = {int(row["n"].strip('"')): row for data in written.data for row in files.json_members(data)}
    return {sample.word: rows[n].get(kind.column, "(no key)") for n, sample in enumerate(kind.samples)}


def expected(kind: Kind, format_: str) -> Observed:
    """How the samples of a type look, by docs/formats.md."""
    match format_:
        case "csv":
            return {sample.word: sample.csv for sample in kind.samples}
        case "json":
            return {sample.word: sample.json for sample in kind.samples}
        case "avro":
            repeated = kind.type == "ARRAY"
            return {"type": files.written(kind.avro if repeated else ["null", kind.avro])}
        case _:
            return {"type": kind.parquet} | ({"metadata": "geo"} if kind.type == "GEOGRAPHY" else {})


async def refused(scratch: Scratch, format_: str, route: str, type_: str, value: str = "") -> Observed:
    """Whether BigQuery refuses to write a type."""
    if value:
        table = f"refused_{format_}_{type_}"

        async def make() -> str:
            name = scratch.table(table)
            await scratch.run(f"CREATE TABLE {name} (v {type_})", f"INSERT INTO {name} (v) VALUES ({value})")
            return table

        await scratch.once(table, make)
    else:
        table = await values_table(scratch, format_, type_)
    try:
        await by(route, scratch, table, format_)
    except JobFailedError as error:
        return REFUSED | {"message": error.cause}
    return {"job": "done"}


def _claim(format_: str, route: str, type_: str) -> Claim:
    rule, kind = SERVER[format_][type_], BY_TYPE[type_]
    id_, page = f"{format_}.{type_}.{route}", f"{PAGE}#{TITLES[format_]}"
    source = f"made.{format_}" if rule.holds != "no" else f"made.{format_}.{type_}"
    reads = {source: 1} | ({f"types.{format_}": 1} if route == "query" else {})
    if rule.holds == "no":
        sentence = f"{format_} cannot hold {type_}: {rule.lost}"
        return Claim(
            id_,
            sentence=sentence,
            page=page,
            expected=REFUSED,
            observe=partial(_refused, format_, route, type_),
            reads=reads,
        )
    sentence = f"{type_} in {format_}: {rule.file}" + (f"; {rule.open}" if rule.open else "")
    return Claim(
        id_,
        sentence=sentence,
        page=page,
        expected=expected(kind, format_),
        observe=partial(_observed, format_, route, type_),
        reads=reads,
    )


async def _observed(format_: str, route: str, type_: str, scratch: Scratch) -> Observed:
    return await observed(scratch, format_, route, type_)


async def _refused(format_: str, route: str, type_: str, scratch: Scratch) -> Observed:
    return await refused(scratch, format_, route, type_)


async def _too_wide(route: str, scratch: Scratch) -> Observed:
    return await refused(scratch, "parquet", route, "BIGNUMERIC", WIDEST)


# CSV has no nested values by its documentation, which is not in doubt.
CLAIMS = tuple(
    _claim(format_, route, type_)
    for format_, cells in SERVER.items()
    for type_ in cells
    for route in ROUTES
    if cells[type_].holds != "no" or not cells[type_].sure
) + tuple(
    Claim(
        f"parquet.BIGNUMERIC_77_digits.{route}",
        sentence="a BIGNUMERIC of 77 digits does not fit into Parquet: the job fails",
        page=f"{PAGE}#parquet",
        expected=REFUSED,
        observe=partial(_too_wide, route),
        reads={"made.wide": 1} | ({"types.wide": 1} if route == "query" else {}),
    )
    for route in ROUTES
)
