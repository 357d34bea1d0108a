"""Places in memory that go back to what they held, and every verb on them: of one export, of a set, of copies."""

from __future__ import annotations

import asyncio
import html
import io
import itertools
import logging
import os
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec
from starlette.types import Message

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.cli.main import start
from bqdump.copying.sets import copy_exports
from bqdump.copying.survey import Place
from bqdump.copying.survey import Task as CopyTask
from bqdump.core.documents.run import Owner
from bqdump.core.documents.target import Erasing
from bqdump.core.errors import BqdumpError, first_of
from bqdump.core.exit_codes import DRILLED, TABLES_FAILED, exit_code
from bqdump.core.restore.drill import Sample
from bqdump.core.restore.plan import Options
from bqdump.core.retention.policy import Policy
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.wording import COMMANDS
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.restoration.drill import drill
from bqdump.restoration.restore import restore
from bqdump.restoration.task import Request
from bqdump.restoration.task import Task as RestoreTask
from bqdump.sets.run import run_set
from bqdump.sets.task import SetTask
from bqdump.ui.app import make_app
from bqdump_memory import MemoryDestination
from opened import everywhere
from proofs import drilled
from sets.world import no_reading

DAY = 86_400_000
SETTINGS = Settings(
    project="project",
    dataset="data",
    target=Target("gs", "memory", "x/"),
    path="{run}/{table}_*.{ext}",
    format="parquet",
    iceberg=True,
    header=False,
    keep_last=1,
)
# What is damaged, and what is put there: None deletes it.
Damages = dict[str, tuple[str, bytes | None]]
# No two cells use the same run id or dataset: jobs that have ended are found by their names.
_numbers = itertools.count(1)


class Rewound(MemoryStore):
    """A store that goes back to what it held."""

    _kept: tuple[dict[str, object], int]

    def keep(self) -> None:
        """Hold on to everything as it is now."""
        self._kept = {**self._objects}, self._generation

    def rewind(self) -> None:
        """Go back to that."""
        objects, self._generation = self._kept
        self._objects.clear()
        self._objects.update(objects)  # type: ignore[arg-type]


class Said(NamedTuple):
    """How a verb ended: its exit code, and all that it said."""

    code: int
    text: str


class Export:
    """Runs z (pruned), a and b (published) of a dataset, tags, a drill and a restore of b, and copies of a and b."""

    settings = SETTINGS
    into = "copy"
    datasets: tuple[str, ...] = ("data",)
    # The folder of a dataset, for what takes one.
    one = ""

    def __init__(self) -> None:
        self.now = 1_790_000_000_000
        self.store, self.second = Rewound(), Rewound("second")
        self.store.clock = self.second.clock = lambda: self.now
        self.big = MemoryDestination(self.store, self._tick)
        self.big.stores["second"] = self.second
        self.copies = self.store
        self.older: dict[str, bytes] = {}

    def make(self) -> None:
        """Do all that leaves documents."""
        for name in "zab":
            for dataset in self.datasets:
                for table in ("items", "sales"):
                    self.big.put("project", dataset, table, [f"{table} of {name} {number}" for number in range(3)])
            self.export(name)
            self._remember()
        self.command("prune --keep-last 2 --yes")
        self.command("runs --tag gold b")
        self._remember()
        self.command("runs --tag silver b")
        for dataset in self.datasets:
            own = one_dataset(self.settings, dataset) if len(self.datasets) > 1 else self.settings
            drilled(self.store, own.layout, "b", self.now)
        self.restore(self.into)
        self.copy()
        self.store.keep()
        self.second.keep()
        self._kept = self.now

    def _tick(self) -> int:
        self.now += 1
        return self.now

    def _remember(self) -> None:
        for name in self.store.names_now():
            if found := self.store.peek(name):
                self.older.setdefault(name, found[0])

    def rewind(self) -> None:
        """Go back to the place as it was made."""
        self.store.rewind()
        self.second.rewind()
        self.now = self._kept

    def damages(self, pattern: str) -> Damages:
        """What can be wrong with the first object of this name below the prefix."""
        name = self._first(pattern)
        put: Damages = {}
        if found := self.copies.peek(name) if name else None:
            put = {"missing": (name, None), "truncated": (name, found[0][: len(found[0]) // 2])}
            other = self._first(pattern.replace("/b/", "/a/").replace("-b.json", "-a.json"))
            if other != name and (of_other := self.copies.peek(other)):
                put["another"] = (name, of_other[0])
            if self.older.get(name, found[0]) != found[0] and self.copies is self.store:
                put["older"] = (name, self.older[name])
        name = name or f"x/{pattern.replace('*', '0')}"
        return put | {"empty": (name, b""), "garbage": (name, b"\x00garbage\xff"), "{}": (name, b"{}")}

    def _first(self, pattern: str) -> str:
        return next((name for name in self.copies.names_now() if fnmatchcase(name, f"x/{pattern}")), "")

    def put(self, name: str, data: bytes | None) -> None:
        """Damage an object of the place."""
        if data is not None:
            self.copies.put_now(name, data)
        elif found := self.copies.peek(name):
            asyncio.run(self.copies.delete([(name, found[1].generation)]))

    def command(self, command: str, folder: str = "") -> Said:
        """A command on the place, or on a folder of it."""
        out = io.StringIO()
        bucket = self.copies.url.removeprefix("gs://")
        with redirect_stdout(out), redirect_stderr(out):
            code = start([*command.split(), "--bucket", bucket, "--prefix", f"x{folder}"])
        return Said(code, out.getvalue())

    @property
    def here(self) -> Settings:
        """The settings of the place."""
        bucket = self.copies.url.removeprefix("gs://")
        return msgspec.structs.replace(self.settings, target=Target("gs", bucket, "x/"))

    def export(self, name: str) -> int | Said:
        """Run an export, a day later."""
        self.now += DAY
        task = Task(self.store, self.big, self.settings, name, Owner(name, 0), 1)
        return 0 if asyncio.run(run(task)).state == "published" else TABLES_FAILED

    def restoring(self, dataset: str) -> RestoreTask:
        """The only task of a restore of the published run into a dataset."""
        request = Request(Options(project="project", dataset=dataset))
        return RestoreTask(self.copies, self.big, self.here, request, Owner(dataset or "drill", 0), 1)

    def restore(self, dataset: str) -> int:
        """Restore the published run."""
        return 0 if asyncio.run(restore(self.restoring(dataset))).state == "restored" else TABLES_FAILED

    def drill(self) -> int:
        """Restore the published run into a scratch dataset, and drop it."""
        task = self.restoring("")._replace(documents=MemoryStore())
        return DRILLED[asyncio.run(drill(task, Sample())).state]

    def copy(self) -> Said:
        """Copy all runs to the second place."""
        there = msgspec.structs.replace(self.settings, target=Target("gs", "second", "x/"))
        sides = Place(self.store, self.settings), Place(self.second, there)
        task = CopyTask(*sides, StreamMover(self.store, self.second), Owner("copy", 0), self.now)
        done = asyncio.run(copy_exports(task, (), Policy(), every=True))
        problems = "".join(f"{one.run}: {one.problem}" for one in done.not_copied)
        return Said(TABLES_FAILED if done.not_copied else 0, problems)

    def erase(self) -> int:
        """Take a table out of all runs."""
        erasing = Erasing("items", self.now, "somebody", "on request")
        asyncio.run(verbs.erase(everywhere(self.copies), self.here, erasing, delete=True))
        return 0

    def page(self, path: str) -> Said:
        """A page of the console."""
        said, status = list[bytes](), [0]

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            status[0] = message.get("status", status[0])
            said.append(message.get("body", b""))

        async def look() -> None:
            scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
                     "headers": [(b"host", b"127.0.0.1")], "server": ("127.0.0.1", 80), "http_version": "1.1",
                     "scheme": "http", "root_path": ""}  # fmt: skip
            await make_app(self.copies, self.here)(scope, receive, send)

        asyncio.run(look())
        return Said(0 if status[0] == 200 else status[0], html.unescape(b"".join(said).decode()))


class SetOfExports(Export):
    """The same of a set of two datasets."""

    settings = msgspec.structs.replace(SETTINGS, dataset="ops,shop")
    into = "{dataset}_copy"
    datasets = ("ops", "shop")
    one = "/ops"

    def export(self, name: str) -> int | Said:
        """Run an export of the set, a day later."""
        self.now += DAY
        task = SetTask(self.store, self.big, self.settings, name, Owner(name, 0), 1, no_reading)
        return 0 if asyncio.run(run_set(task)).state == "published" else TABLES_FAILED


class Copies(Export):
    """The place of copies of one export. The next night exports where it always did, and copies."""

    def make(self) -> None:
        """Do all that leaves documents, and go to the copies."""
        super().make()
        self.copies, self.into = self.second, "copied"
        self.restore(self.into)
        self.second.keep()

    def export(self, name: str) -> int | Said:
        """Run an export, and copy it."""
        return super().export(name) or (self.copy() if self.copies is self.second else 0)


def done(work: Callable[[], int | Said]) -> Said:
    """How work that is no command here ended, with what it logged and the error that it ended with."""
    out = io.StringIO()
    logger, handler = logging.getLogger("bqdump"), logging.StreamHandler(out)
    handler.setLevel(logging.WARNING)
    logger.addHandler(handler)
    try:
        found = work()
        code, text = found if isinstance(found, Said) else (found, "")
    except (BqdumpError, BaseExceptionGroup) as group:
        error = first_of(group)
        code, text = exit_code(error), error.sentence(COMMANDS) if isinstance(error, BqdumpError) else repr(error)
    finally:
        logger.removeHandler(handler)
    return Said(code, out.getvalue() + text)


def _prune(place: Export) -> Said:
    place.now += 2 * DAY
    return place.command("prune --keep-last 1 --yes")


def _into(place: Export) -> str:
    return place.into.replace("copy", f"copy_{next(_numbers)}")


VERBS: dict[str, Callable[[Export], Said]] = {
    "status": lambda place: place.command("status b"),
    "runs": lambda place: place.command("runs"),
    "ls": lambda place: place.command("ls"),
    "diff": lambda place: place.command("diff a b"),
    "verify": lambda place: place.command("verify"),
    "verify-b": lambda place: place.command("verify b"),
    "sql": lambda place: place.command("sql --command=SELECT(1)", place.one),
    "report": lambda place: place.command(f"report --quiet --output {os.devnull}"),
    "restore": lambda place: done(lambda: place.restore(_into(place))),
    "again": lambda place: done(lambda: place.restore(place.into)),
    "restores": lambda place: place.command("restores"),
    "drill": lambda place: done(place.drill),
    "copy": lambda place: done(place.copy),
    "prune": _prune,
    "erase": lambda place: done(place.erase),
    "night": lambda place: done(lambda: place.export(f"night{next(_numbers)}")),
    "console": lambda place: done(lambda: place.page("/")),
    "page-b": lambda place: done(lambda: place.page("/runs/b")),
}
