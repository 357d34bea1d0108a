"""A set's run as its notes show it: which datasets are planned, ready to be published, ended or failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bqdump.core.documents.codec import decode
from bqdump.core.documents.project import DatasetFailure, Ended, Project, ProjectLayout, ProjectPlan, Ready
from bqdump.core.errors import NotFoundError
from bqdump.core.settings.settings import Settings
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import value_of


class Board(NamedTuple):
    """The datasets of a set's run, by their numbers. failures: of every execution, its own ones by name."""

    planned: Mapping[int, Ready]
    ready: Mapping[int, Ready]
    ended: Mapping[int, Ended]
    failures: Mapping[str, Mapping[int, DatasetFailure]]

    def failed(self, execution: str) -> dict[int, DatasetFailure]:
        """What has failed in this execution, and not ended meanwhile."""
        return {
            number: failure for number, failure in self.failures.get(execution, {}).items() if number not in self.ended
        }

    def settled(self, plan: ProjectPlan, execution: str) -> bool:
        """Whether every dataset has ended, or failed in this execution."""
        return len(self.ended) + len(self.failed(execution)) == len(plan.datasets)


async def read_board(store: ObjectStore, layout: ProjectLayout) -> Board:
    """The current notes of a set's run: one listing."""
    planned: dict[int, Ready] = {}
    ready: dict[int, Ready] = {}
    ended: dict[int, Ended] = {}
    failures: dict[str, dict[int, DatasetFailure]] = {}
    async for page in store.notes(layout.root):
        for note in page:
            kind = note.name.removeprefix(layout.root).partition("/")[0]
            if kind in ("planned", "ready"):
                waiting = decode(note.data, Ready, note.name)
                (planned if kind == "planned" else ready)[waiting.number] = waiting
            elif kind == "ended":
                end = decode(note.data, Ended, note.name)
                ended[end.number] = end
            elif kind == "failures":
                failure = decode(note.data, DatasetFailure, note.name)
                failures.setdefault(failure.owner.execution, {})[failure.number] = failure
    return Board(planned, ready, ended, failures)


async def read_project(store: ObjectStore, settings: Settings) -> Project | None:
    """The exports that belong together, None where no set was ever published here."""
    return await value_of(store, settings.layout.project)


async def newest_project_plan(store: ObjectStore, settings: Settings) -> ProjectPlan | None:
    """The plan of the set's run that was planned last, None if there is none."""
    newest = await value_of(store, settings.layout.newest)
    return await value_of(store, settings.layout.project_run(newest.run).plan) if newest else None


async def read_project_plan(store: ObjectStore, settings: Settings, run: str = "") -> ProjectPlan:
    """The plan of a set's run (default: the one that was planned last). Raises NotFoundError."""
    if not run:
        newest = await value_of(store, settings.layout.newest)
        if newest is None:
            cause = f"none has been planned in {settings.target}"
            raise NotFoundError("find", "a run", cause, "Start one: {call:run}")
        run = newest.run
    plan = await value_of(store, settings.layout.project_run(run).plan)
    if plan is None:
        cause = f"{store.url}/{settings.layout.project_run(run).root} has no plan"
        raise NotFoundError("find", f"run {run} of a set of datasets", cause)
    return plan
