"""Tables of every type on the local stack, exported in each format and codec by each route, once each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from bqdump.core.documents.codec import decode
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.target import Latest
from bqdump.core.formats.fidelity import cell
from bqdump.core.formats.formats import FORMATS, codecs, unfit
from formats.values import KINDS, Kind, create
from integration.stage import Stage

# A route that joins needs its name here and its cells in bqdump.core.formats.fidelity.
ROUTES = ("extract", "query", "read")


class Way(NamedTuple):
    """How a table gets into files."""

    route: str
    format: str
    codec: str

    def __str__(self) -> str:
        return "-".join(self)

    @property
    def kinds(self) -> list[Kind]:
        """The columns that its format can hold."""
        return [
            # Hours that nanoseconds in 64 bits cannot count do not come through the Storage Read API.
            kind._replace(values=kind.values[:2]) if (self.route, kind.type) == ("read", "INTERVAL") else kind
            for kind in KINDS
            if not unfit(self.format, self.route, [kind.column])
        ]


EVERY = [Way(route, format_, codec) for route in ROUTES for format_ in FORMATS for codec in codecs(route, format_)]
WAYS = [way for way in EVERY if way.kinds]


class Exports:
    """The dataset, and what has been exported of it so far: the files of each table, by the way they took."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._tables: set[str] = set()
        self._done: dict[Way, Manifest] = {}

    def table(self, name: str, kinds: Sequence[Kind], rows: bool = True) -> str:
        """Make a table of these columns, unless it is there."""
        if name not in self._tables:
            for statement in create(name, kinds) if rows else list(create(name, kinds))[:1]:
                self.stage.sql(statement)
            self._tables.add(name)
        return name

    def manifest(self, way: Way) -> Manifest:
        """The manifest of an export of two tables: `values_…` with rows, `empty_…` without."""
        if way not in self._done:
            for name, rows in (("values", True), ("empty", False)):
                self.table(f"{name}_{way.route}_{way.format}", way.kinds, rows)
            self.run(way, str(way), include=f"*_{way.route}_{way.format}")
            self._done[way] = self.published(str(way))
        return self._done[way]

    def published(self, folder: str) -> Manifest:
        """The manifest of the run that is published in a folder of the bucket."""
        latest = decode(self.stage.read(f"{folder}/_bqdump/latest.json"), Latest, "latest")
        return decode(self.stage.read(latest.manifest), Manifest, "manifest")

    def run(self, way: Way, folder: str, **flags: str) -> None:
        """Export with these flags to a folder of the bucket, which is the name of the run too."""
        chosen: dict[str, Any] = {"format": way.format, "compression": way.codec, "prefix": folder, **flags}
        if way.route != "extract":
            chosen["route"] = way.route
        self.stage.run_tasks(1, execution=folder, **chosen)

    def files(self, way: Way, table: str) -> list[bytes]:
        """The bytes of a table's files."""
        (entry,) = [entry for entry in self.manifest(way).tables if entry.table.startswith(f"{table}_")]
        return [self.stage.read(file.name) for file in entry.files]


def holds(way: Way, type_: str) -> Any:
    """What the table of types says of a type."""
    return cell(way.format, way.route, type_)
