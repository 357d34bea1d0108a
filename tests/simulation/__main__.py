"""`python -m tests.simulation --schedules 100000` searches; `--seed N --trace` replays one schedule in full.

`--restores` simulates restores instead of exports, `--prunes` prunes, `--copies` copies,
`--vaults` locked copies, `--sets` sets of datasets.
`--bugs` searches for a seed that finds each planted bug, and keeps it in seeds.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from simulation.bugs import MUTATIONS, search, write_seeds
from simulation.copies.vaults import simulate as simulate_vaults
from simulation.copies.world import simulate as simulate_copies
from simulation.law import Law
from simulation.prunes.world import simulate as simulate_prunes
from simulation.restores.world import simulate as simulate_restores
from simulation.schedule import Verdict
from simulation.sets.world import simulate as simulate_sets
from simulation.world import simulate as simulate_exports

KINDS = {
    Law.RESTORED: " --restores",
    Law.PRUNED: " --prunes",
    Law.COPIED: " --copies",
    Law.SETS: " --sets",
    Law.LOCKED: " --vaults",
}


def say(*lines: str) -> None:
    """Print lines at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def show(verdict: Verdict) -> None:
    """Print a failure: its seed, its last steps, and what is wrong."""
    say(f"seed {verdict.seed}:", *verdict.trace)
    say(f"seed {verdict.seed}: {verdict.broken or 'every law holds'} ({verdict.steps} steps)")
    if verdict.broken:
        kind = KINDS.get(verdict.broken.law, "")
        say(f"replay: python -m tests.simulation{kind} --seed {verdict.seed} --trace")


def find_bugs(processes: int) -> int:
    """How many bugs no schedule found, at most 1. Writes the seeds of the others."""
    found: dict[str, int] = {}
    with multiprocessing.Pool(processes, maxtasksperchild=1) as pool:
        for name, seed in pool.imap_unordered(search, [one.name for one in MUTATIONS]):
            say(f"{'not found' if seed is None else seed}: {name}")
            if seed is not None:
                found[name] = seed
    write_seeds(found)
    return int(len(found) < len(MUTATIONS))


def main() -> int:
    """The number of schedules that broke a law, at most 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=2000, metavar="N", help="how many (default: 2000)")
    parser.add_argument("--seed", type=int, metavar="N", help="replay this one only")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed of a search (default: 0)")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count(), metavar="N")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first failure")
    parser.add_argument("--trace", action="store_true", help="print every step of the schedule given by --seed")
    parser.add_argument("--restores", action="store_true", help="simulate restores instead of exports")
    parser.add_argument("--prunes", action="store_true", help="simulate prunes instead of exports")
    parser.add_argument("--copies", action="store_true", help="simulate copies instead of exports")
    parser.add_argument("--vaults", action="store_true", help="simulate locked copies instead of exports")
    parser.add_argument("--sets", action="store_true", help="simulate sets of datasets instead of exports")
    parser.add_argument("--bugs", action="store_true", help="write seeds.json anew")
    wanted = parser.parse_args()
    if wanted.bugs:
        return find_bugs(wanted.processes)
    simulate = simulate_restores if wanted.restores else simulate_prunes if wanted.prunes else simulate_exports
    simulate = simulate_vaults if wanted.vaults else simulate
    simulate = simulate_sets if wanted.sets else simulate_copies if wanted.copies else simulate
    if wanted.seed is not None:
        verdict = simulate(wanted.seed, whole_trace=wanted.trace)
        show(verdict)
        return int(verdict.broken is not None)
    began, failed, done = time.monotonic(), 0, 0
    seeds = range(wanted.first, wanted.first + wanted.schedules)
    with multiprocessing.Pool(wanted.processes) as pool:
        for verdict in pool.imap_unordered(simulate, seeds, chunksize=20):
            done += 1
            if verdict.broken:
                failed += 1
                if wanted.keep_going:
                    say(f"seed {verdict.seed}: {verdict.broken}")
                else:
                    show(verdict)
                    break
    say(f"{done} schedules, {failed} failed, {done / (time.monotonic() - began):.0f} a second")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
