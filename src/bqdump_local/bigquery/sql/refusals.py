"""BigQuery's errors for those of DuckDB, whose own wording reaches no client."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import duckdb

from bqdump_local.bigquery.errors import BigQueryError, unsupported

LOG = logging.getLogger(__name__)
Match = re.Match[str]
# What the macros `unsupported` and `fail` fail with.
NOT_HERE = re.compile("\x01\x03(.*?)\x02", re.DOTALL)
OWN = re.compile("\x01(.*?)\x02", re.DOTALL)
TYPES = {
    "BIGINT": "INT64", "INTEGER": "INT64", "INTEGER_LITERAL": "INT64", "HUGEINT": "INT64", "INT32": "INT64",
    "VARCHAR": "STRING", "STRING_LITERAL": "STRING", "DOUBLE": "FLOAT64", "DECIMAL(38,9)": "NUMERIC", "BLOB": "BYTES",
    "BOOLEAN": "BOOL", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP", "TIMESTAMP": "DATETIME", '"NULL"': "NULL",
}  # fmt: skip
OPERATORS = {"~~": "LIKE", "!~~": "NOT LIKE", "array_extract": "[]", "&": "&", "|": "|", "@": "ABS"}
NOT_TO_READ = {"INT64": "Bad int64 value: {}", "BOOL": "Bad bool value: {}", "DOUBLE": "Bad double value: {}",
               "DECIMAL(38,9)": "Invalid NUMERIC value: {}", "INT32": "Bad int64 value: {}"}  # fmt: skip


def refusal(error: duckdb.Error) -> BigQueryError:
    """The answer to a query in which DuckDB has found an error."""
    text = str(error)
    if match := NOT_HERE.search(text):
        return unsupported(match[1], location="query")
    message = reason(error)
    if message is not None:
        return BigQueryError("invalidQuery", message, location="query")
    return missing(error)


def missing(error: duckdb.Error) -> BigQueryError:
    """The 501 for what DuckDB does not do, although BigQuery may."""
    text = str(error)
    LOG.warning("DuckDB: %s", text.partition("\n")[0])
    if match := re.search(r"(?:Scalar|Table|Aggregate|Macro) ?(?:Function|Macro)? with name \"?(\w+)", text):
        return unsupported(f"the function {match[1].upper()}", location="query")
    if match := re.search(NO_OVERLOAD, text):
        return unsupported(f"{_called(match[1])} of {_types(match[2])}", location="query")
    if "STRUCT" in text and "cast" in text.lower():
        return unsupported("this cast of a struct", location="query")
    return unsupported("an expression in this query, or its combination with others", location="query")


def reason(error: duckdb.Error) -> str | None:
    """What is wrong with a query or a value, as BigQuery says it; None for what this stand-in may just not have."""
    text = str(error)
    if own := OWN.search(text):
        return own[1]
    first = text.partition("\n")[0]
    for pattern, wording in WORDINGS.items():
        if match := re.search(pattern, first):
            return wording(match) if callable(wording) else match.expand(wording)
    if isinstance(error, (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException)):
        LOG.warning("DuckDB: %s", first)
        return "A value in the query is invalid or out of range"
    return None


def of_data(error: duckdb.Error) -> str:
    """What is wrong with the data of a file or of streamed rows."""
    return reason(error) or "the data cannot be read as the columns of the table"


def _signature(match: Match) -> str | None:
    """A function or operator that has no such arguments. BYTES: text functions of BYTES are missing here."""
    if "BLOB" in match[2]:
        return None
    kind = "function" if match[1].isidentifier() and match[1] not in OPERATORS else "operator"
    return f"No matching signature for {kind} {_called(match[1])} for argument types: {_types(match[2])}"


def _called(name: str) -> str:
    return OPERATORS.get(name, name.rpartition(".")[2].upper())


def _types(text: str) -> str:
    for name in sorted(TYPES, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", TYPES[name], text)
    return re.sub(r"(\w+)\[\]", r"ARRAY<\1>", text)


def _unread(match: Match) -> str:
    return NOT_TO_READ.get(match[2], f"Could not cast {{}} to type {_types(match[2])}").format(match[1])


NO_OVERLOAD = r"No function matches the given name and argument types '([^(]+)\((.*)\)'"
STRUCT_HINT = "unless using SELECT AS STRUCT to build STRUCT values"
WORDINGS: dict[str, str | Callable[[Match], str | None]] = {
    r'Referenced (?:update )?(?:column|table) "?([^" ]+)"? not found': r"Unrecognized name: \1",
    r'Column "([^"]+)" does not exist on (\w+) side of join': r"Column \1 in USING clause not found on \2 side of join",
    r'Column "([^"]+)" in EXCLUDE list not found': r"Column \1 in SELECT * EXCEPT list does not exist",
    r'Column "([^"]+)" in REPLACE list not found': r"Column \1 in SELECT * REPLACE list does not exist",
    r'Table "[^"]+" does not have a column with name "([^"]+)"': r"Column \1 is not present in the table",
    r'Could not find key "([^"]+)" in struct': r"Field name \1 does not exist in STRUCT",
    r"Cannot extract field '([^']+)' from expression": r"Cannot access field \1 on a value that is no STRUCT",
    r'column "([^"]+)" must appear in the GROUP BY clause': (
        r"SELECT list expression references column \1 which is neither grouped nor aggregated"
    ),
    r'Ambiguous reference to column name "([^"]+)"': r"Column name \1 is ambiguous",
    r'Ambiguous reference to table "([^"]+)"': r"Duplicate table alias \1 in the same FROM clause",
    r"Set operations can only apply to expressions with": "Queries in a set operation have mismatched column count",
    r"(\w+) clause cannot contain aggregates": r"Aggregate function not allowed in \1 clause",
    r"(\w+) clause cannot contain window functions": r"Window function not allowed in \1 clause",
    r"aggregate function calls cannot be nested": "Aggregations of aggregations are not allowed",
    r"Subquery returns \d+ columns": f"Scalar subquery cannot have more than one column {STRUCT_HINT}",
    r"More than one row returned by a subquery": "Scalar subquery produced more than one element",
    r"UNNEST\(\) can only be applied to lists": "Values referenced in UNNEST must be arrays",
    r'table "[^"]+" has (\d+) columns but (\d+) values': r"Inserted row has wrong column count; Has \2, expected \1",
    r"Could not convert string ['\"](.*)['\"] to ([A-Z0-9_(),]+)": _unread,
    r"Could not cast value (.*) to ([A-Z0-9_(),]+)": _unread,
    r'invalid (\w+) field format: "(.*?)"': r'Invalid \1: "\2"',
    r'(\w+) field value out of range: "(.*?)"': r'Invalid \1: "\2"',
    r"Date out of range: ([\d-]+)": r"Input calculates to invalid date: \1",
    r"with value (.*) can't be cast because the value is out of range for": r"Value out of range: \1",
    r"Overflow in (\w+) of \S+ \((.*)\)": r"int64 overflow: \2",
    r"Could not parse string \"(.*?)\" according to format specifier \"(.*?)\"": (
        r'Mismatch between format string "\2" and string "\1"'
    ),
    # DuckDB takes a name that no CTE in scope has for that of a file.
    r'Cannot access file "(.*?)"': r'Table "\1" must be qualified with a dataset (e.g. dataset.table).',
    r"division by zero": "division by zero",
    r'candidate function for the function call "([^(]+)\((.*)\)"': _signature,
    r"CSV Error on Line: (\d+)": r"Error detected while parsing row at line \1",
    r"Macro (to_\w+)\(\) does not support": lambda match: f"Invalid cast to {match[1][3:].upper()}",
    r"Macro (\w+)\(\) does not support": lambda match: f"No matching signature for function {match[1].upper()}",
    r"Malformed JSON": "syntax error while parsing JSON value",
    r"Failure in decode": "Invalid UTF-8 sequence in BYTES",
    r"Unknown TimeZone '(.*)'": r"Invalid time zone: \1",
    r"missing [)\]]: |invalid (?:escape|perl operator|character class|repetition)": "Cannot parse regular expression",
    NO_OVERLOAD: _signature,
    r"Cannot (?:compare|mix) values of type (.*?) and (?:type )?(.*?)(?: in|-| -)": (
        lambda match: f"No matching signature for argument types: {_types(match[1])}, {_types(match[2])}"
    ),
}
