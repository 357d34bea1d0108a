"""Mistakes of a newcomer: each is answered in one sentence that names the fix, and nothing is exported or restored."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bqdump_local.stack import Stack
from integration.stage import Stage

MISTAKES = [
    ("run --bucket gs://my-exports", "without gs:// and without a folder; --to takes gs://BUCKET/PREFIX"),
    ("run --format parket", "did you mean parquet?"),
    ("plan --to folder --format avro", "--format avro: the read route writes no Avro files (orders). Set --format to "),
    ("run --format parquet --compression zip", "Expected none, snappy, gzip or zstd"),
    ("run --include orders;customers", "Separate patterns by commas"),
    ("run --exclude *", "To export a selection separately, give it a --prefix of its own"),
    ("run --prefix gs://my-exports/nightly", "expected folder names separated by single slashes"),
    ("run --dataset my-project.sales", "A project is named with --project, tables with --include"),
    ("run --dataset my-project:sales", "A project is named with --project, tables with --include"),
    ("run --dataset sales-2026", "expected a dataset id: letters, digits and _, without the project"),
    ("run --tables orders", "To export only some tables, use --include"),
    ("run --snapshot-time yesterday", "a time with time zone, such as 2026-01-31T03:00:00Z"),
    ("run --snapshot-time 2099-01-31T00:00:00Z", "is in the future"),
    ("run --path {table}.parquet", "For example: {table}/{table}_*.{ext}"),
    ("run --prune --keep-daily 7d", "expected a number of runs"),
    ("run --max-bytes-billed 10gigs", "expected a size such as 10GB or 1 TiB"),
    ("run --notify slack", "expected an address such as https://example.com/hook"),
    ("run --labels team", "expected key=value"),
    ("run --iceberg", "Use --format parquet for all tables"),
    ("run --price-per-tib $5", "expected a price in dollars such as 6.25"),
    ("run --incremental=yes", "Write --incremental alone, or --no-incremental"),
    ("run sales", "A setting is given with its flag, such as --dataset sales"),
    ("run --to ./exports --bucket my-exports", "Remove one of them"),
    ("restore --project p-1234", "Name the dataset: [PROJECT.]DATASET"),
    ("restore --into my-project.copy.orders", "Write [PROJECT.]DATASET"),
    ("restore --into my-project.copy --replace --missing-only", "Use one of them"),
    ("restore --into my-project.copy --schema-only --data-only", "Use one of them"),
    ("restore --into my-project.copy --schema-only --verify", "Without rows there is nothing to compare"),
    ("restore --plan --data-only", "--data-only: it restores rows into tables that exist"),
    ("restore --into my-project.copy --data-only --with-policies", "Only rows are restored"),
    ("restore --into my-project.copy --as a.b", "{table} stands for that in the export"),
    ("restore --into my-project.copy --as {tabel}_old", "the only placeholder is {table}"),
    ("restore --into my-project.copy --tables-from names.txt", "--tables-from names.txt: No such file or directory"),
    ("restore latest --into my-project.copy", "without a name, commands use the published run"),
    ("restore yesterday --into my-project.copy", "A time is an option: --as-of yesterday. List the runs: bqdump runs"),
    ("restore mondy --into my-project.copy", "did you mean monday?"),
    ("status mondy", "did you mean monday?"),
    ("status --run-id monday", "A run is named without a flag: bqdump status RUN."),
    ("verify --run monday", "A run is named without a flag: bqdump verify RUN."),
    ("tag monday", "Did you mean runs --tag TAG RUN?"),
    ("copy my-vault", "Write gs://my-vault, s3://my-vault or ./my-vault."),
    ("copy monday", "Name the destination first: bqdump copy DEST monday"),
    ("drill --from-vault", "bqdump drill --to gs://VAULT --trust KEYFILE"),
    ("erase order", "did you mean 'orders'?"),
    ("erase orders --before 2020-01-01", "no kept run has it as of a time before 2020-01-01"),
    ("drill --include orders --sample 10%", "--sample, which choose tables in turn. Use one of them"),
    ("drill --tables 0", "expected at least 1 table"),
    ("drill --sample ten", "expected a share such as 10%"),
    ("verify --read all", "such as 10%"),
    ("prune", "Set at least one, such as --keep-daily 7"),
    ("runs --since 7d", "Add --growth"),
    ("runs --growth --since yesterday", "a date such as 2026-01-31, or a time before the run such as 7d"),
    ("runs --tag keep", "For example: bqdump runs --tag keep RUN"),
    ("report --output /nowhere/report.html", "Create the folder first: mkdir -p /nowhere"),
    ("report --drill --since monday", "Leave one of them out"),
    ("doctor --service-account me", "such as bqdump@my-project.iam.gserviceaccount.com"),
    ("render job", "--region: missing: region of the job, e.g. europe-west1. "),
    ("backup", "Did you mean run?"),
    ("--bucket my-exports run", "Options follow the command: bqdump run --bucket …"),
    ("help setings", "Did you mean bqdump help settings?"),
    ("local start", "Its commands: down, execute, seed, up"),
]
# A placeholder of core.wording that no front end has filled.
UNFILLED = re.compile(r"\{(setting|required|call):")


@pytest.fixture(scope="module")
def exported(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A dataset with a published run."""
    made = Stage(stack, tmp_path_factory.mktemp("exported"))
    made.table("orders")
    assert made.run("--run-id", "monday").code == 0
    yield made
    made.close()


@pytest.mark.parametrize(("typed", "fix"), MISTAKES)
def test_a_mistake_is_answered_in_one_sentence_that_names_the_fix(exported: Stage, typed: str, fix: str) -> None:
    before = exported.objects()
    called = exported.command(*typed.split(" "))
    assert called.code in (2, 5)
    assert fix in called.err
    assert called.err.startswith("bqdump: ")
    assert called.err.count("\n") == 1
    assert not UNFILLED.search(called.err)
    assert exported.objects() == before
