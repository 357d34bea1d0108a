"""The law of sets, asserted at the instant of every write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import Document
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.sets import DatasetEntry, SetManifest, SetPlan
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from simulation.contents import in_order
from simulation.history import History
from simulation.law import Law
from simulation.laws import Broken
from simulation.view import View

Value = TypeVar("Value")


class SetLaws:
    """Judges every write. `broken`: the first finding; `stop` is called with it.

    failing: datasets of which a table cannot be exported. waiting: datasets that had to wait for an earlier run, which
    was replacing files that a later one carries over. published: which run of which dataset was ever published.
    """

    def __init__(
        self, store: MemoryStore, settings: Settings, histories: Mapping[str, History], stop: Callable[[], None]
    ) -> None:
        self.store, self.settings, self.histories, self.stop = store, settings, histories, stop
        self.views = {name: View(store, one_dataset(settings, name).layout) for name in histories}
        self.failing: set[str] = set()
        self.waiting: set[str] = set()
        self.published: set[tuple[str, str]] = set()
        self.broken: Broken | None = None
        self._named: SetManifest | None = None
        self._planned: set[str] = set()

    def hold(self, holds: bool, what: str) -> None:
        """Blame what does not hold."""
        if not holds:
            self.blame(what)

    def blame(self, what: str) -> None:
        """Keep the first finding, and end the schedule."""
        if self.broken is None:
            self.broken = Broken(Law.SETS, what)
            self.stop()

    def set_manifest(self) -> SetManifest | None:
        """What project.json names."""
        return self._read(self.settings.layout.set_manifest)

    def plan(self, run: str) -> SetPlan | None:
        """The plan of a set's run."""
        return self._read(self.settings.layout.set_run(run).plan)

    def heard(self, process: str, operation: str, arguments: tuple[Any, ...], _late: bool) -> None:
        """A request was carried out."""
        if operation not in ("write", "write_note"):
            return
        name, layout = str(arguments[0]), self.settings.layout
        if name == layout.set_manifest.name:
            self._was_named(process)
        elif name.startswith(layout.set_runs):
            self._was_noted(process, *name.removeprefix(layout.set_runs).split("/"))
        for dataset, view in self.views.items():
            if name == view.layout.latest.name:
                self._was_published(process, dataset, view)
            elif name.startswith(view.layout.runs) and name.endswith("/plan.json"):
                run = name.split("/")[-2]
                plan, of_set = view.plan(run), self.plan(run)
                same = plan is not None and of_set is not None and plan.snapshot == of_set.snapshot
                self.hold(same, f"{process} plans {dataset} of {run} for a time of its own")
            elif name.startswith(view.layout.runs) and name.endswith("/manifest.json"):
                self._is_true(dataset, view.manifest(name.split("/")[-2]))

    def _is_replaced(self, dataset: str, run: str) -> bool:
        """Whether an earlier run is replacing the files that this one may have to carry over."""
        view = self.views[dataset]
        plan, publishing, latest = view.plan(run), view.publishing(), view.latest()
        if plan is None or publishing is None or publishing.age >= plan.age:
            return False
        return latest is None or publishing.run != latest.run

    def _was_noted(self, process: str, run: str, *rest: str) -> None:
        if rest == ("plan.json",):
            self.hold(run not in self._planned, f"{process} writes the plan of {run} again")
            self._planned.add(run)
        elif rest[0] == "failures" and (plan := self.plan(run)):
            dataset = plan.datasets[int(rest[1])].dataset
            if self._is_replaced(dataset, run):
                self.waiting.add(dataset)
            fails = dataset in self.failing | self.waiting
            self.hold(fails, f"{process} lets {dataset} of {run} fail, which can be exported")

    def _was_published(self, process: str, dataset: str, view: View) -> None:
        latest = view.latest()
        assert latest is not None
        manifest, of_set = view.manifest(latest.run), self.plan(latest.run)
        if manifest is None or of_set is None:
            self.blame(f"{process} publishes {dataset} of {latest.run} without a manifest or a set")
            return
        self.published.add((dataset, latest.run))

    def _is_true(self, dataset: str, manifest: Manifest | None) -> None:
        """Every table is what it was at the snapshot time of the set."""
        of_set = self.plan(manifest.run) if manifest else None
        for entry in manifest.tables if manifest and of_set else ():
            found = [(self.store.peek(file.name), file.generation) for file in entry.files]
            # A later run may have replaced a file already.
            if of_set and all(one and one[1].generation == generation for one, generation in found):
                rows = in_order(b"".join(one[0] for one, _ in found if one))
                held = self.histories[dataset].content_at(entry.table, of_set.snapshot)
                self.hold(rows == held, f"{dataset}.{entry.table} is not what it was at the set's snapshot time")

    def _was_named(self, process: str) -> None:
        project, before = self.set_manifest(), self._named
        assert project is not None
        plan = self.plan(project.run)
        self.hold(before is None or before.age <= project.age, f"{process} lets project.json go back in time")
        planned = [one.dataset for one in plan.datasets] if plan else []
        self.hold([one.dataset for one in project.datasets] == planned, f"{process} names other datasets than planned")
        for entry in project.datasets:
            self._entry(process, project, entry)
        self._named = project

    def _entry(self, process: str, project: SetManifest, entry: DatasetEntry) -> None:
        subject = f"{entry.dataset} of {project.run}"
        if entry.state == "failed":
            self.hold(bool(entry.problem), f"{process} names {subject} as failed before it has ended")
        if entry.state != "published":
            return
        manifest = self._read(Document(entry.manifest, Manifest))
        self.hold((entry.dataset, project.run) in self.published, f"{process} names {subject}, which is not published")
        found = (manifest.run, manifest.snapshot) if manifest else None
        self.hold(found == (project.run, project.snapshot), f"{process} names {found} as {subject}")

    def _read(self, document: Document[Value]) -> Value | None:
        found = self.store.peek(document.name)
        return decode(found[0], document.type, document.name) if found else None
