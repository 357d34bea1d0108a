"""Schedules of sets over several incremental nights, with changes between them and while they are planned.

Datasets have tables of the same names. What a night names again is held against the source as everything else is, and
once nothing changes any more, nothing may be exported again.
"""

from __future__ import annotations

import asyncio
import random
from unittest import mock

import msgspec

from simulation.history import EPOCH
from simulation.schedule import Verdict, nothing_by_chance, without_pages
from simulation.sets.world import SimulatedSet

QUIET_NIGHTS = 3
# None that lets an export fail: a table that is created again cannot be read as of before.
CHANGES = ("insert", "insert", "delete", "update")


def simulate(seed: int, *, whole_trace: bool = False) -> Verdict:
    """Run the schedule of this seed: of several nights at times, and else of executions that overlap."""
    several = random.Random(f"{seed} several nights").random() < 0.3
    with nothing_by_chance(seed, EPOCH) as (patches, _):
        without_pages(patches, "report.render_report", "report.render_unpublished", "report.render_set")
        # There is one clock here, so that readings just before a snapshot time are put to the test.
        patches.enter_context(mock.patch("bqdump.core.plan.reuse.CLOCKS_DIFFER_MS", 0))
        return (Nights if several else SimulatedSet)(seed, None if whole_trace else 60).verdict()


class Nights(SimulatedSet):
    """Datasets of which a part changes between runs."""

    def __init__(self, seed: int, trace: int | None) -> None:
        super().__init__(seed, trace)
        self.laws.failing.clear()
        self.laws.settings = self.settings = msgspec.structs.replace(
            self.settings, incremental=True, full_every=self.rng.choice((0, 0, 400))
        )
        self.quiet = False
        self._disturb_planners(random.Random(f"{seed} disturbs"))

    def _table(self, dataset: str, number: int) -> str:
        return f"t_{number}"

    def _disturb_planners(self, rng: random.Random) -> None:
        """At times, change a table just before or after a planner has taken its snapshot time."""
        share, sound = rng.choice((0.0, 0.3, 0.8)), self.warehouse.now

        def disturb() -> None:
            if rng.random() < share:
                self._change_one(rng)

        async def now(location: str) -> int:
            disturb()
            moment = await sound(location)
            self.loop.call_later(rng.uniform(0.0, 1.0), disturb)
            return moment

        self.warehouse.__dict__["now"] = now

    async def main(self) -> None:
        """Night after night, most of which begin when the one before has ended."""
        rng = self.rng
        writer = self.loop.create_task(self._change_tables())
        nights = []
        for number in range(rng.choice((3, 4, 5))):
            self.runs.append(f"r{number}")
            nights.append(self.loop.create_task(self._execute(f"r{number}", f"x{number}", rng.choice((1, 2, 2)))))
            await asyncio.sleep(rng.choice((rng.uniform(0.0, 20.0), 150.0, 150.0, 300.0)))
        await asyncio.gather(*nights)
        self.dice.clear_up()
        writer.cancel()
        self.quiet = True
        await asyncio.sleep(1000.0)
        await self._nothing_changes()

    async def _change_tables(self) -> None:
        rng = random.Random(f"{self.seed} writer")
        busy = rng.choice((0.005, 0.02, 0.1))
        while True:
            await asyncio.sleep(rng.expovariate(busy))
            self._change_one(rng)

    def _change_one(self, rng: random.Random) -> None:
        if self.quiet:
            return
        dataset = rng.choice(sorted(self.histories))
        history = self.histories[dataset]
        table = rng.choice(sorted(history.tables()))
        rows = history.tables()[table]
        match rng.choice(CHANGES):
            case "delete" if len(rows) > 1:
                # The oldest row, never the last: no deletion leads back to what an earlier reading has seen.
                history.delete(self.warehouse, table, rows[1:])
            case "update" if rows:
                history.put(self.warehouse, table, history.alike(rows))
            case _:
                history.put(self.warehouse, table, rows + history.new_rows(table, 1))

    async def _nothing_changes(self) -> None:
        """Further nights, in which nothing changes: in the last one nothing is exported."""
        self.settings = msgspec.structs.replace(self.settings, full_every=0)
        for number in range(QUIET_NIGHTS):
            await asyncio.sleep(100.0)
            self.runs.append(run := f"quiet{number}")
            self._is_complete(run, await self._execute(run, run, 1))
        for dataset, view in sorted(self.laws.views.items()):
            plan = view.plan(run)
            again = {unit.table for unit in view.units(plan)} if plan else {"everything"}
            self.laws.hold(not again, f"nothing has changed, and {sorted(again)} of {dataset} are exported again")
