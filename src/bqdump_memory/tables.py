"""The tables of a MemoryWarehouse: rows that are lines of text, with their history, in one or several partitions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

LINES = msgspec.Raw(b'[{"name":"line","type":"STRING"}]')
# A partitioned table has the column of its partitions in its definition; files do not have it.
DAYS = [{"name": "line", "type": "STRING"}, {"name": "day", "type": "DATE"}]
BY_DAY = {"type": "DAY", "field": "day"}
ONE_DAY = re.compile(r"`day` (?:>= DATE '([0-9]{4})-([0-9]{2})-([0-9]{2})'|(IS NULL))")


class Version(NamedTuple):
    """A table's rows from `since` (ms) on; None if it was dropped then.

    modified: the lastModifiedTime that BigQuery reports for them, 0 for `since`.
    """

    since: int
    rows: tuple[str, ...] | None
    modified: int = 0


class MemoryTable(NamedTuple):
    """A table with its history."""

    kind: str
    created: int
    versions: list[Version]
    definition: msgspec.Raw

    @property
    def partitioned(self) -> bool:
        """Whether it is partitioned by day."""
        return b'"timePartitioning"' in bytes(self.definition)

    def modified_at(self, partition: str) -> int:
        """When rows of a partition were last added or changed: a deletion alone does not count."""
        for newer, older in zip(reversed(self.versions), reversed(self.versions[:-1]), strict=False):
            now, then = of_partition(newer.rows or (), partition), of_partition(older.rows or (), partition)
            if not set(now) <= set(then) or len(now) > len(then):
                return newer.since
        return self.versions[0].since


class IgnoringCase(dict[str, MemoryTable]):
    """The tables of a dataset that ignores case: each keeps its name, and is found by any spelling of it."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(self._known(str(name)))

    def __getitem__(self, name: str) -> MemoryTable:
        return super().__getitem__(self._known(name))

    def __setitem__(self, name: str, table: MemoryTable) -> None:
        super().__setitem__(self._known(name), table)

    def get(self, name: str, default: Any = None) -> Any:
        """The table of this name, or the default."""
        return super().get(self._known(name), default)

    def _known(self, name: str) -> str:
        return next((known for known in self if known.lower() == name.lower()), name)


def day_of(condition: str) -> str:
    """The partition whose rows meet a condition in GoogleSQL; "" if it is not about one partition."""
    match = ONE_DAY.search(condition)
    return ("__NULL__" if match[4] else "".join(match.groups()[:3])) if match else ""


def of_partition(rows: Sequence[str], partition: str) -> tuple[str, ...]:
    """The rows of one partition."""
    return tuple(row for row in rows if day_in(row) == partition)


def day_in(row: str) -> str:
    """The id of a row's partition."""
    return row.partition(":")[0]
