"""A run that has begun to replace the published files, and is not published: it is at work on that, or was stopped."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from bqdump.core.errors import DocumentError
from bqdump.core.settings.file import resume_call, settings_of_run
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import read_latest
from bqdump.repository.repository import value_of


class Replacing(NamedTuple):
    """Such a run, and the settings that it was planned with. published: the one whose files it replaces; "": none."""

    run: str
    published: str
    settings: Settings

    @property
    def call(self) -> str:
        """The placeholder of the complete command that finishes it."""
        return resume_call(self.run, self.settings)

    @property
    def sentence(self) -> str:
        """What that means for the published files, and what to do."""
        return begun(self.run, self.call)


def begun(run: str, finish: str) -> str:
    """Such a run in words. finish: the command that finishes it."""
    unless = "If it has stopped, finish it (the source is not needed)"
    return f"Run {run} has begun to replace the published files and is not published. {unless}: {finish}"


async def read_replacing(store: ObjectStore, settings: Settings) -> Replacing | None:
    """The run that has begun to replace the published files and is not published; None if there is none.

    Of documents that cannot be read nothing follows: whoever needs them reports that.
    """
    with suppress(DocumentError, ValueError):
        announced = await value_of(store, settings.layout.publishing)
        if announced is None:
            return None
        latest = await read_latest(store, settings)
        if latest and (latest.age >= announced.age or not latest.replaces):
            return None
        # Of an earlier run of this id, which was pruned, the document may still be there.
        plan = await value_of(store, settings.layout.run(announced.run).plan)
        if plan and plan.age == announced.age:
            published = latest.run if latest else ""
            return Replacing(announced.run, published, settings_of_run(plan.settings, settings.target))
    return None
