"""Runs the test suites of others against the local stack: `make witness`, or `python -m tests.witness [SUITE …]`.

The suites come from the source archives of their packages. They run in an environment of their own, with credentials
replaced and small tables in place of public ones. Each case passes, or is listed with its reason in `expected.toml`.
`--write` renews the table of docs/internals/local-stack.md.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE.parent), str(ROOT / "src")]

from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import bigquery, storage  # noqa: E402

from bqdump_local.stack import Stack, running  # noqa: E402
from witness import public_data  # noqa: E402

SOURCES = Path(os.environ.get("WITNESS_SOURCES", ROOT / ".venv" / "witness" / "sources"))
ENVIRONMENTS = Path(os.environ.get("WITNESS_ENVIRONMENTS", ROOT / ".venv"))
EXPECTED = HERE / "expected.toml"
DOCS = ROOT / "docs" / "internals" / "local-stack.md"
MARKS = ("<!-- witnesses: made by `make witness` -->", "<!-- end of witnesses -->")
PROJECT = "witness-project"


class Suite(NamedTuple):
    """Tests in a source archive. paths: below the archive's folder. environment: whose Python runs them. seconds: the
    longest time of a case, on a machine that does other things, too.
    """

    name: str
    archive: str
    paths: tuple[str, ...]
    environment: str = "witness"
    seconds: int = 180

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.environment / "bin" / "python"


BIGQUERY = ("test_client", "test_query", "test_list_rows", "test_arrow", "test_pandas", "test_structs")
STORAGE = ("test_blob", "test_bucket", "test_client", "test_fileio", "test_transfer_manager")
SUITES = (
    *(Suite(f"python-bigquery {one}", "google_cloud_bigquery", (f"tests/system/{one}.py",)) for one in BIGQUERY),
    *(Suite(f"python-storage {one}", "google_cloud_storage", (f"tests/system/{one}.py",)) for one in STORAGE),
    Suite("python-bigquery-storage reader", "google_cloud_bigquery_storage", ("tests/system/reader",)),
    Suite("pandas-gbq", "pandas_gbq", ("tests/system",)),
    Suite("sqlalchemy-bigquery", "sqlalchemy_bigquery", ("tests/system",)),
    Suite("dbt-bigquery basic", "dbt_bigquery", ("tests/functional/adapter/test_basic.py",), "witness-dbt", 600),
)


def main() -> None:
    """Run the suites and compare."""
    parser = argparse.ArgumentParser(prog="python -m tests.witness", description=__doc__)
    parser.add_argument("suites", nargs="*", help="part of the names of the suites to run (default: all)")
    parser.add_argument("--write", action="store_true", help="write the table of docs/internals/local-stack.md")
    arguments = parser.parse_args()
    chosen = [one for one in SUITES if not arguments.suites or any(part in one.name for part in arguments.suites)]
    found = {}
    for suite in chosen:
        # Each suite gets a stack of its own: what one leaves behind, no other sees.
        with running() as stack:
            found[suite.name] = run(suite, stack)
        sys.stdout.write(f"{suite.name}: {counted(found[suite.name])}\n")
        sys.stdout.flush()
    problems = compare(found) + tabulate(found, write=arguments.write)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    sys.exit(1 if problems else 0)


def run(suite: Suite, stack: Stack) -> dict[str, str]:
    """The outcome of each case."""
    anonymous: Any = AnonymousCredentials
    os.environ |= stack.variables()
    public_data.create(
        bigquery.Client(project=PROJECT, credentials=anonymous()),
        storage.Client(project=PROJECT, credentials=anonymous(), client_options={"api_endpoint": stack.storage}),
    )
    with tempfile.TemporaryDirectory(prefix="witness-") as folder:
        results = Path(folder) / "results.json"
        (archive,) = sorted(SOURCES.glob(f"{suite.archive}-[0-9]*.tar.gz"))
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        (place,) = (one for one in Path(folder).iterdir() if one.is_dir())
        # Its package is that of the environment.
        environment = {**os.environ, "PYTHONPATH": str(HERE / "suites"), "WITNESS_RESULTS": str(results)}
        options = [
            "-p",
            "strangers",
            "-q",
            "--timeout",
            str(suite.seconds),
            "-o",
            "addopts=",
            "--no-header",
            "--tb=line",
            "-rs",
        ]
        with (Path(tempfile.gettempdir()) / f"witness-{suite.name.replace(' ', '-')}.log").open("wb") as log:
            subprocess.run(
                [suite.python, "-m", "pytest", *options, *suite.paths],
                cwd=place,
                env=environment,
                stdout=log,
                stderr=log,
                check=False,
            )
        if not results.exists():
            raise SystemExit(f"{suite.name} did not run: see {log.name}")
        outcomes: dict[str, str] = json.loads(results.read_text(encoding="utf-8"))
    return outcomes


def counted(outcomes: dict[str, str]) -> str:
    """The number of cases by outcome."""
    counts = Counter(outcomes.values())
    return ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("passed", "failed", "skipped") if counts[outcome])


def reasons() -> list[dict[str, Any]]:
    """The groups of cases that are expected to fail, each with its reason."""
    return list(tomllib.loads(EXPECTED.read_text(encoding="utf-8"))["group"])


def name_of(case: str) -> str:
    """The function of a case, with its parameters."""
    function, bracket, parameters = case.partition("[")
    return f"{function.rpartition('::')[2]}{bracket}{parameters}"


def listed(suite: str, case: str) -> str | None:
    """Why a case is expected to fail; None for one that must pass."""
    for group in reasons():
        for pattern in group["cases"].get(suite, ()):
            if fnmatch.fnmatchcase(name_of(case), pattern):
                return str(group["reason"])
    return None


def compare(answers: dict[str, dict[str, str]]) -> list[str]:
    """Cases that fail although they are not listed, or pass although they are, and lines that name no case."""
    problems = []
    for suite, outcomes in answers.items():
        for case, outcome in outcomes.items():
            why = listed(suite, case)
            if outcome == "failed" and why is None:
                problems.append(f"{suite}: {case} fails, and expected.toml does not list it")
            if outcome == "passed" and why is not None:
                problems.append(f"{suite}: {case} passes, and expected.toml lists it: {why}")
        for group in reasons():
            for pattern in group["cases"].get(suite, ()):
                if not any(fnmatch.fnmatchcase(name_of(case), pattern) for case in outcomes):
                    problems.append(f"{suite}: no case is named {pattern}, which expected.toml lists")
    return problems


def tabulate(answers: dict[str, dict[str, str]], *, write: bool) -> list[str]:
    """Compare the rows of these suites in the table of the documentation with the outcomes, or write them."""
    rows = {}
    for suite, outcomes in answers.items():
        counts = Counter(outcomes.values())
        why = Counter(listed(suite, case) for case, outcome in outcomes.items() if outcome == "failed")
        named = "; ".join(
            f"{reason} ({count})" for reason, count in sorted(why.items(), key=lambda one: (-one[1], str(one[0])))
        )
        rows[suite] = f"| {suite} | {counts['passed']} | {counts['failed']} | {counts['skipped']} | {named} |"
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARKS[0])
    table, _, after = rest.partition(MARKS[1])
    known = {line.split(" | ")[0].removeprefix("| "): line for line in table.splitlines() if line.startswith("| ")}
    lines = ["| suite | passed | not passed | skipped | why not |", "|---|---|---|---|---|"]
    lines += [line for suite in SUITES if (line := rows.get(suite.name) or known.get(suite.name))]
    made = f"{before}{MARKS[0]}\n\n" + "\n".join(lines) + f"\n\n{MARKS[1]}{after}"
    if write:
        DOCS.write_text(made, encoding="utf-8")
    return (
        []
        if write or made == text
        else ["the table of docs/internals/local-stack.md is not that of this run: make witness WRITE=1"]
    )


if __name__ == "__main__":
    main()
