"""What a year of nightly backups costs: 1 TB in 1,000 tables of which 5 % change a day, by the retention of `init`.

Prices are Google's list prices for us-central1 (December 2026), in US dollars:
storage: https://cloud.google.com/storage/pricing, Standard storage; a write or a list is a class A operation.
tasks: https://cloud.google.com/run/pricing, jobs in a tier 1 region.
Extract jobs are free: https://cloud.google.com/bigquery/pricing#data_extraction_pricing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bqdump.core.retention.policy import Policy, Snapshot, apply
from bqdump.core.settings.file import backup
from bqdump.core.settings.settings import FULL_AFTER

GB_MONTH, OPERATION, CPU_SECOND, GIB_SECOND = 0.020, 0.005 / 1000, 0.000018, 0.000002
TABLES, GB, CHANGE, NIGHTS = 1_000, 1_000, 0.05, 365
# As docs/limits.md has them for a run of 1,000 tables: two tasks of two minutes with half a GiB; four writes a table.
TASK_SECONDS, TASK_GIB, WRITES = 240, 0.5, 4
FULL_DAYS = FULL_AFTER // 86_400
INIT = backup({})
KEEP = Policy(daily=INIT["keep_daily"], weekly=INIT["keep_weekly"], monthly=INIT["keep_monthly"])
START = datetime(2026, 1, 1, 3, tzinfo=UTC)


class Year(NamedTuple):
    """kept: runs at its end. stored: GB at its end. storage, work: dollars of the year."""

    kept: int
    stored: float
    storage: float
    work: float


def year(changed: Callable[[int], set[int]], *, incremental: bool = True, full_days: int = FULL_DAYS) -> Year:
    """Simulate the nights of a year.

    changed: the tables that change before a night.
    full_days: an unchanged table is exported again after so many days.
    """
    runs: dict[int, list[int]] = {}
    version = [-NIGHTS] * TABLES
    storage = work = stored = 0.0
    for night in range(NIGHTS):
        due = changed(night)
        exported = [
            table
            for table in range(TABLES)
            if not incremental or night < 2 or table in due or night - version[table] >= full_days
        ]
        for table in exported:
            version[table] = night
        runs[night] = list(version)
        snapshots = [Snapshot(str(one), ("p", "d"), taken(one)) for one in runs]
        kept = apply(KEEP, snapshots, taken(night))
        runs = {one: versions for one, versions in runs.items() if kept[str(one)]}
        files = {(table, made) for versions in runs.values() for table, made in enumerate(versions)}
        stored = len(files) * GB / TABLES
        storage += stored * GB_MONTH * 12 / NIGHTS
        work += TASK_SECONDS * (CPU_SECOND + TASK_GIB * GIB_SECOND) + WRITES * len(exported) * OPERATION
    return Year(len(runs), stored, storage, work)


def taken(night: int) -> int:
    """The snapshot time of a night."""
    return int((START + timedelta(days=night)).timestamp() * 1000)


def always_the_same(_night: int) -> set[int]:
    """The same tables change every day: those of today, while old ones rest."""
    return set(range(int(TABLES * CHANGE)))


def others_every_day(night: int) -> set[int]:
    """Other tables change every day, by chance."""
    return set(random.Random(night).sample(range(TABLES), int(TABLES * CHANGE)))


CASES: dict[str, Callable[[], Year]] = {
    "the same 5 % every day, `--full-every 0`": lambda: year(always_the_same, full_days=NIGHTS),
    "the same 5 % every day": lambda: year(always_the_same),
    "a different 5 % every day": lambda: year(others_every_day),
    "without `--incremental`": lambda: year(always_the_same, incremental=False),
}


def rows() -> list[str]:
    """The table of README: TB stored at the end of the year, and dollars."""
    found = [(name, case()) for name, case in CASES.items()]
    return [f"| {name} | {one.stored / 1000:.1f} TB | ${one.storage:,.0f} | ${one.work:,.0f} |" for name, one in found]


def main() -> None:
    """Print the table."""
    kept = year(always_the_same).kept
    print(f"{NIGHTS} nights of {GB:,} GB in {TABLES:,} tables; {kept} runs kept at the end")
    print("\n".join(rows()))


if __name__ == "__main__":
    main()
