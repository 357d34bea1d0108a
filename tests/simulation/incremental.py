"""Schedules of incremental runs, one after another and at times at once, of tables that change in every way.

What changes in ways that metadata do not show is here too: such tables must never be named again.
"""

from __future__ import annotations

import asyncio
import random

import msgspec

from bqdump.core.documents.run import Plan
from bqdump.core.risks import Risk
from bqdump.core.times import rfc3339
from bqdump.export.act import TaskResult
from simulation import scenery
from simulation.executions import Execution
from simulation.history import DATASET, EPOCH, PROJECT
from simulation.law import Law
from simulation.schedule import Verdict
from simulation.world import SimulatedExport, judged

# What makes a table one that changes without a trace: a field of its definition, or change data capture.
SILENT: dict[str, dict[str, object]] = {
    "captured": {"tableConstraints": {"primaryKey": {"columns": ["line"]}}},
    "stale": {"maxStaleness": "0-0 0 1:0:0"},
    "expiring": {"timePartitioning": {"type": "DAY", "field": "day", "expirationMs": "1000"}},
}
ALLOWED = (Risk.UNAPPLIED_CHANGES, Risk.UNSEEN_CHANGES, Risk.REMOVED_TABLES)


def simulate(seed: int, *, whole_trace: bool = False) -> Verdict:
    """Run the schedule of this seed. The same seed gives the same verdict, whatever ran before."""
    return judged(seed, lambda: IncrementalWorld(seed, None if whole_trace else 60))


class IncrementalWorld(SimulatedExport):
    """A dataset of which a part changes between runs."""

    def __init__(self, seed: int, trace: int | None) -> None:
        super().__init__(seed, trace)
        self.rivals = None
        rng = random.Random(f"{seed} incremental")
        settings = msgspec.structs.replace(
            self.scenery.settings,
            incremental=True,
            # That tables are given up is about other laws.
            allow_partial=False,
            full_every=rng.choice((None, None, 0, 400)),
            allow=tuple(dict.fromkeys((*self.scenery.settings.allow, *ALLOWED))),
        )
        self.scenery = self.scenery._replace(settings=settings)
        self.silent: dict[str, str] = {}
        self.quiet = False
        # Queries read tables with change data capture when they run, not at the snapshot time.
        kinds = [kind for kind in SILENT if settings.route != "query" or kind != "captured"]
        for table in scenery.NAMES:
            if table in self.history.tables() and rng.random() < 0.25:
                self._make_silent(table, rng.choice(kinds))
        self.dice.weather = self.dice.weather._replace(job_permanent=0.0, losing=0.0)

        self._disturb_planners(random.Random(f"{seed} disturbs"))

    def _disturb_planners(self, rng: random.Random) -> None:
        """At times, change a table just after a planner has taken its snapshot time."""
        share, sound = rng.choice((0.0, 0.3, 0.8)), self.warehouse.now

        async def now(location: str) -> int:
            moment = await sound(location)
            if rng.random() < share:
                self.loop.call_later(rng.uniform(0.0, 1.0), disturb)
            return moment

        def disturb() -> None:
            tables = {table: rows for table, rows in self.history.tables().items() if table not in self.silent}
            if tables and not self.quiet:
                table = rng.choice(sorted(tables))
                self._change(rng, table, tables[table])

        self.warehouse.__dict__["now"] = now

    def _make_silent(self, table: str, kind: str) -> None:
        known = self.warehouse.datasets[PROJECT, DATASET][table]
        definition: dict[str, object] = {**msgspec.json.decode(known.definition), **SILENT[kind]}
        self.warehouse.datasets[PROJECT, DATASET][table] = known._replace(
            definition=msgspec.Raw(msgspec.json.encode(definition))
        )
        self.silent[table] = kind
        if kind == "captured":
            self.warehouse.streamed.add(table)

    def _executions(self) -> list[tuple[Execution, float]]:
        """Three runs or more; most of them begin when the one before has ended."""
        rng, close = random.Random(f"{self.seed} nights"), random.Random(f"{self.seed} close")
        executions: list[tuple[Execution, float]] = []
        start = 1.0
        for number in range(rng.choice((3, 4, 4, 5))):
            settings = self.scenery.settings
            if rng.random() < 0.15:
                settings = msgspec.structs.replace(settings, incremental=False)
            if rng.random() < 0.15:
                settings = scenery.selecting(rng, settings)
                settings = msgspec.structs.replace(settings, keep_others=True, allow=self.scenery.settings.allow)
            if rng.random() < 0.15 and settings.route != "read":
                settings = msgspec.structs.replace(settings, format="avro" if settings.format == "csv" else "csv")
            if number and rng.random() < 0.2:
                chosen = EPOCH + int(start * 1000) - rng.choice((0, 1000, 60_000))
                settings = msgspec.structs.replace(settings, snapshot_time=rfc3339(chosen))
            if executions and close.random() < 0.2:
                # Within the time in which the run before looks at the tables.
                chosen = EPOCH + int((executions[-1][1] + close.uniform(0.1, 5.0)) * 1000)
                settings = msgspec.structs.replace(settings, snapshot_time=rfc3339(chosen))
            self.laws.allowed[f"run{number}"] = settings.allow
            execution = Execution(f"run{number}", f"x{number}", rng.choice((1, 1, 2)), settings)
            self.runs[execution.run] = execution
            self.started.append(execution)
            executions.append((execution, start))
            start += rng.choice((rng.uniform(0.0, 20.0), 150.0, 150.0, 300.0))
        return executions

    async def _change_tables(self) -> None:
        """Insert, delete, update in place, create again, and change without a trace."""
        rng, history = random.Random(f"{self.seed} writer"), self.history
        busy = rng.choice((0.0, 0.01, 0.03, 0.1))
        while busy:
            await asyncio.sleep(rng.expovariate(busy))
            tables = history.tables()
            table = rng.choice(scenery.NAMES)
            if table in self.silent:
                if table in tables:
                    history.silently(self.warehouse, table, history.alike(tables[table]))
            elif table not in tables:
                if rng.random() < 0.3:
                    history.put(self.warehouse, table, history.new_rows(table, rng.randint(1, 5)))
            else:
                self._change(rng, table, tables[table])
            self.trace.add("writer", "changed", table, f"{len(history.tables().get(table, ()))} rows")

    def _change(self, rng: random.Random, table: str, rows: tuple[str, ...]) -> None:
        history = self.history
        match rng.choice(("insert", "delete", "delete", "update", "again", "drop")):
            case "insert":
                history.put(self.warehouse, table, rows + history.new_rows(table, rng.randint(1, 3)))
            case "delete" if rows:
                # The oldest row always: so no deletion leads back to what an earlier look may have seen.
                newest = rng.choice((0, 0, 1, 2))
                # A run that counts rows between its snapshot time and this may be refused.
                self.lossy |= {run for run in self.runs if self.view.plan(run) is None}
                history.delete(self.warehouse, table, rows[1 : len(rows) - newest])
            case "update":
                history.put(self.warehouse, table, history.alike(rows))
            case "again":
                history.recreate(self.warehouse, table, history.alike(rows))
            case "drop" if rng.random() < 0.3:
                history.drop(self.warehouse, table)

    async def finish(self) -> None:
        """Further nights, in which nothing changes: of the last one nothing is exported but silent tables."""
        self.quiet = True
        settings = msgspec.structs.replace(self.scenery.settings, full_every=0)
        plan = None
        for number in range(4):
            await asyncio.sleep(100.0)
            run = f"quiet{number}"
            self.runs[run] = Execution(run, run, 1, settings)
            self.laws.allowed[run] = settings.allow
            for attempt in range(5):
                ended = await self.engine.once(Execution(run, f"{run}-{attempt}", 1, settings), 0)
                if isinstance(ended, TaskResult) and ended.state == "published":
                    break
            else:
                # Refused for a reason that has laws of its own, as where a run was stopped half-way.
                return
            plan = self.view.plan(run)
        self._nothing_exported(plan)

    def _nothing_exported(self, plan: Plan | None) -> None:
        seen = self.warehouse.sees_policies
        open_ = {table for table, names in self.warehouse.policies.items() if names} | self.silent.keys()
        again = {unit.table for unit in self.view.units(plan)} - open_ if plan and seen else set()
        self.laws.hold(Law.UNCHANGED, not again, f"nothing has changed, and {sorted(again)} are exported again")
