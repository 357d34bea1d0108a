"""Which tests `make quick` and `make test` run, as a table. `make test-all` runs all of them, and so does plain pytest.

A row is a folder, a file or a test, and the longest row that fits a test counts; what no row fits is left to
`make test-all`. The value is how many cases of each test run: ALL, or the first so many for each variant of its
fixtures, such as each adapter of the contract suite.

Tests that try something at each of many places, such as each request at which a process is killed, take the places from
`points`: every one in `make test-all`, every fourth in `make test`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple, TypeVar

Point = TypeVar("Point")
ALL, NONE = 1_000_000, 0

# In memory, but for the files below, which start servers or search for long.
MEMORY = ("core", "pool", "repository", "export", "check", "observe", "restore", "retain", "copying", "sets")
QUICK = {
    **dict.fromkeys(MEMORY, ALL),
    "copying/test_requests.py": NONE,
    "copying/test_thieves.py": NONE,
    "export/test_every_call.py": NONE,
    "export/test_fuzzed_documents.py": NONE,
    "restore/test_two_restores.py": NONE,
}

# On the local stack: each command as a process, and what only a process shows.
JOURNEYS = (
    "copy.py::test_bad_input_is_one_sentence_and_changes_nothing",
    "copy.py::test_between_buckets_the_service_moves_the_bytes",
    "copy.py::test_sigterm_ends_a_copy_with_how_to_resume_it",
    "demo.py::test_the_demo_backs_up_a_dataset_as_init_does_loses_it_and_brings_it_back",
    "erase.py::test_an_erased_table_is_named_as_such_wherever_a_run_is_read",
    "erase.py::test_the_printed_command_finishes_an_interrupted_erasure_without_a_reason",
    "every_command.py",
    "killed_tasks.py::test_a_run_survives_kills_at_random_moments",
    "killed_tasks.py::test_sigterm_ends_a_task_at_once_and_its_jobs_go_on",
    "listing.py",
    "main_job.py::test_any_number_of_tasks_exports_each_table_once",
    "main_job.py::test_more_tables_than_a_page_of_a_listing_are_all_exported_once",
    "main_job.py::test_real_processes_share_the_tables",
    "main_job.py::test_three_settings_give_the_layout_of_the_naive_script",
    "progress.py::test_a_terminal_shows_bars_and_keeps_none_of_them",
    "progress.py::test_watching_reports_each_change_and_ends_with_the_run",
    "restore.py::test_tasks_of_which_one_is_killed_while_jobs_run_load_nothing_twice",
    "restore.py::test_values_are_compared_with_the_files_and_a_second_call_has_nothing_to_do",
    "round_trip.py",
    "sets.py::test_a_set_is_completed_by_a_rerun_after_a_task_was_killed",
    "sets.py::test_a_set_is_restored_by_the_same_command_after_a_task_was_killed",
    "standing_run_id.py",
    "streams.py",
)
# What a change must not forget: pages, generated references, deployments.
PAGES = (
    "deploy/test_render.py",
    "docs/test_architecture.py",
    "docs/test_log_events.py",
    "docs/test_pages.py",
    "docs/test_japanese.py",
    "docs/test_reference.py",
    "docs/test_source.py",
    "docs/test_words.py",
)
TEST = {
    **QUICK,
    **dict.fromkeys(("cli", "suite", "ui"), ALL),
    "suite/test_mutations.py::test_what_tests_reach_is_recorded_and_a_mutant_is_killed_by_the_first_of_them": NONE,
    **dict.fromkeys(("export/test_every_call.py", "export/test_fuzzed_documents.py"), ALL),
    "adapters": 2,
    # What each port promises, once with each adapter.
    "contract": 1,
    **dict.fromkeys(
        (
            "cli/test_interrupts.py",
            "copying/test_requests.py",
            "copying/test_thieves.py",
            "restore/test_two_restores.py",
        ),
        1,
    ),
    # The first schedules of each law, and a bug that breaks it.
    "simulation/test_laws.py": 3,
    "simulation/test_laws.py::test_a_seed_replays_exactly_in_any_process": NONE,
    "simulation/test_loop.py": ALL,
    "simulation/test_mutations.py": ALL,
    "simulation/test_mutations.py::test_every_other_known_bug_is_found": NONE,
    **{f"integration/test_{name}": 1 for name in JOURNEYS},
    **dict.fromkeys(PAGES, ALL),
}
# All tests, in two halves: each worker imports the tests of its half only.
FIRST_HALF = (*MEMORY, "cli", "simulation", "suite", "ui")
SECOND_HALF = (
    "adapters", "benchmarks", "browser", "contract", "deploy", "docs", "engines", "formats", "iceberg",
    "integration", "local", "witness",
)  # fmt: skip


class Aside(NamedTuple):
    """A part of `make test-all` that is about files next to the product. about: these files and folders."""

    tests: tuple[str, ...]
    about: tuple[str, ...]


# `.ci/run` runs a part when a change reaches what it is about (see tests/untouched.py), and all of them every night.
ASIDE = {
    "stand-ins": Aside(
        ("local", "witness/test_second_opinion.py"),
        ("src/bqdump_local", "src/bqdump_claims", "tests/local", "tests/witness"),
    ),
    "deployments": Aside(
        ("deploy",),
        ("Dockerfile", "deploy", "docs", "src/bqdump/core/settings", "src/bqdump/render", "src/bqdump_local",
         "tests/deploy"),
    ),
    "walks": Aside(
        ("docs/test_disaster.py", "docs/test_install.py", "docs/test_notebook.py", "docs/test_recipes.py",
         "docs/test_samples.py", "docs/test_site.py"),
        ("README.md", "deploy", "docs", "src/bqdump_local", "tests/docs"),
    ),
}  # fmt: skip


class Tier(NamedTuple):
    """What one call of pytest runs. rows: of the table, None for all tests. step: of the points, each so many."""

    rows: Mapping[str, int] | None
    step: int


TIERS = {
    "quick": Tier(QUICK, 4),
    "test": Tier(TEST, 4),
    "memory": Tier(dict.fromkeys(FIRST_HALF, ALL), 1),
    "servers": Tier(dict.fromkeys(SECOND_HALF, ALL), 1),
    "all": Tier(None, 1),
}
_chosen = TIERS["all"]
_without = dict[str, int]()


def choose(name: str, without: Iterable[str] = ()) -> None:
    """Take this tier for this process. without: parts of ASIDE that are left out."""
    global _chosen, _without
    _chosen = TIERS[name]
    _without = {test: NONE for part in without for test in ASIDE[part].tests}


def points(where: Iterable[Point]) -> Iterator[Point]:
    """The places at which a test tries something: the first and every so many after it."""
    return islice(where, None, None, _chosen.step)


def cases(test: str, rows: Mapping[str, int], otherwise: int = NONE) -> int:
    """How many cases of a test run. test: its file below tests/, `::` and its name. otherwise: where no row fits."""
    file, _, _ = test.partition("::")
    names = file.split("/")
    rows_that_fit = (test, *("/".join(names[:length]) for length in range(len(names), 0, -1)))
    return next((rows[row] for row in rows_that_fit if row in rows), otherwise)


def leaves_out(path: str) -> bool:
    """Whether no test of this file, or of this folder below tests/, runs: it need not be imported."""
    rows = _chosen.rows
    if cases(path, _without, ALL) == NONE:
        return True
    if rows is None or cases(path, rows):
        return False
    return not any(number and row.startswith((f"{path}/", f"{path}::")) for row, number in rows.items())


class Selection:
    """Takes the cases of tests that run, in their order."""

    def __init__(self) -> None:
        self._taken = Counter[tuple[str, tuple[str, ...]]]()

    def takes(self, test: str, variants: tuple[str, ...]) -> bool:
        """Whether the next case of this test runs. variants: of its fixtures."""
        if _chosen.rows is None:
            return True
        self._taken[test, variants] += 1
        return self._taken[test, variants] <= cases(test, _chosen.rows)
