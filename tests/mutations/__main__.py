"""`python -m tests.mutations --seed N --sample 120`: how many small mistakes in the product the tests find.

Each mutant is the product with one small change (see draw.py). It is tried against the tests that reach the changed
function, those of `make test` first. The table shows what `make test` kills, what only `make test-all` kills, and what
survives, with its place and the number of tests that reach it. A survivor is a missing test, or it is equivalent: no
test could tell it apart. Such ones are named with a reason in equivalent.toml.

Which tests reach what is recorded first, in `.mutations/`: for all tests that takes as long as `make test-all`. After
that, only files of tests that have changed are recorded again. Results are kept there, too: an interrupted sample is
continued by the same command, and a mutant is tried again only when its module or a test file that reaches it has
changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutations.draw import Mutant, path_of, sample
from mutations.reach import ROOT, TESTS, Reach
from mutations.trial import ORDERS, Orders, Result

HERE = Path(__file__).resolve().parent
FOLDER = ROOT / ".mutations"
RECORDS, RESULTS = FOLDER / "reach", FOLDER / "results.jsonl"
# How much of what all tests kill `make test` is to kill.
KEPT = 0.95
# So many files of tests are recorded at once, so that little is lost when it is interrupted.
AT_ONCE = 20


def equivalent() -> dict[str, str]:
    """The mutants that no test can tell from the product, and why."""
    rows = tomllib.loads((HERE / "equivalent.toml").read_text())["mutant"]
    return {row["name"]: row["reason"] for row in rows}


def record(workers: int) -> Reach:
    """Record what tests reach, as far as that is not known."""
    files = Reach(RECORDS).unrecorded
    for first in range(0, len(files), AT_ONCE):
        sys.stderr.write(f"recording what tests reach: {first} of {len(files)} files\n")
        Reach(RECORDS).record(files[first : first + AT_ONCE], workers)
    return Reach(RECORDS)


def digest(mutant: Mutant, reach: Reach) -> str:
    """Of all that a result follows from, as far as this is known without a trial."""
    tests = {test.partition("::")[0] for test, found in reach.tests.items() if mutant.function in found.functions}
    content = hashlib.sha256(path_of(mutant.module).read_bytes())
    for file in (*sorted(tests), "tests/tiers.py"):
        content.update((ROOT / file).read_bytes())
    return content.hexdigest()[:16]


def results() -> dict[str, Result]:
    """The newest result of each mutant."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {(result := Result(*json.loads(line))).name: result for line in lines}


def try_all(mutants: list[Mutant], digests: list[str], workers: int) -> None:
    """Try these mutants, and store a result for each as soon as it is there."""
    orders = FOLDER / "orders.json"
    orders.write_text(json.dumps(Orders(mutants, digests, str(RECORDS), str(RESULTS), workers)))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "mutations.trial", "-p", "no:cacheprovider", "--tier", "all"]
    environment = os.environ | {ORDERS: str(orders), "PYTHONPATH": str(TESTS)}
    subprocess.run([*command, "tests"], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def table(mutants: list[Mutant], results: dict[str, Result], named: dict[str, str]) -> tuple[str, bool]:
    """What is printed, and whether `make test` keeps enough of the kills."""
    tried = [
        (mutant, results[mutant.name]) for mutant in mutants if mutant.name in results and mutant.name not in named
    ]
    groups = {
        "could not be tried": [pair for pair in tried if pair[1].how.startswith("ended by")],
        "killed by make test": [pair for pair in tried if pair[1].tier == "test"],
        "killed only by make test-all": [pair for pair in tried if pair[1].tier == "test-all"],
        "survived": [pair for pair in tried if not pair[1].tier and not pair[1].how.startswith("ended by")],
    }
    lines = list[str]()
    for title, pairs in groups.items():
        lines.append(f"{title}: {len(pairs)}")
        for mutant, result in pairs if title != "killed by make test" else ():
            why = result.by or f"{result.reached} tests reach it, {result.tried} cases tried"
            lines.append(f"  {mutant.name}\n    line {mutant.line}; {why}{f'; {result.how}' if result.how else ''}")
    kills = len(groups["killed by make test"]) + len(groups["killed only by make test-all"])
    share = len(groups["killed by make test"]) / kills if kills else 1.0
    lines.append(f"equivalent: {sum(mutant.name in named for mutant in mutants)}")
    lines.append(f"make test keeps {share:.1%} of {kills} kills, {KEPT:.0%} are expected")
    return "\n".join(lines), share >= KEPT


def main() -> int:
    """0, or 1 if `make test` misses too much of what all tests kill."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutations", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, required=True, metavar="N", help="what the sample follows from")
    parser.add_argument("--sample", type=int, default=120, metavar="N", help="how many mutants (default: 120)")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="how many at once (default: 2)")
    parser.add_argument("--no-record", action="store_true", help="leave out tests that are not recorded")
    given = parser.parse_args()
    RECORDS.mkdir(parents=True, exist_ok=True)
    reach = Reach(RECORDS) if given.no_record else record(given.workers)
    mutants, named = sample(given.seed, given.sample), equivalent()
    digests = {mutant.name: digest(mutant, reach) for mutant in mutants}
    known = {name: result for name, result in results().items() if digests.get(name) == result.digest}
    missing = [mutant for mutant in mutants if mutant.name not in known and mutant.name not in named]
    if missing:
        sys.stderr.write(f"trying {len(missing)} mutants\n")
        try_all(missing, [digests[mutant.name] for mutant in missing], given.workers)
        known = results()
    text, enough = table(mutants, known, named)
    sys.stdout.write(f"{text}\n")
    return int(not enough)


if __name__ == "__main__":
    sys.exit(main())
