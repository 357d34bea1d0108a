"""The dataset over time, and what it held at any moment: the truth that exports are held against."""

from __future__ import annotations

import math
from collections.abc import Callable

from bqdump_memory import MemoryWarehouse
from simulation.contents import in_order

PROJECT, DATASET = "p", "d"
# Another dataset that is exported to the same prefix.
RIVAL = "rival"
EPOCH = 1_790_000_000_000


class History:
    """The one that changes tables. A change takes effect at the next full millisecond: a moment that BigQuery's
    clock has shown lies before every change that follows it, as its clock is rounded down."""

    def __init__(self, time: Callable[[], float], dataset: str = DATASET) -> None:
        self._time, self._dataset = time, dataset
        self._versions: dict[str, list[tuple[int, tuple[str, ...] | None]]] = {}
        self._serial = 0
        # When each row was inserted or updated, by table.
        self._written: dict[str, dict[str, int]] = {}

    def clock(self) -> int:
        """The warehouse's clock."""
        return EPOCH + int(self._time() * 1000)

    def put(self, warehouse: MemoryWarehouse, table: str, rows: tuple[str, ...]) -> None:
        """Give a table these rows."""
        with _RoundedUp(warehouse, self._now()):
            warehouse.put(PROJECT, self._dataset, table, rows)
        written = self._written.setdefault(table, {})
        written |= {row: self._now() for row in rows if row not in written}
        self._versions.setdefault(table, []).append((self._now(), rows))

    def delete(self, warehouse: MemoryWarehouse, table: str, left: tuple[str, ...]) -> None:
        """Delete rows: the table's time goes back to that of the newest row that is left."""
        times = [self._written[table][row] for row in left]
        self._put(warehouse, table, left, max(times, default=self._first(table)))

    def silently(self, warehouse: MemoryWarehouse, table: str, rows: tuple[str, ...]) -> None:
        """Give a table other rows, with nothing in its metadata that shows it."""
        self._put(warehouse, table, rows, self._modified(warehouse, table))

    def recreate(self, warehouse: MemoryWarehouse, table: str, rows: tuple[str, ...]) -> None:
        """Drop a table and create it with other rows, and the time of the old ones."""
        modified = self._modified(warehouse, table)
        self.drop(warehouse, table)
        self._put(warehouse, table, rows, modified)

    def alike(self, rows: tuple[str, ...]) -> tuple[str, ...]:
        """As many other rows of the same size."""
        self._serial += len(rows)
        fresh = self._serial - len(rows)
        return tuple(f"{fresh + at:0{len(row)}d}"[-len(row) :] for at, row in enumerate(rows))

    def _put(self, warehouse: MemoryWarehouse, table: str, rows: tuple[str, ...], modified: int) -> None:
        with _RoundedUp(warehouse, self._now()):
            warehouse.put(PROJECT, self._dataset, table, rows, modified=modified)
        written = self._written.setdefault(table, {})
        written |= {row: modified for row in rows if row not in written}
        self._versions.setdefault(table, []).append((self._now(), rows))

    def _modified(self, warehouse: MemoryWarehouse, table: str) -> int:
        version = warehouse.datasets[PROJECT, self._dataset][table].versions[-1]
        return version.modified or version.since

    def _first(self, table: str) -> int:
        return self._versions[table][0][0]

    def drop(self, warehouse: MemoryWarehouse, table: str) -> None:
        """Drop a table."""
        with _RoundedUp(warehouse, self._now()):
            warehouse.drop(PROJECT, self._dataset, table)
        self._versions.setdefault(table, []).append((self._now(), None))

    def new_rows(self, table: str, count: int) -> tuple[str, ...]:
        """Rows that no table has ever held."""
        self._serial += count
        mark = "" if self._dataset == DATASET else self._dataset
        return tuple(f"{table},{mark}{self._serial - number}" for number in range(count))

    def rows_at(self, table: str, moment: int) -> tuple[str, ...] | None:
        """What the table held at a moment; None when there was none."""
        versions = self._versions.get(table, [])
        return next((rows for since, rows in reversed(versions) if since <= moment), None)

    def content_at(self, table: str, moment: int) -> bytes | None:
        """The same as the lines of a file, in order."""
        rows = self.rows_at(table, moment)
        return None if rows is None else in_order("".join(f"{row}\n" for row in rows).encode())

    def steady(self, since: int) -> set[str]:
        """The tables that were there at a moment and have not been dropped since."""
        return {
            table
            for table, versions in self._versions.items()
            if self.rows_at(table, since) is not None
            and all(rows is not None for moment, rows in versions if moment > since)
        }

    def tables(self) -> dict[str, tuple[str, ...]]:
        """The tables that are there now, with their rows."""
        return {table: rows[-1][1] or () for table, rows in self._versions.items() if rows[-1][1] is not None}

    def _now(self) -> int:
        return EPOCH + math.floor(self._time() * 1000) + 1


class _RoundedUp:
    """Let a warehouse date its changes at this moment."""

    def __init__(self, warehouse: MemoryWarehouse, moment: int) -> None:
        self._warehouse, self._moment = warehouse, moment

    def __enter__(self) -> None:
        self._clock = self._warehouse.clock
        self._warehouse.clock = lambda: self._moment

    def __exit__(self, *_: object) -> None:
        self._warehouse.clock = self._clock
