"""The context of every step of a task: the ports, the settings, and its identity."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from bqdump.core.documents.manifest import Manifest, ManifestFiles
from bqdump.core.documents.run import Owner, Plan, Receipt, TablePlan
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.target import Latest, Publishing
from bqdump.core.documents.unchanged import Reading
from bqdump.core.progress.events import Event, Listener, ignore
from bqdump.core.settings.settings import Settings
from bqdump.core.tables.catalog import Dataset, Listed
from bqdump.ports.store import ObjectInfo, ObjectStore
from bqdump.repository.repository import Known, Loaded

if TYPE_CHECKING:
    from bqdump.core.documents.definitions import Definitions
    from bqdump.core.plan.record import Placed
    from bqdump.export.collected import Collected, Exported
    from bqdump.export.watch import InFlight
    from bqdump.ports.reader import Encoder, Reader
    from bqdump.ports.signer import Signer
    from bqdump.ports.warehouse import Warehouse


class ReadRoute:
    """What the read route works with, in one process.

    streams: how many are read at once. room: for the units that are read at once.
    in_thread: runs blocking calls.
    """

    def __init__(
        self,
        reader: Reader,
        encoder: Encoder,
        streams: int,
        in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        self.reader, self.encoder, self.streams, self.in_thread = reader, encoder, streams, in_thread
        self.room = asyncio.Semaphore(streams)


def _no_read_route() -> ReadRoute:
    raise RuntimeError("this task was not given what the read route works with")


class SetContext(Struct, frozen=True):
    """What the export of one dataset of a set has from the set.

    number: the dataset's number, so that no two datasets give their jobs the same ids.
    listing: its tables at the snapshot time.
    early: readings of tables from before the snapshot time, by name.
    planned: when the set was planned, by BigQuery's clock.
    in_flight: what is in flight in a location, for all datasets; called with this one's number and its units.
    """

    number: int
    listing: Sequence[Listed]
    early: Mapping[str, Reading]
    planned: int
    in_flight: Callable[[str, int, int], InFlight]


class Task(Struct, frozen=True):
    """One task of a run: `owner.task` of `tasks`. `tell` is called with each event.

    open_read_route: returns what the read route works with, always the same object; opened when it is first needed.
    of_set: for the export of one dataset of a set.
    signer: signs the manifest.
    """

    store: ObjectStore
    warehouse: Warehouse
    settings: Settings
    run: str
    owner: Owner
    tasks: int
    tell: Listener = ignore
    open_read_route: Callable[[], ReadRoute] = _no_read_route
    of_set: SetContext | None = None
    signer: Signer | None = None

    @property
    def layout(self) -> RunLayout:
        """The object names of this run."""
        return self.settings.layout.run(self.run)

    @property
    def read_route(self) -> ReadRoute:
        """What the read route works with."""
        return self.open_read_route()


class StoredManifest(Struct, frozen=True):
    """A published manifest as it was read: the name and the generation of the object, and its bytes."""

    name: str
    generation: int
    data: bytes

    def is_of(self, latest: Latest) -> bool:
        """Whether latest.json names this very object."""
        return (self.name, self.generation) == (latest.manifest, latest.manifest_generation)


class Made(Struct, frozen=True):
    """What the process that has made a plan need not read: its tables as they are stored, and its definitions.

    over: the manifest that it was compared with; None without one, and where it is too large to keep.
    """

    lines: bytes
    definitions: Definitions
    over: StoredManifest | None = None


class Obtained(Struct, frozen=True):
    """The plan of a run. made: what this process has stored with it; None where another has, or it is too large."""

    plan: Plan
    made: Made | None = None


class RunningExport(Struct, frozen=True):
    """A task with its plan, and what follows from both.

    placement: how its files get their final names.
    extra: what is published along with them.
    made: where this process has stored the plan: then it is not asked whether the run has ended, and its first writes
        create documents.
    """

    task: Task
    plan: Plan
    placement: Placement
    extra: Extra
    made: Made | None = None

    @property
    def store(self) -> ObjectStore:
        """Where the export goes."""
        return self.task.store

    @property
    def warehouse(self) -> Warehouse:
        """Where the tables are."""
        return self.task.warehouse

    @property
    def settings(self) -> Settings:
        """The settings of this start of the run."""
        return self.task.settings

    @property
    def layout(self) -> RunLayout:
        """The object names of the run."""
        return self.task.layout

    @property
    def owner(self) -> Owner:
        """Which task of which execution this is."""
        return self.task.owner

    @property
    def read_route(self) -> ReadRoute:
        """What the read route works with."""
        return self.task.read_route

    @property
    def source(self) -> Dataset:
        """The dataset that is exported."""
        return Dataset(self.plan.project, self.plan.dataset, self.plan.location)

    def same_dataset(self, other: Latest) -> bool:
        """Whether this published run exported the same dataset."""
        return (other.project, other.dataset) == (self.plan.project, self.plan.dataset)

    def format_of(self, table: TablePlan) -> str:
        """The file format of a table."""
        return table.format or self.settings.format

    def compression_of(self, table: TablePlan) -> str:
        """The compression of a table's files."""
        return table.compression or self.settings.compression

    def job_id(self, table: TablePlan, attempt: int) -> str:
        """The id of an attempt's job. Every task computes the same one, so no table is extracted twice."""
        return f"{self.plan.job_prefix}{table.id}_{attempt}"

    def written(self, table: TablePlan, attempt: int = 0) -> str:
        """The pattern of the names that an attempt at a table, or a part of it, writes."""
        return self.placement.written(self.layout, table.pattern, table.id, attempt)

    def written_by(self, attempt: Receipt, table: TablePlan) -> str:
        """The pattern of the names that this attempt, at a table without partitions of its own or at one, wrote."""
        return self.placement.written(self.layout, table.pattern, attempt.unit, attempt.attempt)

    def tell(self, event: Event) -> None:
        """Report an event to the listener."""
        self.task.tell(event)


class InPlace(Struct, frozen=True):
    """A run whose files have their final names.

    announced: publishing.json that names this run, as it was stored or found.
    staged: everything that the run has staged, None where that is not known.
    """

    placed: Placed
    announced: Known[Publishing] = "unread"
    staged: Sequence[ObjectInfo] | None = None


class Placement(Protocol):
    """Where the files of a run are written, and how they become the published ones.

    Replace: files are staged, and copied over those of the export before. Keep: files are written to their final names,
    which contain the run id, and no export changes another.
    """

    def written(self, layout: RunLayout, pattern: str, work: str, attempt: int) -> str:
        """The pattern of the names that an attempt at this work writes; `pattern` is that of the final names."""

    def first_file(self, numbers: range) -> int:
        """The number of the first file of an attempt with the read route. numbers: those that no other attempt has."""

    async def prepare(self, task: Task) -> None:
        """Note, before the plan is stored, that the run may leave files behind."""

    async def place(self, export: RunningExport, exported: Exported) -> InPlace | None:
        """Bring all files to their final names; None if the run has ended meanwhile.

        Raises VerificationError when files are missing.
        """

    async def make_ready(self, export: RunningExport, ready: Latest, announced: Known[Publishing]) -> Latest | None:
        """Announce that the files are in place and the manifest exists; None when a later run has taken over.

        announced: see InPlace. Returns what latest.json becomes.
        """

    async def step_aside(self, export: RunningExport) -> None:
        """Leave the final names to a later run."""

    async def clear(
        self,
        export: RunningExport,
        manifest: ManifestFiles,
        latest: Loaded[Latest] | None,
        staged: Sequence[ObjectInfo] | None,
    ) -> None:
        """Delete what the published manifest has made stale. `latest` is the pointer to it. staged: see InPlace."""

    async def clear_late(self, export: RunningExport) -> None:
        """Delete the files of attempts that ended after their run: no manifest will ever list them."""


class Extra(Protocol):
    """What is published along with the files of a run, such as Iceberg metadata. Its steps, as publishing takes them.

    Any task may repeat any of them. Only `describe` and `prepare` can keep a run from being published.
    """

    async def prepare(self, export: RunningExport, tables: Sequence[TablePlan], collected: Collected) -> None:
        """Change files where they were written, before they are proved; `collected` has them as they are then."""

    async def describe(self, export: RunningExport, manifest: Manifest, latest: Latest | None) -> Manifest:
        """The manifest with the objects that are stored for it. latest: the published run.

        Raises VerificationError when files are missing.
        """

    async def drop(self, export: RunningExport, manifest: Manifest, stored: ManifestFiles | None) -> None:
        """Delete what was stored for a manifest that is not kept. stored: the one that is, None for none."""

    async def name(self, export: RunningExport, manifest: ManifestFiles) -> str:
        """Name the objects for latest.json; the name of the document that does, "" for none."""

    async def show(self, export: RunningExport, manifest: ManifestFiles) -> None:
        """Lead readers to the objects, now that the run is published. An error is only logged."""

    async def withdraw(self, export: RunningExport) -> None:
        """Leave final names to a later run, which is published instead."""
