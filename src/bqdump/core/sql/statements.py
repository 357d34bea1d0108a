"""GoogleSQL for the query route. Names and texts from outside are quoted here and nowhere else.

Sources: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical,
https://cloud.google.com/bigquery/docs/reference/standard-sql/export-statements
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bqdump.core.formats.types import Column
from bqdump.core.formats.types import columns as columns_of
from bqdump.core.settings.table_settings import constant_text
from bqdump.core.tables.catalog import Dataset, Mask, Shape
from bqdump.core.tables.partitioning import PSEUDO_COLUMN

# The maximum length of a query, in characters. https://cloud.google.com/bigquery/quotas#query_jobs
MOST_STATEMENT = 1 << 20
FORMAT_WORDS = {"csv": "CSV", "json": "JSON", "avro": "AVRO", "parquet": "PARQUET"}


def identifier(name: str) -> str:
    """A name of a project, dataset, table or column, quoted."""
    return f"`{_escaped(name, '`')}`"


def literal(text: str) -> str:
    """A text as a string literal."""
    return f"'{_escaped(text, chr(39))}'"


def _escaped(text: str, quote: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(quote, "\\" + quote)
    return "".join(char if char >= " " and char != "\x7f" else f"\\x{ord(char):02x}" for char in escaped)


def select(
    dataset: Dataset, table: str, snapshot: int | None, items: str = "*", where: str = "", alias: str = ""
) -> str:
    """The query that reads a table as of a time (ms), or (None) when it runs.

    items: see `items`.
    where: a filter in which core.settings.table_settings.filter_problem has found nothing.
    alias: see `_alias`.
    """
    source = ".".join(map(identifier, (dataset.project, dataset.name, table)))
    source += f" AS {identifier(alias)}" if alias else ""
    as_of = f" FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS({snapshot})" if snapshot is not None else ""
    # Lines of its own keep the filter apart from what stands around it.
    rows = f"\nWHERE (\n{where}\n)" if where else ""
    return f"SELECT {items} FROM {source}{as_of}{rows}"  # noqa: S608 (quoted above)


def select_part(dataset: Dataset, table: str, snapshot: int | None, definition: msgspec.Raw, shape: Shape) -> str:
    """The query that reads of a table what its shape asks for."""
    (statement,) = select_parts(dataset, table, snapshot, definition, shape, [shape.columns])
    return statement


def select_parts(
    dataset: Dataset,
    table: str,
    snapshot: int | None,
    definition: msgspec.Raw,
    shape: Shape,
    parts: Iterable[tuple[str, ...]],
) -> list[str]:
    """For each part, the query that reads its columns. The definition is decoded once."""
    by_name = {column.name: column for column in columns_of(definition)}
    where, alias = condition(definition, shape.where), _alias(table, by_name.values())
    statements = []
    for part in parts:
        own = [by_name[name] for name in part if name in by_name] if part else by_name.values()
        selected = items(own, msgspec.structs.replace(shape, columns=part))
        statements.append(select(dataset, table, snapshot, selected, where, alias))
    return statements


def _alias(table: str, columns: Iterable[Column]) -> str:
    """Another name for a table that is called like one of its columns, "" for any other.

    Without it the column's name would mean the whole row, with what is masked or left out in it.
    Source: https://github.com/google/zetasql/blob/master/zetasql/analyzer/name_scope.h (NameTarget)
    """
    taken = {column.name.casefold() for column in columns}
    if table.casefold() not in taken:
        return ""
    alias = "source"
    while alias in taken:
        alias += "_"
    return alias


class _Partitioning(msgspec.Struct, rename="camel"):
    field: str | None = None
    require_partition_filter: bool = False


class _Partitioned(msgspec.Struct, rename="camel"):
    time_partitioning: _Partitioning | None = None
    range_partitioning: _Partitioning | None = None
    require_partition_filter: bool = False


_PARTITIONED = msgspec.json.Decoder(_Partitioned | None)


def condition(definition: msgspec.Raw, where: str) -> str:
    """What rows must meet: a filter (or "" for all rows), and where the table wants one on its partitions, also that.

    Every row meets it: what is exported is not for a setting to decide that is there against queries by mistake.
    https://cloud.google.com/bigquery/docs/querying-partitioned-tables#require_a_partition_filter_in_queries
    """
    table = _PARTITIONED.decode(definition)
    partitioning = (table.time_partitioning or table.range_partitioning) if table else None
    if not table or not partitioning:
        return where
    # The second is where the setting was before it was one for both kinds of partitions.
    if not table.require_partition_filter and not partitioning.require_partition_filter:
        return where
    column = identifier(partitioning.field or PSEUDO_COLUMN)
    any_partition = f"({column} IS NULL OR {column} IS NOT NULL)"
    return f"({where}) AND {any_partition}" if where else any_partition


def items(columns: Iterable[Column], shape: Shape) -> str:
    """What is selected of a table's columns: all as they are, or by name, some of them masked or turned into text.

    Last come the partition times, where they are exported: `*` does not include pseudo-columns.
    """
    selected = ["*"]
    if shape.columns or shape.masks or shape.left_out or shape.texts:
        by_name = {column.name: column for column in columns}
        selected = [_item(by_name[name], shape) for name in shape.columns or by_name if name not in shape.left_out]
    if shape.partition_times:
        selected.append(f"{identifier(PSEUDO_COLUMN)} AS {identifier(shape.partition_times)}")
    return ", ".join(selected)


def _item(column: Column, shape: Shape) -> str:
    name = identifier(column.name)
    mask = shape.masks.get(column.name)
    if mask is None:
        return f"{as_text(column, name)} AS {name}" if column.name in shape.texts else name
    if mask.sha256:
        parameter = next(known for known, variable in shape.salts.items() if variable == mask.sha256)
        return f"{_hashed(column, name, parameter)} AS {name}"
    type_ = masked_type(column, mask)
    if mask.constant is None:
        return f"CAST(NULL AS {type_}) AS {name}"
    text = literal(constant_text(mask.constant))
    return f"{CONSTRUCTED.get(type_, f'CAST({{}} AS {type_})').format(text)} AS {name}"


def masked_type(column: Column, mask: Mask) -> str:
    """The type of a masked column: of a hash STRING, else its own if every format can hold it."""
    return "STRING" if mask.sha256 or column.repeated or column.type in ("STRUCT", "INTERVAL", "RANGE") else column.type


# Types that a text cannot be cast to.
CONSTRUCTED = {"JSON": "PARSE_JSON({})", "GEOGRAPHY": "ST_GEOGFROMTEXT({})"}


def _hashed(column: Column, ref: str, parameter: str) -> str:
    """SHA-256 of salt and value, as hex digits; NULL stays NULL. What has no one text is taken as JSON."""
    if column.type == "BYTES" and not column.repeated:
        return f"TO_HEX(SHA256(CONCAT(CAST(@{parameter} AS BYTES), {ref})))"
    if column.type == "JSON" and not column.repeated:
        text = f"IF({ref} IS NULL, NULL, TO_JSON_STRING({ref}))"
    else:
        text = ref if (column.type, column.repeated) == ("STRING", False) else as_text(column, ref)
    return f"TO_HEX(SHA256(CONCAT(@{parameter}, {text})))"


def as_text(column: Column, ref: str) -> str:
    """A column's value as a STRING: JSON of what is nested, else as CAST writes it. NULL stays NULL.

    A stored array is never NULL. A GEOGRAPHY cannot be cast: it is WKT. In JSON a zero has no sign: which functions of
    GoogleSQL keep it is not documented.

    Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_encodings
    """
    json = f"TO_JSON_STRING({_for_json(column, ref, 0)})"
    if _has_float(column):
        json = f"REGEXP_REPLACE({json}, {SIGNED_ZERO}, r'\\1\\2')"
    if column.repeated:
        return json
    if column.type == "STRUCT":
        return f"IF({ref} IS NULL, NULL, {json})"
    return JSON_LACKS.get(column.type, "CAST({} AS STRING)").format(ref)


# What TO_JSON_STRING has no encoding for, as text.
JSON_LACKS = {"RANGE": "CAST({} AS STRING)", "GEOGRAPHY": "ST_ASTEXT({})"}


# A zero with a sign; strings of JSON match as they are, with whatever is in them.
SIGNED_ZERO = r"""r'("(?:[^"\\]|\\.)*")|-(0(?:\.0)?[,\]}])'"""


def _has_float(column: Column) -> bool:
    return column.type == "FLOAT64" or any(map(_has_float, column.fields))


def _for_json(column: Column, ref: str, depth: int) -> str:
    if not _lacking(column):
        return ref
    if column.repeated:
        item = f"item{depth}"
        inner = _for_json(msgspec.structs.replace(column, repeated=False), item, depth + 1)
        return f"ARRAY(SELECT {inner} FROM UNNEST({ref}) AS {item} WITH OFFSET AS at{depth} ORDER BY at{depth})"  # noqa: S608
    if column.fields:
        members = ", ".join(
            f"{_for_json(member, f'{ref}.{identifier(member.name)}', depth)} AS {identifier(member.name)}"
            for member in column.fields
        )
        return f"IF({ref} IS NULL, NULL, STRUCT({members}))"
    return JSON_LACKS[column.type].format(ref)


def _lacking(column: Column) -> bool:
    return column.type in JSON_LACKS or any(map(_lacking, column.fields))


def captured(dataset: Dataset) -> str:
    """The query for the tables of a dataset into which changes are streamed.

    Source: https://cloud.google.com/bigquery/docs/information-schema-tables
    """
    view = f"{identifier(dataset.project)}.{identifier(dataset.name)}.INFORMATION_SCHEMA.TABLES"
    return f"SELECT table_name FROM {view} WHERE upsert_stream_apply_watermark IS NOT NULL"  # noqa: S608 (quoted above)


def policed(dataset: Dataset) -> str:
    """The query for the tables of a dataset that have row access policies.

    Source: https://cloud.google.com/bigquery/docs/information-schema-row-access-policies
    """
    view = f"{identifier(dataset.project)}.{identifier(dataset.name)}.INFORMATION_SCHEMA.ROW_ACCESS_POLICIES"
    return f"SELECT DISTINCT table_name FROM {view}"  # noqa: S608 (quoted above)


def partitions(dataset: Dataset, tables: Iterable[str]) -> str:
    """The query for the partitions of these tables: table, id, rows, bytes, and time (ms).

    A partition may have several rows, such as one for each storage tier.
    Source: https://cloud.google.com/bigquery/docs/information-schema-partitions
    """
    view = f"{identifier(dataset.project)}.{identifier(dataset.name)}.INFORMATION_SCHEMA.PARTITIONS"
    sums = "SUM(total_rows), SUM(total_logical_bytes), MAX(UNIX_MILLIS(last_modified_time))"
    chosen = f"table_name IN ({', '.join(map(literal, tables))}) AND partition_id IS NOT NULL"
    return f"SELECT table_name, partition_id, {sums} FROM {view} WHERE {chosen} GROUP BY 1, 2"  # noqa: S608 (quoted above)


def indexes(dataset: Dataset) -> str:
    """The query for the search and vector indexes of a dataset: table, name, kind, and the statement that creates it.

    Sources: https://cloud.google.com/bigquery/docs/information-schema-indexes,
    https://cloud.google.com/bigquery/docs/information-schema-vector-indexes
    """
    place = f"{identifier(dataset.project)}.{identifier(dataset.name)}.INFORMATION_SCHEMA"
    kinds = ("SEARCH", "VECTOR")
    return " UNION ALL ".join(
        f"SELECT table_name, index_name, '{kind}' AS kind, ddl FROM {place}.{kind}_INDEXES"  # noqa: S608 (quoted above)
        for kind in kinds
    )


def export(query: str, uri: str, format_: str, codec: str, *, header: bool, delimiter: str) -> str:
    """The statement that writes a query's rows to files named by a URI with one `*`.

    Options that have another default than in an extract job are always spelt out, so that both write alike.
    """
    options = [f"uri={literal(uri)}", f"format={literal(FORMAT_WORDS[format_])}", "overwrite=true"]
    if codec != "none":
        options.append(f"compression={literal(codec.upper())}")
    if format_ == "csv":
        options += [f"header={str(header).lower()}", f"field_delimiter={literal(delimiter)}"]
    if format_ == "avro":
        options.append("use_avro_logical_types=true")
    return f"EXPORT DATA OPTIONS({', '.join(options)}) AS\n{query}"
