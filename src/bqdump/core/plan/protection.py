"""What a table's definition says about columns that are protected and rows that are still streamed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec


class _Column(msgspec.Struct, rename="camel"):
    name: str
    fields: list[_Column] = []
    policy_tags: dict[str, Any] | None = None
    data_policies: list[Any] | None = None
    data_policy_list: dict[str, Any] | None = None

    def protected(self) -> bool:
        tags, policies = self.policy_tags or {}, self.data_policy_list or {}
        return bool(tags.get("names") or self.data_policies or policies.get("dataPolicies"))


class _Schema(msgspec.Struct):
    fields: list[_Column] = []


class _Buffer(msgspec.Struct, rename="camel"):
    estimated_rows: str | int = 0


class _Guarded(msgspec.Struct, rename="camel"):
    schema: _Schema = msgspec.field(default_factory=_Schema, name="schema")
    streaming_buffer: _Buffer | None = None


_GUARDED = msgspec.json.Decoder(_Guarded | None)


def protected_columns(definition: msgspec.Raw) -> tuple[str, ...]:
    """The columns with policy tags or data policies; a column inside a record by its path."""
    raw = bytes(definition)
    if b'"policyTags"' not in raw and b'"dataPolic' not in raw:
        return ()
    decoded = _GUARDED.decode(raw)
    return tuple(_protected(decoded.schema.fields, "")) if decoded else ()


def _protected(columns: Sequence[_Column], path: str) -> Iterator[str]:
    for column in columns:
        if column.protected():
            yield path + column.name
        yield from _protected(column.fields, f"{path}{column.name}.")


def buffered_rows(definition: msgspec.Raw) -> int | None:
    """About how many rows are in the streaming buffer (BigQuery's lower bound), None without a buffer."""
    raw = bytes(definition)
    decoded = _GUARDED.decode(raw) if b'"streamingBuffer"' in raw else None
    return int(decoded.streaming_buffer.estimated_rows) if decoded and decoded.streaming_buffer else None
