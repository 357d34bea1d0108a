"""Names that a restore makes: its id, its jobs, its scratch tables, and the label of the tables that are in progress.

A repeated start makes the same names, so it finds what an earlier one has begun.
Sources: https://cloud.google.com/bigquery/docs/running-jobs#generate-jobid, https://cloud.google.com/bigquery/docs/tables,
https://cloud.google.com/bigquery/docs/labels-intro#requirements

Which datasets a restore moves, and where to: what names one of them can then name the restored one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.tables.catalog import Dataset

# The label of a table until it is finished. Its value is the mark of the restore.
LABEL = "bqdump_restore"
SCRATCH = "bqdump_scratch_"
_ID = re.compile(r"[0-9a-f]{12}-[0-9]{1,9}")


def digest(*what: object) -> str:
    """12 hex digits that stand for what is restored: the run, the generation of its manifest, the options."""
    return hashlib.sha256(msgspec.json.encode(what, order="deterministic")).hexdigest()[:12]


def restore_id(what: str, number: int) -> str:
    """The id of the n-th restore of what has this digest; also the value of a label."""
    made = f"{what}-{number}"
    if not _ID.fullmatch(made):
        raise ValueError(f"invalid restore id {made!r}")
    return made


def mark_of(restore: str, nonce: str) -> str:
    """What the jobs, the scratch tables and the labels of a restore carry.

    Ids count the restores whose documents are in one place, so another place has the same ones, and so has this one
    once its documents are deleted. nonce: "" for a restore of a release that gave none.
    """
    return f"{restore}-{nonce}" if nonce else restore


def id_of(mark: str) -> str:
    """The id of the restore with this mark."""
    return "-".join(mark.split("-")[:2])


def job_id(restore: str, table: int, step: str, part: int, attempt: int) -> str:
    """The id of a job. restore: its mark. table: its number in the plan. step: such as "load", and a part of it."""
    return f"bqdump-restore-{restore}-{table}-{step}-{part}-{attempt}"


def scratch_name(restore: str, table: int) -> str:
    """The name of the scratch table for a table of the plan."""
    return f"{SCRATCH}{restore.replace('-', '_')}_{table}"


def is_scratch(name: str) -> bool:
    """Whether a table is the scratch table of a restore."""
    return name.startswith(SCRATCH)


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
