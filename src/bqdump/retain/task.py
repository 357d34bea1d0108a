"""What prune works with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bqdump.core.documents.layout import Layout
from bqdump.core.retention.policy import Policy
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore

# The ids of the export's jobs that are at work, of those created since a time (ms).
AtWork = Callable[[int], Awaitable[set[str]]]


class Task(NamedTuple):
    """One call of prune. now: this machine's time, in milliseconds since 1970 UTC. delete: False only shows.

    at_work: lists BigQuery's jobs; None where it cannot be asked, which keeps all unfinished runs.
    """

    store: ObjectStore
    settings: Settings
    policy: Policy
    now: int
    delete: bool = False
    at_work: AtWork | None = None

    @property
    def layout(self) -> Layout:
        """The object names of the target."""
        return self.settings.layout
