"""GoogleSQL for the query route. Names and texts from outside are quoted here and nowhere else.

Sources: https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical,
https://cloud.google.com/bigquery/docs/reference/standard-sql/export-statements
"""

from __future__ import annotations

from bqdump.core.catalog import Dataset

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


def select(dataset: Dataset, table: str, snapshot: int | None) -> str:
    """The query that reads a table as it was at a moment (ms), or (None) when it runs."""
    source = ".".join(map(identifier, (dataset.project, dataset.name, table)))
    moment = f" FOR SYSTEM_TIME AS OF TIMESTAMP_MILLIS({snapshot})" if snapshot is not None else ""
    return f"SELECT * FROM {source}{moment}"  # noqa: S608 (quoted above)


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
