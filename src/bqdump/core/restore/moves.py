"""Which datasets a restore moves, and where to: what names one of them can then name the restored one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bqdump.core.tables.catalog import Dataset


class Move(NamedTuple):
    """An exported dataset, and the one that it is restored into."""

    source: Dataset
    target: Dataset


class Moves:
    """The exported dataset, and others of its project that the same command restores.

    others: name in the export, and name in the project of the target. tables: the names in the target of tables of the
    exported dataset, where these are others.
    """

    def __init__(
        self,
        source: Dataset,
        target: Dataset,
        others: Sequence[tuple[str, str]] = (),
        tables: Mapping[str, str] | None = None,
    ) -> None:
        self.tables = {name: into for name, into in (tables or {}).items() if name != into}
        self._by_name = {
            name: Move(Dataset(source.project, name, source.location), Dataset(target.project, into, target.location))
            for name, into in others
        }
        self.own = self._by_name[source.name] = Move(source, target)

    def named(self, dataset: str) -> Move | None:
        """The move of the dataset of this name in the source project."""
        return self._by_name.get(dataset)

    def of(self, project: str, dataset: str) -> Move | None:
        """The move of this dataset."""
        move = self._by_name.get(dataset)
        return move if move and move.source.project == project else None
