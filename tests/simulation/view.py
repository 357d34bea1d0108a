"""What stands in the bucket at this instant, read without a request."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TypeVar

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest import File, IcebergFile, Manifest, TableEntry, TableFiles
from bqdump.core.documents.path_template import split_shard
from bqdump.core.documents.run import Plan, Receipt
from bqdump.core.documents.run_layout import ENDS, unit_of
from bqdump.core.documents.target import Erasing, Intent, Latest, PrefixOwner, Publishing
from bqdump.core.documents.units import GivenUp, Unit
from bqdump.core.plan.hidden_data import expected_rows, hidden_rows
from bqdump.core.units.shares import read_units
from bqdump.ports.store import ObjectInfo

Document = TypeVar("Document", bound=msgspec.Struct)


class View:
    """The documents of one target, decoded once for each generation."""

    def __init__(self, store: MemoryStore, layout: Layout) -> None:
        self.store, self.layout = store, layout
        self._decoded: dict[tuple[str, int], msgspec.Struct] = {}

    def latest(self) -> Latest | None:
        """The run that readers follow."""
        return self._read(self.layout.latest.name, Latest)

    def erasing(self) -> Erasing | None:
        """The table that is being taken out of the kept runs."""
        return self._read(self.layout.erasing.name, Erasing)

    def owner(self) -> PrefixOwner | None:
        """The dataset that has claimed the prefix."""
        return self._read(self.layout.owner.name, PrefixOwner)

    def publishing(self) -> Publishing | None:
        """The run that may write final names."""
        return self._read(self.layout.publishing.name, Publishing)

    def plan(self, run: str) -> Plan | None:
        """The plan of a run."""
        return self._read(self.layout.run(run).plan.name, Plan)

    def manifest(self, run: str) -> Manifest | None:
        """The manifest of a run."""
        return self._read(self.layout.run(run).manifest.name, Manifest)

    def intent(self, run: str) -> set[str]:
        """The final names that a run has said it will write."""
        intent = self._read(self.layout.run(run).intent.name, Intent)
        return set(intent.names) if intent else set()

    def units(self, plan: Plan) -> list[Unit]:
        """The units of a plan."""
        found = self.store.peek(plan.units)
        return read_units(found[0], plan) if found else []

    def receipts(self, run: str) -> dict[str, Receipt]:
        """The receipts of a run by unit."""
        names = [name for name in self.names(self.layout.run(run).receipts) if name.endswith(".json")]
        found = {unit_of(name): self._read(name, ENDS) for name in names}
        return {unit: receipt for unit, receipt in found.items() if isinstance(receipt, Receipt)}

    def given_up(self, run: str) -> set[str]:
        """The units that a run goes without for good."""
        names = [name for name in self.names(self.layout.run(run).receipts) if name.endswith(".json")]
        return {unit_of(name) for name in names if isinstance(self._read(name, ENDS), GivenUp)}

    def is_confirmed(self, run: str, name: str) -> bool:
        """Whether BigQuery's number of rows is known for the table of this file of a run."""
        plan, receipts = self.plan(run), self.receipts(run)
        if plan is None:
            return False
        hidden = hidden_rows(plan, receipts.values())
        for unit in self.units(plan):
            staged = f"{self.layout.run(run).staging}{unit.id}."
            if name.startswith(staged) or split_shard(name, {unit.pattern}):
                receipt = receipts.get(unit.id)
                return bool(receipt and receipt.rows is not None) or expected_rows(plan, unit, hidden) is not None
        return False

    def names(self, prefix: str) -> list[str]:
        """All object names below a prefix."""
        return [name for name in self.store.names_now() if name.startswith(prefix)]

    def info(self, name: str) -> ObjectInfo | None:
        """An object."""
        found = self.store.peek(name)
        return found[1] if found else None

    def age(self, run: str) -> tuple[int, str]:
        """What orders runs."""
        plan = self.plan(run)
        return plan.age if plan else (0, run)

    def decode_latest(self, data: bytes) -> Latest:
        """An earlier latest.json."""
        return msgspec.json.decode(data, type=Latest)

    def decode_pointer(self, data: bytes) -> Publishing:
        """An earlier publishing.json."""
        return msgspec.json.decode(data, type=Publishing)

    def _read(self, name: str, type_: type[Document] | tuple[type[Document], ...]) -> Document | None:
        found = self.store.peek(name)
        if found is None:
            return None
        data, info = found
        known = self._decoded.get((name, info.generation))
        if known is None:
            types = type_ if isinstance(type_, tuple) else (type_,)
            known = self._decoded[name, info.generation] = msgspec.json.decode(data, type=reduce(or_, types))
        assert isinstance(known, type_)
        return known


def all_files(manifest: Manifest) -> list[File]:
    """Every file that a manifest names, whatever for."""
    return [*(file for _, file in standing(manifest).values()), *manifest.found]


def metadata_of(manifest: Manifest) -> dict[str, tuple[IcebergFile, ...]]:
    """The Iceberg metadata that a manifest names, by table."""
    tables: tuple[TableEntry | TableFiles, ...] = (*manifest.tables, *manifest.left)
    return {table.table: table.iceberg for table in tables if table.iceberg}


def standing(manifest: Manifest) -> dict[str, tuple[str, File]]:
    """Table and file by name, for the files that a manifest says readers have."""
    named = [(entry.table, entry.files) for entry in manifest.tables]
    named += [(table.table, table.files) for table in manifest.left]
    return {file.name: (table, file) for table, files in named for file in files}
