"""`python -m tests.simulation --schedules 100000` searches; `--seed N --trace` replays one schedule in full.

`--incremental` simulates incremental runs instead of exports, `--restores` restores, `--prunes` prunes, `--copies`
copies, `--vaults` locked copies, `--sets` sets of datasets.
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
from simulation.copies.set_vaults import simulate as simulate_vaults
from simulation.copies.world import simulate as simulate_copies
from simulation.incremental import simulate as simulate_incremental
from simulation.prunes.world import simulate as simulate_prunes
from simulation.restores.world import simulate as simulate_restores
from simulation.schedule import Verdict
from simulation.sets.nights import simulate as simulate_sets
from simulation.world import simulate as simulate_exports

WORLDS = {
    "incremental": ("incremental runs instead of exports", simulate_incremental),
    "restores": ("restores instead of exports", simulate_restores),
    "prunes": ("prunes instead of exports", simulate_prunes),
    "copies": ("copies instead of exports", simulate_copies),
    "vaults": ("locked copies instead of exports", simulate_vaults),
    "sets": ("sets of datasets instead of exports", simulate_sets),
}


def say(*lines: str) -> None:
    """Print lines at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def show(verdict: Verdict, kind: str) -> None:
    """Print a failure: its seed, its last steps, and what is wrong. kind: of world, as an argument."""
    say(f"seed {verdict.seed}:", *verdict.trace)
    say(f"seed {verdict.seed}: {verdict.broken or 'every law holds'} ({verdict.steps} steps)")
    if verdict.broken:
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
    for kind, (what, _) in WORLDS.items():
        parser.add_argument(f"--{kind}", action="append_const", dest="kind", const=kind, help=f"simulate {what}")
    parser.add_argument("--bugs", action="store_true", help="write seeds.json anew")
    wanted = parser.parse_args()
    if wanted.bugs:
        return find_bugs(wanted.processes)
    kind = f" --{wanted.kind[-1]}" if wanted.kind else ""
    simulate = WORLDS[wanted.kind[-1]][1] if wanted.kind else simulate_exports
    if wanted.seed is not None:
        verdict = simulate(wanted.seed, whole_trace=wanted.trace)
        show(verdict, kind)
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
                    show(verdict, kind)
                    break
    say(f"{done} schedules, {failed} failed, {done / (time.monotonic() - began):.0f} a second")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
