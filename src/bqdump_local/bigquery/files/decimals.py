"""The types of decimal values in files, which do not name one of BigQuery's types.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/Job#JobConfigurationLoad (decimalTargetTypes)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bqdump_local.bigquery.errors import invalid
from bqdump_local.bigquery.types import Field, failing, literal

# Digits before and after the point. Of numbers with 39 digits before it, BIGNUMERIC holds those up to its largest.
DIGITS = {"NUMERIC": (29, 9), "BIGNUMERIC": (38, 38)}
LARGEST = str(2**255 // 10**38)
TYPES = ("NUMERIC", "BIGNUMERIC", "STRING")
DEFAULT = ("NUMERIC",)


class Decimals(NamedTuple):
    """Precision and scale of a decimal in a file."""

    precision: int
    scale: int


def allowed(options: dict[str, Any]) -> tuple[str, ...]:
    """The types that a job allows. Refuses unknown and duplicate ones."""
    names = options.get("decimalTargetTypes") or DEFAULT
    for name in names:
        if name not in TYPES:
            raise invalid(f"Invalid value for decimalTargetTypes: {name} is not a valid value")
    if len(set(names)) < len(names):
        raise invalid("Invalid value for decimalTargetTypes: it contains duplicate types")
    return tuple(names)


def target(decimals: Decimals, types: Sequence[str]) -> str:
    """The first type that holds all values of this precision and scale, else the widest of those allowed."""
    for name in TYPES:
        if name not in types:
            continue
        before, after = DIGITS.get(name, (decimals.precision, decimals.scale))
        if decimals.precision - decimals.scale <= before and decimals.scale <= after:
            return name
    return [name for name in TYPES if name in types][-1]


def resolved(
    fields: Sequence[Field],
    decimals: Mapping[tuple[str, ...], Decimals],
    types: Sequence[str],
    path: tuple[str, ...] = (),
) -> tuple[Field, ...]:
    """The columns with the types that their decimals become. decimals: those of the file, by path."""
    columns = []
    for field in fields:
        here = (*path, field.name)
        kind = target(decimals[here], types) if here in decimals else field.type
        columns.append(replace(field, type=kind, fields=resolved(field.fields, decimals, types, here)))
    return tuple(columns)


def exact(field: Field, text: str) -> str:
    """An SQL expression for a decimal, given as text, in its column. What the column's type cannot hold is an error."""
    before, after = DIGITS[field.type]
    whole = f"ltrim(split_part({text}, '.', 1), '-0')"
    fraction = f"rtrim(split_part({text}, '.', 2), '0')"
    message = literal(f"Invalid value of field {field.name}, out of valid {field.type} range: ")
    too_large = f"length({whole}) > {before}"
    if field.type == "BIGNUMERIC":
        too_large = f"lpad({whole}, greatest(39, length({whole}))::INTEGER, '0') > '{LARGEST}' OR length({whole}) > 39"
    value = f"({text})::DECIMAL(38,9)" if field.type == "NUMERIC" else text
    return (
        f"CASE WHEN {too_large} OR length({fraction}) > {after} THEN {failing(f'{message} || {text}')} ELSE {value} END"
    )
