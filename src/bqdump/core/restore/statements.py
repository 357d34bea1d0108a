"""The statement that fills a table from a scratch table."""

from __future__ import annotations

from bqdump.core.restore.plan import Load
from bqdump.core.sql.statements import identifier
from bqdump.core.tables.catalog import Dataset


def fill(dataset: Dataset, table: str, scratch: str, load: Load, where: str = "") -> str:
    """INSERT the rows of a scratch table that meet a condition ("": all of them), with their casts.

    Both tables are in the dataset.
    """
    into = ".".join(map(identifier, (dataset.project, dataset.name, table)))
    names = ", ".join(map(identifier, load.columns))
    rows = f"\nWHERE {where}" if where else ""
    return f"INSERT INTO {into} ({names})\nSELECT {', '.join(load.values)}\n{reading(dataset, scratch, load)}{rows}"


def reading(dataset: Dataset, scratch: str, load: Load) -> str:
    """The FROM clause for a scratch table, under a name that is none of its columns."""
    alias, taken = "source", {name.casefold() for name in load.columns}
    while alias in taken:
        alias += "_"
    source = ".".join(map(identifier, (dataset.project, dataset.name, scratch)))
    return f"FROM {source} AS {alias}"
