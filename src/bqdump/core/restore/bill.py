"""What the queries of a restore bill, before any of them runs: numbers of bytes, from the plan and the manifest.

A query bills the columns that it reads, and 10 MiB at least: https://cloud.google.com/bigquery/pricing#on_demand_pricing
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import NamedTuple

from bqdump.core.formats.types import columns
from bqdump.core.restore.plan import RestorePlan, TableStep
from bqdump.core.sizes import size_text
from bqdump.core.sql.checksums import chunks, leaves
from bqdump.core.tables.columns import exported
from bqdump.core.tables.partitioning import partitioning_of

UNIT = 1 << 20
LEAST = 10 * UNIT
# Of a value of a column that a table is partitioned by.
VALUE_BYTES = 8


class Bill(NamedTuple):
    """By what the queries are for.

    casts: of types that load jobs cannot read.
    counts: of rows that would expire.
    comparisons: with the files and with the source.
    refused: only if BigQuery refuses to load files directly, see Load.like_null.
    """

    casts: int = 0
    counts: int = 0
    comparisons: int = 0
    refused: int = 0

    @property
    def certain(self) -> int:
        """What is billed if BigQuery refuses no file."""
        return self.casts + self.counts + self.comparisons

    @property
    def most(self) -> int:
        """What is billed at most."""
        return self.certain + self.refused

    @property
    def words(self) -> str:
        """What it consists of, such as "10.5 MB to cast or choose values and 21 MB to compare them"."""
        parts = (
            (self.casts, "to cast or choose values"),
            (self.counts, "to count rows that would expire"),
            (self.comparisons, "to compare values"),
            (self.refused, "to load files that BigQuery may refuse to load directly"),
        )
        return ", ".join(f"{size_text(bytes_)} {what}" for bytes_, what in parts if bytes_)


def together(bills: Iterable[Bill]) -> Bill:
    """The sum of several."""
    return Bill(*map(sum, zip(*([*bills] or [Bill()]), strict=True)))


def bill_of(plan: RestorePlan, *, comparisons: int = 0, done: Container[int] = ()) -> Bill:
    """The bill of a restore.

    comparisons: how often its values are compared.
    done: the numbers of restored tables.

    What replaces a table is compared once more, before it does.
    """
    before = bool(comparisons)

    def of_step(number: int, step: TableStep) -> Bill:
        times = comparisons + (before and step.action == "replace" and number not in done)
        return step_bill(step, loaded=number in done)._replace(comparisons=times * _comparison(step))

    return together(of_step(number, step) for number, step in enumerate(plan.tables))


def step_bill(step: TableStep, *, loaded: bool = False) -> Bill:
    """The bill of a table without comparisons. loaded: it has its rows."""
    counts = billed(step.entry.planned_rows * VALUE_BYTES) if step.expired_rows else 0
    if loaded or not step.load.groups:
        return Bill(counts=counts)
    if step.load.casts:
        return Bill(casts=billed(_size(step)), counts=counts)
    if not step.load.like_null:
        return Bill(counts=counts)
    # A partitioned table is filled range by range, which one more query finds.
    ranges = billed(step.entry.planned_rows * VALUE_BYTES) if partitioning_of(step.create) else 0
    return Bill(counts=counts, refused=billed(_size(step)) + ranges)


def billed(read: int) -> int:
    """The bytes that a query bills which reads so many."""
    return max(LEAST, -(-read // UNIT) * UNIT) if read else 0


def _size(step: TableStep) -> int:
    """The logical bytes of a table's rows. Of a view they are not known: at least those of its files."""
    return max(step.entry.planned_bytes, sum(file.size for group in step.load.groups for file in group))


def _comparison(step: TableStep) -> int:
    """One comparison of a table: a query for each hundred columns."""
    queries = [some for some in chunks(leaves(exported(columns(step.entry.definition), step.entry.shape))) if some]
    if not queries or not step.load.groups:
        return 0
    return len(queries) * billed(-(-_size(step) // len(queries)))
