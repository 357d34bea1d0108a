"""Values as texts that BigQuery and the reader of a file make alike, and the checksum of a column's texts.

A column is compared by the number of its values and the sum of their hashes: order does not matter, and duplicates do
not cancel out. The hash is the first 60 bits of the MD5 of the value's text; MD5 and sums are exact on both sides. What
cannot be made alike for certain is compared by number alone: see `Text`. Values that a format writes alike count as one
value: see `COMES_BACK`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from bqdump.core.formats.types import Column
from bqdump.core.sql.statements import identifier
from bqdump.core.sql.views import TEXT_FORMATS, quoted

# Columns of one statement, and the length of their names in it: BigQuery takes queries of up to 1 MB.
LEAVES_AT_ONCE = 100
NAMES_AT_ONCE = 700_000
# How often a statement names a column: in both hashes of a repeated one, each with the text of a FLOAT64.
MOST_USES = 18
TWO_TO_62 = "4611686018427387904.0"


class Text(NamedTuple):
    """SQL that makes a value `{}` its text; "" where this side cannot make it alike for certain.

    bigquery: in GoogleSQL.
    typed: in DuckDB's SQL, of a value from Avro or Parquet.
    text: the same, of the text that CSV and JSON have; NULL for a text that is no such value.
    """

    bigquery: str
    typed: str
    text: str


# Trailing zeros of a fraction are left out, whether or not a side writes them.
_DECIMAL = (
    r"REGEXP_REPLACE(REGEXP_REPLACE(CAST({} AS STRING), r'(\.[0-9]*?)0+$', r'\1'), r'\.$', '')",
    r"regexp_replace(regexp_replace({}::VARCHAR, '(\.[0-9]*?)0+$', '\1'), '\.$', '')",
    r"regexp_replace(regexp_replace(regexp_extract({}, '^-?[0-9]+(\.[0-9]+)?$'), '(\.[0-9]*?)0+$', '\1'), '\.$', '')",
)
# The sign of a zero; else the whole part and 62 binary places, which IEEE arithmetic gives exactly. Every writer of
# text has digits of its own, all of which read back as the same number.
_FLOAT = (
    "CASE WHEN {} = 0 AND IEEE_DIVIDE(1, {}) < 0 THEN '-0' "
    f"WHEN IS_NAN({{}}) THEN 'nan' WHEN ABS({{}}) >= {TWO_TO_62} THEN IF({{}} > 0, 'large', '-large') ELSE "
    "CONCAT(CAST(CAST(TRUNC({}) AS INT64) AS STRING), ':', "
    f"CAST(CAST(TRUNC(({{}} - TRUNC({{}})) * {TWO_TO_62}) AS INT64) AS STRING)) END"
)
_FLOAT_TYPED = (
    "CASE WHEN {} = 0 AND ({})::VARCHAR LIKE '-%' THEN '-0' "
    f"WHEN isnan({{}}) THEN 'nan' WHEN abs({{}}) >= {TWO_TO_62}::DOUBLE THEN if({{}} > 0, 'large', '-large') ELSE "
    f"trunc({{}})::BIGINT || ':' || trunc(({{}} - trunc({{}})) * {TWO_TO_62}::DOUBLE)::BIGINT END"
)
_FLOAT_TEXT = _FLOAT_TYPED.replace("{}", "TRY_CAST({} AS DOUBLE)")
_UTC = "epoch_us(TRY_CAST(regexp_replace({}, '( UTC|Z)$', '') AS TIMESTAMP))::VARCHAR"

TEXTS: dict[str, Text] = {
    "STRING": Text("{}", "{}", "{}"),
    "BYTES": Text("TO_BASE64({})", "base64({})", "{}"),
    "INT64": Text("CAST({} AS STRING)", "{}::VARCHAR", "TRY_CAST(regexp_extract({}, '^-?[0-9]+$') AS BIGINT)::VARCHAR"),
    "BOOL": Text("CAST({} AS STRING)", "{}::VARCHAR", "if({} IN ('true', 'false'), {}, NULL)"),
    "NUMERIC": Text(*_DECIMAL),
    "BIGNUMERIC": Text(_DECIMAL[0], "", _DECIMAL[2]),
    "FLOAT64": Text(_FLOAT, _FLOAT_TYPED, _FLOAT_TEXT),
    "DATE": Text(
        "CAST(UNIX_DATE({}) AS STRING)",
        "({} - DATE '1970-01-01')::VARCHAR",
        "(TRY_CAST({} AS DATE) - DATE '1970-01-01')::VARCHAR",
    ),
    "TIME": Text(
        "CAST(TIME_DIFF({}, TIME '00:00:00', MICROSECOND) AS STRING)",
        "epoch_us({}::TIME)::VARCHAR",
        "epoch_us(TRY_CAST({} AS TIME))::VARCHAR",
    ),
    "DATETIME": Text(
        "CAST(UNIX_MICROS(TIMESTAMP({}, 'UTC')) AS STRING)",
        "epoch_us({}::TIMESTAMP)::VARCHAR",
        "epoch_us(TRY_CAST({} AS TIMESTAMP))::VARCHAR",
    ),
    "TIMESTAMP": Text("CAST(UNIX_MICROS({}) AS STRING)", "epoch_us({})::VARCHAR", _UTC),
}
BY_NUMBER = Text("", "", "")
# Of values that a format writes alike, the one that comes back.
COMES_BACK: dict[str, Text] = {
    "STRING": Text("NULLIF({}, '')", "nullif({}, '')", "nullif({}, '')"),
    "BYTES": Text("NULLIF({}, b'')", "nullif({}, ''::BLOB)", "nullif({}, '')"),
    "FLOAT64": Text("({} + 0.0)", "({} + 0.0)", "(TRY_CAST({} AS DOUBLE) + 0.0)"),
    "JSON": Text("IF(TO_JSON_STRING({}) = 'null', NULL, {})", "nullif({}::VARCHAR, 'null')", "nullif({}, 'null')"),
}


class Leaf(NamedTuple):
    """A column that has values: one of the table, or a member of a STRUCT however deep. `path` leads down to it."""

    path: tuple[Column, ...]

    @property
    def name(self) -> str:
        """The path for a person: `a.b`."""
        return ".".join(column.name for column in self.path)

    @property
    def type(self) -> str:
        """The type of its values, or of its elements."""
        return self.path[-1].type

    @property
    def repeated(self) -> bool:
        """Whether a row may have several of its values."""
        return any(column.repeated for column in self.path)

    def by_value(self, format_: str) -> bool:
        """Whether values are compared in files of this format; else their number is."""
        if format_ == "json" and self.type in ("NUMERIC", "BIGNUMERIC"):
            # As a number of JSON it would lose digits where it is read.
            return False
        text = TEXTS.get(self.type, BY_NUMBER)
        return bool(text.text if format_ in TEXT_FORMATS else text.typed)

    def as_text(self, format_: str) -> bool:
        """Whether the text that a file holds tells values apart that `by_value` does not.

        Only between files of this format by the same writer: then equal values have equal texts.
        """
        if self.type == "FLOAT64":
            # By value, of large numbers only the sign counts.
            return True
        # Its digits do not fit into any of DuckDB's types.
        too_long = self.type == "BIGNUMERIC" and format_ not in TEXT_FORMATS
        return not self.by_value(format_) and not too_long


def leaves(columns: Iterable[Column], above: tuple[Column, ...] = ()) -> list[Leaf]:
    """Every column that has values, in order. Masked ones, whose type is not known, are left out."""
    every_leaf: list[Leaf] = []
    for column in columns:
        path = (*above, column)
        if column.type == "STRUCT":
            every_leaf += leaves(column.fields, path)
        elif column.type:
            every_leaf.append(Leaf(path))
    return every_leaf


def chunks(every_leaf: Sequence[Leaf]) -> list[Sequence[Leaf]]:
    """The columns of each statement; one statement without any for a table that has none."""
    groups: list[list[Leaf]] = [[]]
    length = 0
    for leaf in every_leaf:
        own = MOST_USES * sum(len(identifier(column.name)) + 1 for column in leaf.path)
        if groups[-1] and (len(groups[-1]) == LEAVES_AT_ONCE or length + own > NAMES_AT_ONCE):
            groups.append([])
            length = 0
        groups[-1].append(leaf)
        length += own
    return list(groups)


def bigquery_statement(source: str, some: Sequence[Leaf], format_: str, alike: frozenset[str] = frozenset()) -> str:
    """GoogleSQL whose one row is what `file_statement` gives for the files, summed up. source: what to select from.

    alike: the types with two values that the files do not tell apart.
    """
    inner, outer, hashes = [], ["COUNT(*)"], []
    for number, leaf in enumerate(some):
        if leaf.repeated:
            origin, value = _unnested(leaf)
            hashed = _bigquery_hash(leaf, value, format_, alike)
            inner += [
                f"(SELECT COUNT({hashed}) FROM {origin}) AS c{number}",
                f"(SELECT SUM(CAST({hashed} AS NUMERIC)) FROM {origin}) AS s{number}",
            ]
            outer += [f"COALESCE(SUM(c{number}), 0)", f"COALESCE(SUM(s{number}), 0)"]
        else:
            value = ".".join(identifier(column.name) for column in leaf.path)
            inner.append(f"{_bigquery_hash(leaf, value, format_, alike)} AS h{number}")
            outer += [f"COUNT(h{number})", f"COALESCE(SUM(CAST(h{number} AS NUMERIC)), 0)"]
            hashes += [f"COALESCE(CAST(h{number} AS STRING), '-')", "','"]
    row = _bigquery_md5(f"CONCAT({', '.join(hashes)})") if hashes else "0"
    outer.append(f"COALESCE(SUM(CAST({row} AS NUMERIC)), 0)")
    return f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner) or '1'} FROM {source})"


def file_statement(
    source: str, some: Sequence[Leaf], format_: str, *, texts: bool = False, alike: frozenset[str] = frozenset()
) -> str:
    """DuckDB's SQL whose one row is: rows; of each column the number of values and the sum of their hashes; the sum of
    the hashes of whole rows (without repeated columns).

    source: a relation with the table's columns, of texts for CSV and JSON.
    texts: see `Leaf.as_text`.
    alike: as above.
    """
    hash_of = partial(_file_hash, format_=format_, texts=texts, alike=alike)
    inner, outer, hashes = [], ["count(*)"], []
    for number, leaf in enumerate(some):
        if leaf.repeated:
            inner.append(f"{_listed(leaf, hash_of)} AS l{number}")
            outer += [
                f"coalesce(sum(len(list_filter(l{number}, lambda x: x IS NOT NULL))), 0)",
                f"coalesce(sum(list_sum(l{number})), 0)",
            ]
        else:
            inner.append(f"{hash_of(leaf, reference(leaf.path))} AS h{number}")
            outer += [f"count(h{number})", f"coalesce(sum(h{number}), 0)"]
            hashes += [f"coalesce(h{number}::VARCHAR, '-')", "','"]
    row = _file_md5(f"concat({', '.join(hashes)})") if hashes else "0"
    outer.append(f"coalesce(sum({row}), 0)")
    return f"SELECT {', '.join(outer)} FROM (SELECT {', '.join(inner) or '1'} FROM {source})"


def parsing_statement(source: str, some: Sequence[Leaf], format_: str) -> str:
    """DuckDB's SQL that reads every value: rows; of each column the texts that are no value of its type; anything."""
    outer = ["count(*)"]
    for leaf in some:
        wrong = TEXTS.get(leaf.type, BY_NUMBER).text if format_ in TEXT_FORMATS else ""
        if leaf.repeated or not wrong:
            outer.append("0")
        else:
            value = reference(leaf.path)
            parsed = wrong.replace("{}", value)
            unparsed = f"{value} IS NOT NULL AND coalesce({parsed}, '') = '' AND {value} != ''"
            outer.append(f"count(*) FILTER ({unparsed})")
    read = dict.fromkeys(reference(leaf.path[:1]) for leaf in some)
    outer += [f"bit_xor(hash({value}))" for value in read]
    return f"SELECT {', '.join(outer)} FROM {source}"


def _bigquery_md5(text: str) -> str:
    return f"CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5({text})), 1, 15)) AS INT64)"


def _file_md5(text: str) -> str:
    return f"('0x' || substr(md5({text}), 1, 15))::BIGINT"


def _bigquery_hash(leaf: Leaf, value: str, format_: str, alike: frozenset[str]) -> str:
    if leaf.type in alike:
        value = COMES_BACK[leaf.type].bigquery.replace("{}", value)
    if not leaf.by_value(format_):
        return f"IF({value} IS NULL, NULL, 0)"
    return _bigquery_md5(TEXTS[leaf.type].bigquery.replace("{}", value))


def _file_hash(leaf: Leaf, value: str, *, format_: str, texts: bool, alike: frozenset[str]) -> str:
    of_texts = format_ in TEXT_FORMATS
    if format_ == "csv" and leaf.type not in ("STRING", "BYTES"):
        # It is no value of any other type, quoted or not.
        value = f"nullif({value}, '')"
    if texts and leaf.as_text(format_):
        return _file_md5(f"{value}::VARCHAR")
    if leaf.type in alike:
        comes_back = COMES_BACK[leaf.type]
        value = (comes_back.text if of_texts else comes_back.typed).replace("{}", value)
    if not leaf.by_value(format_):
        return f"if({value} IS NULL, NULL, 0)"
    text = TEXTS[leaf.type]
    return _file_md5((text.text if of_texts else text.typed).replace("{}", value))


def _unnested(leaf: Leaf) -> tuple[str, str]:
    """In GoogleSQL: where all values of a row come from, and the value."""
    origins, value, depth = [], "", 0
    for column in leaf.path:
        value = f"{value}.{identifier(column.name)}" if value else identifier(column.name)
        if column.repeated:
            origins.append(f"UNNEST({value}) AS e{depth}")
            value, depth = f"e{depth}", depth + 1
    return ", ".join(origins), value


def reference(path: Sequence[Column]) -> str:
    """In DuckDB's SQL: a column, or a member of a STRUCT."""
    return ".".join(quoted(column.name) for column in path)


def _listed(leaf: Leaf, hash_of: Callable[[Leaf, str], str]) -> str:
    """In DuckDB's SQL: the hashes of all values of a row as one list."""

    def below(value: str, path: Sequence[Column], depth: int) -> str:
        """The hash, or the list of hashes, of what lies down the path."""
        if not path:
            return hash_of(leaf, value)
        column, *rest = path
        value = f"{value}.{reference([column])}" if value else reference([column])
        if not column.repeated:
            return below(value, rest, depth)
        # Columns come before parameters, so this is a name that BigQuery lets no column have.
        item = f'"${depth}"'
        listed = f"list_transform({value}, lambda {item}: {below(item, rest, depth + 1)})"
        return f"flatten({listed})" if any(member.repeated for member in rest) else listed

    return below("", leaf.path, 0)
