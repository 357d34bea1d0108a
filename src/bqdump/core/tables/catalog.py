"""The parts of a dataset that an export depends on: tables, their kinds, sizes and columns.

The part of a table that is exported: which columns, which of them masked, which rows, and with partition times.

Filters and masks that give the same result for the same rows, whenever and for whomever they run.

Decided by the filter's tokens, and cautiously: a word before a parenthesis must be a function that is known here.

Names that a dataset does not distinguish: with isCaseInsensitive, Foo and foo are one table. It keeps the name that
it was created with, and is found by any spelling of it. Names of routines are not concerned.
Sources: https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#Dataset,
https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#case_sensitivity
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Any

import msgspec

from bqdump.core.tables.patterns import Labels

EXTRACTABLE = ("TABLE", "SNAPSHOT")
KIND_WORDS = {
    "VIEW": "a view",
    "MATERIALIZED_VIEW": "a materialized view",
    "EXTERNAL": "an external table",
}


class Dataset(msgspec.Struct, frozen=True):
    """A dataset.

    location: such as "EU".
    time_travel_hours: how far back its tables can be read.
    definition: its resource as BigQuery returned it; JSON null for a dataset that is only named.
    """

    project: str
    name: str
    location: str
    time_travel_hours: int = 168
    definition: msgspec.Raw = msgspec.Raw(b"null")


class ListedDataset(msgspec.Struct, frozen=True):
    """One line of a project's listing. kind: DEFAULT, or EXTERNAL for a dataset whose tables are not in BigQuery."""

    name: str
    location: str
    kind: str = "DEFAULT"
    labels: dict[str, str] = {}


class Listed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a dataset's listing. `created` is in milliseconds since 1970 UTC. partitioned: it has partitions."""

    name: str
    kind: str
    created: int
    partitioned: bool = False
    labels: dict[str, str] = {}


def labels_of(listing: Iterable[Listed | ListedDataset]) -> Labels:
    """The labels in a listing, by name."""
    return {item.name: item.labels for item in listing}


class Partition(msgspec.Struct, frozen=True):
    """One partition of a table, by a listing.

    id: such as `20260131`, as in `t$20260131`.
    modified: ms since 1970 UTC.

    `__NULL__` holds rows without a value in the column, `__UNPARTITIONED__` those outside of an integer range, or
    streamed ones that have no partition yet.
    """

    id: str
    rows: int
    bytes: int
    modified: int


class Table(msgspec.Struct, frozen=True):
    """A table with its size. definition: as BigQuery returned it; JSON null for a table that no longer exists."""

    name: str
    kind: str
    rows: int
    bytes: int
    definition: msgspec.Raw


class _Partitioning(msgspec.Struct, rename="camel"):
    expiration_ms: str | int | None = None


class _Keys(msgspec.Struct, rename="camel"):
    primary_key: Any = None


class TableState(msgspec.Struct, rename="camel"):
    """What a definition says about when and how rows of the table may change. Times: ms since 1970 UTC."""

    num_rows: str | int | None = None
    last_modified_time: str | int | None = None
    max_staleness: str | None = None
    streaming_buffer: Any = None
    biglake_configuration: Any = None
    time_partitioning: _Partitioning | None = None
    table_constraints: _Keys | None = None

    @property
    def partitions_expire_ms(self) -> int:
        """The age at which partitions are deleted; 0 for never."""
        return int(self.time_partitioning.expiration_ms or 0) if self.time_partitioning else 0


def state_of(definition: msgspec.Raw) -> TableState | None:
    """What a definition says about changes; None for a table that no longer exists. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(definition, type=TableState | None)


def unknown_kind(kind: str) -> str:
    """Why no route can export an object of this kind; "" when one can."""
    return "" if kind in EXTRACTABLE or kind in KIND_WORDS else f"of the unknown kind {kind}"


def is_iceberg(definition: msgspec.Raw) -> bool:
    """Whether a table stores its rows as Iceberg files in a bucket."""
    state = state_of(definition)
    return state is not None and state.biglake_configuration is not None


Constant = str | int | float | bool


class Mask(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The replacement for a column's values: NULL, a hash of them, or a constant.

    sha256: the name of the environment variable that holds the salt, never the salt itself.
    """

    null: bool = False
    sha256: str = ""
    constant: Constant | None = None


class Shape(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of a table that is exported. No columns: all of them.

    where: an expression in GoogleSQL.
    masks: by column.
    left_out: columns that are not exported, because the format cannot hold them, with the reason.
    texts: those that are exported as strings instead.
    partition_times: the name of one more column, the last one, which holds the partition time of each row of an
        ingestion-time partitioned table; "" without one.
    """

    columns: tuple[str, ...] = ()
    masks: dict[str, Mask] = {}
    where: str = ""
    left_out: dict[str, str] = {}
    texts: dict[str, str] = {}
    partition_times: str = ""

    @property
    def salts(self) -> dict[str, str]:
        """The environment variables that hold its salts, by query parameter."""
        variables = dict.fromkeys(mask.sha256 for mask in self.masks.values() if mask.sha256)
        return {f"salt_{number}": variable for number, variable in enumerate(variables)}

    @property
    def words(self) -> str:
        """How it differs from the complete table, in words; "" where it does not."""
        words: dict[str, object] = {
            "columns are chosen": self.columns,
            "columns are left out": self.left_out,
            "columns become strings": self.texts,
            "columns are masked": self.masks,
            "rows are filtered": self.where,
        }
        return " and ".join(word for word, value in words.items() if value)


WHOLE = Shape()


# Words that read something else than the row.
VARYING = ("SELECT", "TABLE", "WITH", "CURRENT_DATE", "CURRENT_DATETIME", "CURRENT_TIME", "CURRENT_TIMESTAMP")
# Words and functions that may precede a parenthesis.
OPERATORS = "ALL AND ANY AS BETWEEN CASE ELSE FROM IN INTERVAL IS LIKE NOT ON OR SOME THEN UNNEST WHEN"
TYPES = "ARRAY BIGNUMERIC BOOL BYTES DATE DATETIME FLOAT64 INT64 JSON NUMERIC RANGE STRING STRUCT TIME TIMESTAMP"
FUNCTIONS = (
    "ABS ARRAY_LENGTH BYTE_LENGTH CAST CEIL CEILING CHAR_LENGTH COALESCE CONCAT CONTAINS_SUBSTR DATE_ADD DATE_DIFF "
    "DATE_SUB DATE_TRUNC DATETIME_ADD DATETIME_DIFF DATETIME_SUB DATETIME_TRUNC DIV ENDS_WITH EXTRACT FARM_FINGERPRINT "
    "FLOOR FROM_BASE64 FROM_HEX GREATEST IF IFNULL IS_INF IS_NAN JSON_QUERY JSON_VALUE LEAST LEFT LENGTH LOWER LPAD "
    "LTRIM MD5 MOD NULLIF PARSE_DATE PARSE_DATETIME PARSE_TIMESTAMP REGEXP_CONTAINS REGEXP_EXTRACT REGEXP_REPLACE "
    "REPLACE REVERSE RIGHT ROUND RPAD RTRIM SAFE_CAST SHA1 SHA256 SHA512 SIGN SPLIT STARTS_WITH STRPOS SUBSTR "
    "SUBSTRING TIMESTAMP_ADD TIMESTAMP_DIFF TIMESTAMP_MICROS TIMESTAMP_MILLIS TIMESTAMP_SECONDS TIMESTAMP_SUB "
    "TIMESTAMP_TRUNC TIME_ADD TIME_DIFF TIME_SUB TIME_TRUNC TO_BASE64 TO_HEX TRIM TRUNC UNIX_DATE UNIX_MICROS "
    "UNIX_MILLIS UNIX_SECONDS UPPER"
)
KNOWN = frozenset(f"{OPERATORS} {TYPES} {FUNCTIONS}".split())
TOKENS = r"""(?xs)
(?P<text>(?:\b(?:[rR]?[bB]?|[bB][rR]))?(?:'{3}(?:\\.|(?!'{3})[^\\])*'{3}|"{3}(?:\\.|(?!"{3})[^\\])*"{3}
    |'(?!'')(?:\\[^\n]|[^'\\\n])*'|"(?!"")(?:\\[^\n]|[^"\\\n])*"))
|(?P<quoted>`(?:\\[^\n]|[^`\\\n])+`)
|(?P<word>[^\W\d]\w*)
|(?P<space>\s+)
|(?P<other>.)
"""


def varying(shape: Shape) -> str:
    """Why the same rows of a table may be exported differently the next time; "" where they cannot."""
    if shape.salts:
        # The salt is in no document, so a new one cannot be noticed.
        return "columns are masked with a salt"
    return f"its filter uses {word}" if (word := _varying_word(shape.where)) else ""


def _varying_word(where: str) -> str:
    """The first word of a filter that may give another result the next time; "" for none."""
    tokens = [token for token in re.finditer(TOKENS, where) if token.lastgroup != "space"]
    for at, token in enumerate(tokens):
        following = tokens[at + 1][0] if at + 1 < len(tokens) else ""
        if token.lastgroup == "word":
            word = token[0].upper()
            # A name with a dot before it is a member of a STRUCT, or a function of a dataset or namespace.
            preceding = tokens[at - 1][0] if at else ""
            member, query = preceding == ".", word == "FROM" and preceding == "("
            if query or (word in VARYING and not member) or (following == "(" and (member or word not in KNOWN)):
                return token[0]
        elif token.lastgroup == "quoted" and following == "(":
            return token[0]
    return ""


def ignores_case(dataset: msgspec.Raw) -> bool:
    """Whether a dataset, by its resource or JSON null, ignores case in the names of its tables."""
    return bool((msgspec.json.decode(dataset) or {}).get("isCaseInsensitive"))


def alike(name: str) -> str:
    """What names have in common that may be one name where case is ignored.

    Which letters beyond ASCII BigQuery compares without case is not documented, so all that may be are.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def spellings(name: str, present: Iterable[str]) -> list[str]:
    """Those of these names that may be this one where case is ignored, sorted."""
    return sorted(other for other in present if alike(other) == alike(name))


def same_names(names: Iterable[str]) -> list[str]:
    """Those of these names that may be one where case is ignored, together: "Foo and foo", sorted."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(alike(name), []).append(name)
    return sorted(" and ".join(sorted(group)) for group in groups.values() if len(group) > 1)
