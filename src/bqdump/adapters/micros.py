"""A schema for Parquet files in which TIME counts microseconds: polars has nanoseconds only, which BigQuery misreads.

See https://github.com/googleapis/python-bigquery/issues/382 for what a load job makes of nanoseconds.
Handed over as a C structure: https://arrow.apache.org/docs/format/CDataInterface.html
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import polars as pl

NULLABLE = 2


class _ArrowSchema(ctypes.Structure):
    pass


_Release = ctypes.CFUNCTYPE(None, ctypes.POINTER(_ArrowSchema))
_ArrowSchema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_ArrowSchema))),
    ("dictionary", ctypes.POINTER(_ArrowSchema)),
    ("release", _Release),
    ("private_data", ctypes.c_void_p),
]


def _release(schema: Any) -> None:
    """The memory is Python's; only say that nobody reads it any more."""
    schema.contents.release = _Release()


_released = _Release(_release)


class MicrosSchema:
    """The columns of a frame with TIME in microseconds, for `arrow_schema`. Lives as long as it is in use."""

    def __init__(self, schema: pl.Schema) -> None:
        self._kept: list[Any] = []
        self._root = self._node("", pl.Struct(schema))

    def __arrow_c_schema__(self) -> object:
        """A capsule with the structure."""
        make = ctypes.pythonapi.PyCapsule_New
        make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        capsule: object = make(ctypes.addressof(self._root), b"arrow_schema", None)
        return capsule

    def _node(self, name: str, kind: Any) -> _ArrowSchema:
        children: list[_ArrowSchema] = []
        if isinstance(kind, pl.Struct):
            children = [self._node(member.name, member.dtype) for member in kind.fields]
        elif isinstance(kind, pl.List):
            children = [self._node("item", kind.inner)]
        pointers = (ctypes.POINTER(_ArrowSchema) * len(children))(*map(ctypes.pointer, children))
        node = _ArrowSchema(
            _format(kind).encode(), name.encode(), None, NULLABLE, len(children), pointers, None, _released, None
        )
        self._kept += [*children, pointers, node]
        return node


def _format(kind: Any) -> str:
    match kind:
        case pl.Decimal():
            return f"d:{kind.precision},{kind.scale}"
        case pl.Datetime():
            return f"tsu:{kind.time_zone or ''}"
        case pl.Struct():
            return "+s"
        case pl.List():
            return "+L"
        case _:
            return FORMATS[kind]


FORMATS: dict[Any, str] = {
    pl.String: "U", pl.Binary: "Z", pl.Int64: "l", pl.Float64: "g", pl.Boolean: "b", pl.Date: "tdD", pl.Time: "ttu",
}  # fmt: skip


def has_time(kinds: Iterable[Any]) -> bool:
    """Whether one of these types is TIME, or holds it."""
    for kind in kinds:
        inner = [member.dtype for member in kind.fields] if isinstance(kind, pl.Struct) else []
        inner += [kind.inner] if isinstance(kind, pl.List) else []
        if kind == pl.Time or has_time(inner):
            return True
    return False
