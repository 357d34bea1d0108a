"""The context of every step of a task that exports a set of datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from bqdump.core.documents.project import Listings, ProjectLayout, ProjectPlan
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import SET
from bqdump.core.progress.events import Listener, ignore
from bqdump.core.sets.member import at_once, order_of
from bqdump.core.settings.settings import Settings
from bqdump.export.task import ReadRoute
from bqdump.ports.signer import Signer
from bqdump.ports.store import ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.turns import Turn


class SetTask(NamedTuple):
    """One task of a run that exports the datasets of a set which go to one target: `owner.task` of `tasks`.

    hear: the listener of a dataset's export. The other fields are those of an export's Task.
    """

    store: ObjectStore
    warehouse: Warehouse
    settings: Settings
    run: str
    owner: Owner
    tasks: int
    open_read_route: Callable[[], ReadRoute]
    hear: Callable[[str], Listener] = lambda _: ignore
    signer: Signer | None = None

    @property
    def layout(self) -> ProjectLayout:
        """The object names of this run of the set."""
        return self.settings.layout.project_run(self.run)

    @property
    def planning(self) -> Turn:
        """Planning the set: first its datasets and their snapshot time, then each dataset."""
        return Turn(self.store, self.layout.planner, self.owner)

    @property
    def of_prefix(self) -> Settings:
        """The settings with which the prefix is claimed: it belongs to any set of the project's datasets."""
        return msgspec.structs.replace(self.settings, dataset=SET)


class RunningSet(NamedTuple):
    """A task with the plan of its set, and the tables of each dataset."""

    task: SetTask
    plan: ProjectPlan
    listings: Listings

    @property
    def order(self) -> list[int]:
        """The numbers of the datasets in the order in which this task works on them."""
        return order_of(self._sizes, self.task.owner.task, self.task.tasks)

    @property
    def at_once(self) -> int:
        """How many datasets this task works on at once."""
        return at_once(self._sizes, self.task.owner.task, self.task.tasks)

    @property
    def _sizes(self) -> list[int]:
        return [member.tables for member in self.plan.datasets]
