"""Preconditions on generations and metagenerations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bqdump_local.storage.errors import condition_not_met, not_modified
from bqdump_local.storage.wire import integer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bqdump_local.storage.store.records import ObjectRecord


@dataclass(frozen=True, slots=True)
class Conditions:
    """The preconditions on an object, which must hold when the request takes effect."""

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str], *, source: bool = False) -> Conditions:
        """The preconditions on a request's target, or on the source of a copy."""
        prefix = "ifSource" if source else "if"
        values = [
            integer(query, prefix + name)
            for name in ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
        ]
        return NONE if values == [None, None, None, None] else cls(*values)

    def check(self, record: ObjectRecord | None) -> None:
        """Raise 412 or 304 if they do not hold. record: the live object; None if there is none."""
        if self is NONE:
            return
        generation = record.generation if record else 0
        if self.generation is not None and self.generation != generation:
            raise condition_not_met()
        if self.metageneration is not None and (record is None or self.metageneration != record.metageneration):
            raise condition_not_met()
        if self.not_generation is not None and (record is None or self.not_generation == generation):
            raise not_modified()
        if self.not_metageneration is not None and (record is None or self.not_metageneration == record.metageneration):
            raise not_modified()

    def check_bucket(self, metageneration: int) -> None:
        """The same for a bucket, which has only a metageneration."""
        if self.metageneration is not None and self.metageneration != metageneration:
            raise condition_not_met()
        if self.not_metageneration is not None and self.not_metageneration == metageneration:
            raise not_modified()


def check_etag(headers: Mapping[str, str], etag: str, *, changing: bool = False) -> None:
    """Raise 412 or 304 for If-Match and If-None-Match, which name etags or `*`. changing: not a request that reads."""
    if (required := headers.get("if-match")) is not None and not _names(required, etag):
        raise condition_not_met()
    if (excluded := headers.get("if-none-match")) is not None and _names(excluded, etag):
        raise condition_not_met() if changing else not_modified()


def _names(header: str, etag: str) -> bool:
    return header.strip() == "*" or etag in [item.strip().strip('"') for item in header.split(",")]


NONE = Conditions()
