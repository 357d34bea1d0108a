"""Law 9, asserted at the instant of every change in the target dataset, and whenever a restore reports its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from bqdump.core.documents.codec import decode
from bqdump.core.documents.notes import Restored
from bqdump.core.restore.documents import Decision
from bqdump.core.restore.drill import Drilled
from bqdump.core.restore.names import LABEL, SCRATCH, is_scratch
from bqdump.core.restore.result import Restoration
from bqdump_memory.resources import definition_of
from bqdump_memory.tables import MemoryTable
from simulation.law import Law
from simulation.laws import Broken
from simulation.restores.scenery import DEFINITIONS, INTO, LINE, PROJECT, SOURCE, VIEWS, Scenery, Warehouse, query

# What a restored table has of the definition in the export.
PROPERTIES = ("labels", "description", "expirationTime", "rangePartitioning", "requirePartitionFilter")
FOREVER = 10**9
State = tuple[MemoryTable, int]


class RestoreLaws:
    """Judges every change. `broken`: the first finding; `stop` is called with it.

    swapped: the tables whose files were replaced. strangers: the tables that something else created in the target.
    """

    def __init__(self, big: Warehouse, scenery: Scenery, stop: Callable[[], None]) -> None:
        self.big, self.scenery, self.stop = big, scenery, stop
        self.broken: Broken | None = None
        self.swapped: set[str] = set()
        self.strangers: set[str] = set()
        # When scratch tables were created, and when each process has listed the target last, in requests so far.
        self._requests = 0
        self._created: dict[str, int] = {}
        self._listed: dict[str, int] = {}
        self._runs: dict[str, str] = {}
        self._order: dict[str, tuple[int, str]] = {}
        self._untouched: dict[tuple[str, str], State] = {}
        self._versions: dict[str, tuple[MemoryTable, int]] = {}
        options = scenery.options
        for name in big.datasets[PROJECT, SOURCE]:
            self.protect(SOURCE, name)
        for name in scenery.before:
            if not options.replace or name not in self.exported:
                self.protect(INTO, name)

    @property
    def exported(self) -> set[str]:
        """The names of the tables of the exports."""
        return set(self.scenery.rows["r1"])

    @property
    def target(self) -> dict[str, MemoryTable]:
        """The tables of the target now."""
        found = self.big.datasets.get((PROJECT, INTO), {})
        return {name: table for name, table in found.items() if table.versions[-1].rows is not None}

    def blame(self, what: str) -> None:
        """Remember a finding, and stop the schedule."""
        if self.broken is None:
            self.broken = Broken(Law.RESTORED, what)
            self.stop()

    def hold(self, true: bool, what: str) -> None:
        """Blame unless it is true."""
        if not true:
            self.blame(what)

    def protect(self, dataset: str, name: str) -> None:
        """From now on no restore may touch this table."""
        table = self.big.datasets[PROJECT, dataset][name]
        self._untouched[dataset, name] = (table, len(table.versions))

    def heard(self, process: str, operation: str, arguments: tuple[Any, ...], late: bool) -> None:
        """A request was carried out. late: after its process had gone on."""
        self._requests += 1
        if operation == "present":
            self._listed[process] = self._requests
        elif operation == "create_table" and is_scratch(arguments[1]):
            # What arrives late nobody clears: it expires.
            self._created[arguments[1]] = FOREVER if late else self._requests
        if operation in ("write", "write_note"):
            self._written(process, arguments[0], arguments[1])
        else:
            self.look()

    def look(self) -> None:
        """Hold the target against the law as it is now, and every version of its tables since the last look."""
        for (dataset, name), (table, versions) in self._untouched.items():
            now = self.big.datasets[PROJECT, dataset].get(name)
            self.hold(now == table and len(table.versions) == versions, f"{dataset}.{name} was touched")
        for name, table in self.big.datasets.get((PROJECT, INTO), {}).items():
            if name in self.exported and (INTO, name) not in self._untouched:
                self._look_at(name, table)

    def _look_at(self, name: str, table: MemoryTable) -> None:
        known, seen = self._versions.get(name, (None, 0))
        if known is None or known.versions is not table.versions:
            self.hold(known is None, f"{name} was dropped and created again")
            seen = 0
        self._versions[name] = table, len(table.versions)
        unlabelled = LABEL not in _labels(table)
        if name in self.scenery.before:
            for version in table.versions[seen:]:
                rows = version.rows
                switched = rows is not None and (rows == self.scenery.before[name] or self._complete(name, rows))
                self.hold(switched, f"readers of {name}, which is replaced, see {rows}")
            return
        for version in table.versions[seen:]:
            rows = version.rows or ()
            # A table that is loaded under its own name is emptied if its files are found to have been replaced.
            allowed = not rows or name in self.swapped or self._complete(name, rows)
            self.hold(allowed, f"{name} has, before it is restored, {rows}")
        if unlabelled:
            rows = table.versions[-1].rows or ()
            self.hold(self._complete(name, rows), f"{name} is finished with {rows}")

    def settled(self) -> None:
        """The last restore of a run has ended: no table has rows of files that were replaced."""
        self.look()
        for name in self.swapped - set(self.scenery.before) - self.strangers:
            table = self.target.get(name)
            rows = (table and table.versions[-1].rows) or ()
            self.hold(not rows or self._complete(name, rows), f"{name} is left with {rows}")

    def _complete(self, name: str, rows: tuple[str, ...], run: str = "") -> bool:
        """Whether these are the rows of a table in one of the exports, each once."""
        runs = [run] if run else [*self.scenery.rows]
        return any(Counter(rows) == Counter(self.scenery.rows[one][name]) for one in runs)

    def _written(self, process: str, name: str, data: bytes) -> None:
        if name.endswith("/restored.json"):
            mine = f"{SCRATCH}{name.split('/')[-2].replace('-', '_')}_"
            left = [one for one in self.target if one.startswith(mine) and self._created[one] < self._listed[process]]
            self.hold(not left, f"scratch tables are left: {left}")
        elif name.endswith("/plan.json") and "/restores/" in name:
            decision: Decision = decode(data, Decision, name)
            self._runs[decision.restore] = decision.run
            self._order[decision.restore] = decision.planned, decision.mark
            if decision.options.replace and decision.state:
                self._may_replace(set(decision.state.tables) & self.exported & self.strangers)
        elif "/restores/" in name and "/receipts/" in name:
            restore = name.split("/restores/")[1].partition("/")[0]
            receipt: Restored = decode(data, Restored, name)
            if receipt.kind == "TABLE":
                self._restored(receipt.name, self._runs[restore], f"restore {restore} has a receipt for {receipt.name}")

    def _may_replace(self, names: set[str]) -> None:
        """What was created in the target before a restore with --replace was planned is replaced by it."""
        for name in names:
            if self._untouched.pop((INTO, name), None):
                self.scenery.before[name] = self.target[name].versions[-1].rows or ()

    def _restored(self, name: str, run: str, what: str) -> None:
        """Hold a table that is said to be restored against its export."""
        table = self.target.get(name)
        if table is None:
            self.blame(f"{what}, which does not exist")
            return
        rows = table.versions[-1].rows or ()
        # Another run may be restored over it.
        shared = "" if self.scenery.options.replace and len(self.scenery.rows) > 1 else run
        self.hold(self._complete(name, rows, shared), f"{what}, whose rows are {rows}")
        if not shared:
            return
        self.hold(LABEL not in _labels(table), f"{what}, which has the label of a restore")
        found, wanted = definition_of(table), {"labels": {"of": SOURCE}} | DEFINITIONS[name]
        for key in PROPERTIES:
            if key != "expirationTime":
                same = found.get(key) or None
                self.hold(same == (wanted.get(key) or None), f"{what}, whose {key} is {same}")
        fields = wanted.get("schema", {}).get("fields", [LINE])
        self.hold(found["schema"]["fields"] == fields, f"{what}, whose columns are {found['schema']['fields']}")

    def ended(self, result: Restoration) -> None:
        """A process reports a result: everything is restored as it was, or named."""
        self.look()
        manifest = self.scenery.manifests[result.run]
        done, failed = {one.table for one in result.tables}, {one.name for one in result.failed}
        named = done | failed | set(result.kept) | {one.name for one in result.not_restored}
        if result.state == "running":
            return
        lost = {table.table for table in manifest.tables} - named
        self.hold(not lost, f"{sorted(lost)} are neither restored nor named")
        for name in done:
            self._restored(name, result.run, f"the result says that {name} is restored")
        if result.state != "restored":
            self.hold(bool(failed), "an incomplete restore names no failure")
            return
        self.hold(not failed, f"a complete restore names failures: {failed}")
        if self._order[result.restore] == max(self._order.values()):
            self._are_of(result)
        self._objects(result)
        for name in done:
            self._last_properties(name)

    def _are_of(self, result: Restoration) -> None:
        """Hold tables that the newest restore reports against its run: no earlier one has replaced them."""
        for table in result.tables:
            rows = self.target[table.table].versions[-1].rows or ()
            self.hold(
                self._complete(table.table, rows, result.run), f"{table.table} of run {result.run} has the rows {rows}"
            )

    def drilled(self, result: Drilled, swapped: set[str], *, calm: bool) -> None:
        """A drill reports a result. swapped: the tables whose files had been replaced before it began."""
        manifest = self.scenery.manifests[result.run]
        tables = {table.table for table in manifest.tables}
        proven, wrong = set(result.tables), {one.name for one in (*result.different, *result.failed)}
        # Other files of a table without rows have the same content.
        swapped = {name for name in swapped if self.scenery.rows[result.run][name]}
        self.hold(not proven & swapped, f"a drill proves {sorted(proven & swapped)}, whose files were replaced")
        if result.state == "proven":
            self.hold(proven == tables, f"a drill proves the run, and of {sorted(tables)} only {sorted(proven)}")
        else:
            self.hold(bool(wrong), "a drill that proves nothing names no reason")
            self.hold(not calm or bool(self.swapped), f"a drill cannot restore {sorted(wrong)}")

    def _last_properties(self, name: str) -> None:
        """Keys and expirations, which are set once all tables are there."""
        if len(self.scenery.rows) > 1:
            return
        found, wanted = definition_of(self.target[name]), DEFINITIONS[name]
        keys = msgspec.json.decode(
            msgspec.json.encode(wanted.get("tableConstraints", {})).replace(b'"datasetId":"d"', b'"datasetId":"copy"')
        )
        self.hold((found.get("tableConstraints") or {}) == keys, f"the keys of {name} are not those of the export")
        same = found.get("expirationTime") == wanted.get("expirationTime")
        self.hold(same, f"the expiration of {name} is {found.get('expirationTime')}")

    def _objects(self, result: Restoration) -> None:
        manifest = self.scenery.manifests[result.run]
        wanted = {one.name for one in manifest.definitions.objects} | {
            one.name for one in manifest.definitions.routines
        }
        named = {one.name for one in result.objects} | set(result.kept) | {one.name for one in result.not_restored}
        self.hold(wanted <= named, f"{sorted(wanted - named)} are neither restored nor named")
        routines = self.big.routine_definitions.get((PROJECT, INTO), {})
        for one in result.objects:
            there = one.name in self.target or one.name in routines or one.kind == "POLICY"
            self.hold(there, f"the result says that {one.kind} {one.name} is restored, which does not exist")
        table = manifest.tables[0].table
        for name, source in zip(VIEWS, ("middle", table), strict=True):
            if name in wanted and name not in result.kept and name not in self.strangers and name in self.target:
                found = definition_of(self.target[name]).get("view", {}).get("query")
                self.hold(found == query(source, INTO), f"view {name} is {found}")


def _labels(table: MemoryTable) -> dict[str, str]:
    labels: dict[str, str] = definition_of(table).get("labels") or {}
    return labels
