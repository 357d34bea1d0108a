"""What every step of a task knows: the two ports, the settings, and who it is."""

from __future__ import annotations

from typing import NamedTuple

from bqdump.core.documents import Owner
from bqdump.core.layout import RunLayout
from bqdump.core.progress import Listener, nobody
from bqdump.core.settings import Settings
from bqdump.ports import ObjectStore, Warehouse

# BigQuery queues at most 50,000 jobs per project and region; all tasks of a run share them.
# https://cloud.google.com/bigquery/quotas
JOBS_IN_FLIGHT = 40_000


class Task(NamedTuple):
    """One task of a run: `owner.task` of `tasks`. `tell` hears what happens, as it happens."""

    store: ObjectStore
    warehouse: Warehouse
    settings: Settings
    run: str
    owner: Owner
    tasks: int
    tell: Listener = nobody

    @property
    def layout(self) -> RunLayout:
        """The object names of this run."""
        return self.settings.layout.run(self.run)

    @property
    def concurrency(self) -> int:
        """How many jobs this task may have in flight."""
        return max(1, min(self.settings.concurrency, JOBS_IN_FLIGHT // self.tasks))
