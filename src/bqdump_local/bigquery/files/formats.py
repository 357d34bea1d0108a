"""Values in BigQuery's output formats: SQL expressions for CSV, JSON, Avro and the REST API.

Documented, and seen in files of the service: INT64 is a string in JSON, NULL keys are omitted from JSON, and `<`, `>`
and `&` are escaped there. Seen in files of the service: the digits of FLOAT64, and fractions of seconds without
trailing zeros. Assumed without evidence: NUMERIC is a string in JSON, a JSON column is embedded unchanged, infinities
are written as `Infinity`, and -0.0 and exponents look like those of C's printf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bqdump_local.bigquery.types import Field, literal, quote, shape

FIXED_BYTES = {"NUMERIC": 16, "BIGNUMERIC": 32, "INTERVAL": 16, "BOOLEAN": 1, "RANGE": 16}


def _plain_decimal(ref: str) -> str:
    return f"rtrim(rtrim({ref}::VARCHAR, '0'), '.')"


def plain_digits(ref: str) -> str:
    """A BIGNUMERIC, which is a string, without trailing zeros."""
    return f"CASE WHEN contains({ref}, '.') THEN {_plain_decimal(ref)} ELSE {ref} END"


def _digits(ref: str) -> str:
    """A finite FLOAT64 as in files: 15 digits if they parse back to the same value, else 17. Integers have no point."""
    short = f"format('{{:.15g}}', {ref})"
    return f"CASE WHEN TRY_CAST({short} AS DOUBLE) = {ref} THEN {short} ELSE format('{{:.17g}}', {ref}) END"


def _float(ref: str, finite: str) -> str:
    return (
        f"CASE WHEN isfinite({ref}) THEN {finite} WHEN isnan({ref}) THEN 'NaN' "
        f"WHEN {ref} > 0 THEN 'Infinity' WHEN {ref} < 0 THEN '-Infinity' END"
    )


def _text(field: Field, ref: str) -> str:
    """The text that is the same in CSV and JSON."""
    match field.type:
        case "BYTES":
            return f"base64({ref})"
        case "TIMESTAMP":
            return f"(({ref})::TIMESTAMP::VARCHAR || ' UTC')"
        case "DATETIME":
            return f"replace(({ref})::VARCHAR, ' ', 'T')"
        case "NUMERIC":
            return _plain_decimal(ref)
        case "BIGNUMERIC":
            return plain_digits(ref)
        case "FLOAT":
            return _float(ref, _digits(ref))
        case _:
            return f"({ref})::VARCHAR"


def csv_columns(fields: Sequence[Field]) -> str:
    """The select list of a CSV file, for DuckDB's own CSV writer."""

    def expression(field: Field) -> str:
        ref = quote(field.name)
        if field.type in {"INTEGER", "BOOLEAN", "DATE", "TIME"}:
            return ref
        if field.type in {"STRING", "BYTES"}:
            # Without a null marker, NULL and "" look the same, but DuckDB would quote the latter.
            return f"nullif({ref if field.type == 'STRING' else _text(field, ref)}, '')"
        return _text(field, ref)

    return ", ".join(f"{expression(field)} AS {quote(field.name)}" for field in fields)


def _escaped(json: str) -> str:
    for character, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        json = f"replace({json}, '{character}', '{code}')"
    return json


def _json_scalar(field: Field, ref: str) -> str:
    match field.type:
        case "BOOLEAN":
            return f"({ref})::VARCHAR"
        case "FLOAT":
            return f"CASE WHEN isfinite({ref}) THEN {_digits(ref)} ELSE '\"' || {_text(field, ref)} || '\"' END"
        case "JSON":
            return _escaped(f"({ref})::VARCHAR")
        case "STRING" | "GEOGRAPHY":
            return _escaped(f"to_json({ref})::VARCHAR")
        case _:
            return f"'\"' || ({_text(field, ref)}) || '\"'"


def _json_value(field: Field, ref: str, depth: int) -> str:
    if field.mode == "REPEATED":
        item = f"item{depth}"
        inner = _json_value(field.element, item, depth + 1)
        return f"'[' || array_to_string(list_transform(coalesce({ref}, []), lambda {item}: {inner}), ',') || ']'"
    if field.type == "RECORD":
        refs = [f"({ref})[{literal(member.name)}]" for member in field.fields]
        return f"CASE WHEN {ref} IS NULL THEN NULL ELSE {_json_object(field.fields, refs, depth)} END"
    return _json_scalar(field, ref)


def _json_object(fields: Sequence[Field], refs: Sequence[str], depth: int) -> str:
    # concat() skips NULL, so the key of a NULL value is omitted, too.
    keys = [_escaped(f"to_json({literal(field.name)})::VARCHAR") for field in fields]
    members = ", ".join(
        f"',' || {key} || ':' || ({_json_value(field, ref, depth)})"
        for key, field, ref in zip(keys, fields, refs, strict=True)
    )
    return f"'{{' || substr(concat({members}), 2) || '}}'"


def json_row(fields: Sequence[Field]) -> str:
    """An expression for the row as a line of newline-delimited JSON."""
    return _json_object(fields, [quote(field.name) for field in fields], 0)


def to_json_string(field: Field, ref: str, depth: int = 0) -> str:
    """TO_JSON_STRING of a column. INTERVAL, RANGE and GEOGRAPHY are plain text, unlike in BigQuery.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/json_functions#json_encodings
    """
    if field.mode == "REPEATED":
        item = f"item{depth}"
        inner = to_json_string(field.element, item, depth + 1)
        return f"('[' || array_to_string(list_transform(coalesce({ref}, []), lambda {item}: {inner}), ',') || ']')"
    if field.type == "RECORD":
        members = " || ',' || ".join(
            f"to_json({literal(member.name)})::VARCHAR || ':' || "
            + to_json_string(member, f"({ref})[{literal(member.name)}]", depth)
            for member in field.fields
        )
        return f"CASE WHEN {ref} IS NULL THEN 'null' ELSE '{{' || {members} || '}}' END"
    return f"coalesce({_encoded(field, ref)}, 'null')"


def _encoded(field: Field, ref: str) -> str:
    text = f"'\"' || {_text(field, ref)} || '\"'"
    match field.type:
        case "INTEGER" | "NUMERIC" | "BIGNUMERIC":
            digits = _text(field, ref)
            # Values that floating point represents exactly are numbers.
            exact = f"NOT contains({digits}, '.') AND TRY_CAST({digits} AS HUGEINT) BETWEEN -{2**53} AND {2**53}"
            return f"CASE WHEN {exact} THEN {digits} ELSE '\"' || {digits} || '\"' END"
        case "FLOAT":
            return f"CASE WHEN isfinite({ref}) THEN regexp_replace({ref}::VARCHAR, '\\.0$', '') ELSE {text} END"
        case "BOOLEAN" | "JSON":
            return f"({ref})::VARCHAR"
        case "TIMESTAMP":
            return f"'\"' || replace(({ref})::TIMESTAMP::VARCHAR, ' ', 'T') || 'Z\"'"
        case "STRING" | "GEOGRAPHY":
            return f"to_json({ref})::VARCHAR"
        case _:
            return text


def avro_columns(fields: Sequence[Field], *, logical_types: bool) -> str:
    """The select list with values for the schema of `avro.schema_of`."""

    def leaf(field: Field, ref: str) -> str:
        match field.type:
            case "TIMESTAMP":
                return f"epoch_us({ref})"
            case "DATE" if logical_types:
                return f"({ref} - DATE '1970-01-01')::INTEGER"
            case "TIME" if logical_types:
                return f"epoch_us({ref})"
            case "DATE" | "TIME" | "DATETIME" | "JSON":
                return _text(field, ref)
            case "NUMERIC" if field.precision:
                return f"({ref})::DECIMAL({field.precision},{field.scale or 0})"
            case _:
                return ref

    return select(fields, leaf)


def rest_columns(fields: Sequence[Field]) -> str:
    """The select list with every scalar as the text in a REST answer."""

    def leaf(field: Field, ref: str) -> str:
        if field.type == "TIMESTAMP":
            # The format of formatOptions.useInt64Timestamp, which Google's clients request.
            return f"epoch_us({ref})::VARCHAR"
        if field.type == "FLOAT":
            # Unlike in files, integers have a point: -16.0.
            return _float(ref, f"({ref})::VARCHAR")
        if field.type == "TIME":
            # Unlike in files, a fraction has six digits.
            text = f"({ref})::VARCHAR"
            return f"CASE WHEN contains({text}, '.') THEN rpad({text}, 15, '0') ELSE {text} END"
        return _text(field, ref)

    return select(fields, leaf)


def select(fields: Sequence[Field], leaf: Callable[[Field, str], str]) -> str:
    """The select list that applies `leaf` to every scalar."""
    return ", ".join(f"{shape(field, quote(field.name), leaf)} AS {quote(field.name)}" for field in fields)


def _bytes_of(field: Field, ref: str, depth: int = 0) -> str:
    if field.mode == "REPEATED":
        item = f"item{depth}"
        inner = _bytes_of(field.element, item, depth + 1)
        return f"coalesce(list_sum(list_transform({ref}, lambda {item}: {inner})), 0)"
    match field.type:
        case "RECORD":
            members = (_bytes_of(member, f"({ref})[{literal(member.name)}]", depth) for member in field.fields)
            return f"({' + '.join(members)})"
        case "STRING" | "JSON" | "GEOGRAPHY":
            size = f"2 + strlen({ref}::VARCHAR)"
        case "BYTES":
            size = f"2 + octet_length({ref})"
        case _:
            size = str(FIXED_BYTES.get(field.type, 8))
    return f"CASE WHEN {ref} IS NULL THEN 0 ELSE {size} END"


def logical_bytes(fields: Sequence[Field]) -> str:
    """An aggregate for the logical size of all rows, as BigQuery defines it."""
    parts = []
    for field in fields:
        ref = quote(field.name)
        if field.nested or field.type in {"STRING", "JSON", "GEOGRAPHY", "BYTES"}:
            parts.append(f"coalesce(sum({_bytes_of(field, ref)}), 0)")
        else:
            parts.append(f"{FIXED_BYTES.get(field.type, 8)} * count({ref})")
    return f"list_sum([{', '.join(parts)}])::BIGINT" if parts else "0::BIGINT"
