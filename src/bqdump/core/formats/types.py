"""The columns of a table's definition as a tree, in the names of GoogleSQL.

Source: https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

# The API answers with the names of legacy SQL; DDL knows further ones.
STANDARD = {
    **dict.fromkeys(("INTEGER", "INT", "SMALLINT", "BIGINT", "TINYINT", "BYTEINT"), "INT64"),
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "RECORD": "STRUCT",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}
SCALARS = (
    "STRING",
    "BYTES",
    "INT64",
    "FLOAT64",
    "NUMERIC",
    "BIGNUMERIC",
    "BOOL",
    "DATE",
    "TIME",
    "DATETIME",
    "TIMESTAMP",
    "JSON",
    "GEOGRAPHY",
    "INTERVAL",
    "RANGE",
)
TYPES = (*SCALARS, "STRUCT", "ARRAY")


class Column(msgspec.Struct, frozen=True):
    """A column, or a member of a STRUCT.

    type: its own, or that of its elements where `repeated`.
    parameters: as DDL writes them, such as "(10, 2)", else "".
    element: what a RANGE is over, else "".
    """

    name: str
    type: str
    repeated: bool = False
    required: bool = False
    fields: tuple[Column, ...] = ()
    parameters: str = ""
    element: str = ""

    @property
    def text(self) -> str:
        """The type for a sentence, such as ARRAY<RANGE<DATE>>; the members of a STRUCT are left out."""
        text = self.type + (f"<{self.element}>" if self.element else "") + self.parameters
        return f"ARRAY<{text}>" if self.repeated else text


class _Element(msgspec.Struct):
    type: str = ""


class _Field(msgspec.Struct, rename="camel"):
    name: str
    type: str
    mode: str = "NULLABLE"
    fields: list[_Field] = []
    precision: str | int = ""
    scale: str | int = ""
    max_length: str | int = ""
    range_element_type: _Element = msgspec.field(default_factory=_Element)


class _Schema(msgspec.Struct):
    fields: list[_Field] = []


class _Definition(msgspec.Struct):
    schema: _Schema = msgspec.field(default_factory=_Schema)


def columns(definition: msgspec.Raw) -> tuple[Column, ...]:
    """The columns of a table as `tables.get` returned it; none for a table that is gone (JSON null)."""
    decoded = msgspec.json.decode(definition, type=_Definition | None)
    return _columns(decoded.schema.fields) if decoded else ()


def _columns(fields: Iterable[_Field]) -> tuple[Column, ...]:
    return tuple(
        Column(
            name=field.name,
            type=standard(field.type),
            repeated=field.mode.upper() == "REPEATED",
            required=field.mode.upper() == "REQUIRED",
            fields=_columns(field.fields),
            parameters=_parameters(field),
            element=standard(field.range_element_type.type),
        )
        for field in fields
    )


def standard(name: str) -> str:
    """GoogleSQL's name of a type; a name that nobody knows stays as it is."""
    upper = name.upper()
    return STANDARD.get(upper, upper)


def _parameters(field: _Field) -> str:
    parameters = [
        str(number) for number in (field.precision, field.scale, field.max_length) if number not in ("", 0, "0")
    ]
    return f"({', '.join(parameters)})" if parameters else ""
