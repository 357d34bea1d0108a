"""What the two placements have in common: the steps at which replacing files and keeping a folder for each run differ.

Replace: files are staged, and copied over those of the export before. Keep: files are written to their final names,
which contain the run id, and no export changes another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from bqdump.core.documents.manifest import File, ManifestFiles, TableFiles
from bqdump.core.documents.publication import Latest
from bqdump.core.documents.run import TablePlan
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.plan.removal import Carry

if TYPE_CHECKING:
    from bqdump.export.publish.collect import Collected
    from bqdump.export.task import RunningExport, Task


class Exported(NamedTuple):
    """A run whose files are written, and not yet published.

    plans: of all tables. failed: the tables that it goes without. latest: the published run, None for none.
    dropped: further tables that it goes without, because they were dropped while it was at work.
    """

    plans: Sequence[TablePlan]
    collected: Collected
    failed: frozenset[str]
    latest: Latest | None
    dropped: frozenset[str] = frozenset()

    @property
    def tables(self) -> list[str]:
        """The tables of the plan, except those that were dropped."""
        return [plan.table for plan in self.plans if plan.table not in self.dropped]


class Placed(NamedTuple):
    """Files at their final names.

    files: by the table's id in the plan. carry: what stays of the published export. left, found: see Manifest.
    """

    files: Mapping[str, list[File]]
    carry: Carry
    left: tuple[TableFiles, ...] = ()
    found: tuple[File, ...] = ()


class Placement(Protocol):
    """Where the files of a run are written, and how they become the published ones."""

    def written(self, layout: RunLayout, pattern: str, work: str, attempt: int) -> str:
        """The pattern of the names that an attempt at this work writes; `pattern` is that of the final names."""

    def first_file(self, numbers: range) -> int:
        """The number of the first file of an attempt with the read route. numbers: those that no other attempt has."""

    async def prepare(self, task: Task) -> None:
        """Note, before the plan is stored, that the run may leave files behind."""

    async def place(self, export: RunningExport, exported: Exported) -> Placed | None:
        """Bring all files to their final names; None if the run has ended meanwhile.

        Raises VerificationError when files are missing.
        """

    async def make_ready(self, export: RunningExport, ready: Latest) -> bool:
        """Announce that the files are in place and the manifest exists; False when a later run has taken over."""

    async def step_aside(self, export: RunningExport) -> None:
        """Leave the final names to a later run."""

    async def clear(self, export: RunningExport, manifest: ManifestFiles) -> None:
        """Delete what the published manifest has made stale."""

    async def clear_late(self, export: RunningExport) -> None:
        """Delete the files of attempts that ended after their run: no manifest will ever list them."""
