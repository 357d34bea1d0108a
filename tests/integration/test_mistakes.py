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
    (
        "plan --bucket nosuch",
        "the bucket does not exist. Check its name, or create it: gcloud storage buckets create gs://",
    ),
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
    ("run --ping uuid", "expected an address such as https://example.com/hook"),
    ("run --labels team", "expected key=value"),
    ("run --iceberg", "Use --format parquet for all tables"),
    ("run --price-per-tib $5", "expected a price in dollars such as 6.25"),
    ("run --incremental=yes", "Write --incremental alone, or --no-incremental"),
    ("run sales", "A setting is given with its flag, such as --dataset sales"),
    ("run --to ./exports --bucket my-exports", "Remove one of them"),
    ("restore --project p-1234", "Name the dataset: [PROJECT.]DATASET"),
    ("run --to gs:/my-exports/nightly", "expected gs://my-exports/nightly"),
    ("copy s3:/my-vault", "expected s3://my-vault"),
    ("restore --into my-project.copy.orders", "Write [PROJECT.]DATASET, and choose tables with --include"),
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
    ("ls --as-of tomorrow", "--as-of: invalid time 'tomorrow'. Write a time with its zone"),
    ("sql --command=", "--command: it is empty"),
    ("prune --keep-last 1 --yes \t", "an argument: it is empty. Leave it out, or give it a value"),
    ("verify -- \t", "an argument: it is empty. Leave it out, or give it a value"),
    ("restore --into my-project.copy --partitions \t", "--partitions: it is empty. Leave it out, or give it a value"),
    ("restore --into my-project.copy --partitions ,", "--partitions: it names nothing. Without it, everything"),
    ("restore --into my-project.copy --include=", "--include: it is empty. Leave it out, or give it a value"),
    ("drill --include ,", "--include: it names nothing. Without it, everything"),
    ("sql --command=FROM\tordrs", "Did you mean orders?"),
    (
        "runs --to ./nowhere",
        "bqdump: cannot find ./nowhere: there is no such folder. To export there: bqdump run --to ./nowhere",
    ),
    ("status --to my-exports", "A bucket is written gs://my-exports"),
    ("status mondy", "did you mean monday?"),
    ("status --run-id monday", "A run is named without a flag: bqdump status RUN"),
    ("verify --run monday", "A run is named without a flag: bqdump verify RUN"),
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
    ("help setings", "Did you mean `bqdump help settings`?"),
    ("local start", "bqdump: start: unknown command. Its commands: down, execute, seed, up"),
    ("local uup", "bqdump: uup: unknown command. Did you mean `bqdump local up`?"),
    ("local down --folder stack", "--folder precedes the command: bqdump local --folder … down"),
    ("local seed --dataset sales.orders", "bqdump: --dataset: invalid value 'sales.orders': expected a dataset id"),
    ("local seed --target gs://x", "bqdump: --target: invalid value 'gs://x'"),
    ("ui --port 99999", "--port: 99999 is not a whole number from 0 to 65535"),
    ("keys new nowhere/signing", "Create the folder first: mkdir -p nowhere"),
    # As with pg_dump and pg_restore.
    ("run -t orders", "-t: unknown option. Did you mean --include?"),
    ("run -T orders", "Did you mean --exclude?"),
    ("run --exclude-table orders", "Did you mean --exclude?"),
    ("run -d sales", "Did you mean --dataset?"),
    ("run --schema sales", "Did you mean --dataset?"),
    ("run -j 4", "Did you mean --concurrency?"),
    ("run -f exports", "-f: unknown option. Did you mean --to?"),
    ("run --file exports", "--file: unknown option. Did you mean --to?"),
    ("restore -d copy", "Did you mean --into?"),
    ("restore --clean --into copy", "Did you mean --replace?"),
    ("restore --if-exists --into copy", "Did you mean --replace?"),
    ("restore my-project.copy", "A dataset is named with --into my-project.copy"),
    # As with restic and rsync.
    ("run --repo gs://my-exports", "Did you mean --to?"),
    ("prune --older-than 30d", "Did you mean --keep-within?"),
    ("prune --keep-days 7", "Did you mean --keep-daily?"),
    ("prune -y --keep-last 1", "Did you mean --yes?"),
    ("prune --force --keep-last 1", "Did you mean --yes?"),
    ("verify --read-data", "Did you mean --read?"),
    ("sync gs://a gs://b", "Did you mean copy?"),
    ("show monday", "Did you mean ls?"),
    # As with bq, gcloud and aws.
    ("run --destination_format=PARQUET", "Did you mean --format?"),
    ("run --project_id my-project", "Did you mean --project?"),
    ("run --dataset_id sales", "Did you mean --dataset?"),
    ("run --dry_run", "`bqdump plan` shows what a run would do."),
    ("run --keep_daily 7", "--keep_daily: unknown option. Did you mean --keep-daily?"),
    ("restore --dataset copy monday", "Did you mean --into?"),
    ("run --dataset `my-project.sales`", "A project is named with --project, tables with --include"),
    ("run --dataset my-project.sales.orders", "A project is named with --project, tables with --include"),
    ("run --bucket 'my-exports'", "Leave out the quotes: what sets it takes them as part of the value."),
    ("run --to 'exports'", "expected a path without quotes"),
    ("run --to file:///srv/exports", "write the folder alone: /srv/exports"),
    ("run --to https://storage.googleapis.com/my-exports/a", "write gs://my-exports/a"),
    ("run --to C:\\exports", "this is a folder of Windows; expected a path of this machine"),
    ("copy gs://my-exports gs://my-vault", "Name the export to copy with --to or --bucket."),
    ("copy --source gs://x", "with --bucket, --prefix or --to"),
    ("ls gs://my-exports", "A place is named with --to gs://my-exports"),
    ("sql -q SELECT", "Did you mean --command?"),
    ("sql --format csv", "Did you mean --csv or --json?"),
    # As with dbt and others.
    ("run --select orders", "Did you mean --include?"),
    ("run --full-refresh", "Did you mean --no-incremental?"),
    ("run --where id>1", "[tables.NAME] with columns and where"),
    ("run --log-level debug", "Did you mean --verbose?"),
    ("run --allow partial", "to publish without tables that fail: --allow-partial"),
    ("run --ignore-errors", "Did you mean --allow-partial?"),
    ("run --dataset sales --dataset ops", "--dataset: was given twice. Separate several by commas"),
    ("restore --into a --into b", "--into: was given twice. Write one of them."),
    ("copy gs://backup --to gs://a --to gs://b", "--to: was given twice. Write one of them."),
    ("prune --prefix a --prefix b", "--prefix: was given twice. Write one of them."),
    ("run --config nosuch.toml", "--config nosuch.toml: No such file or directory. Write one: bqdump init"),
    ("status --follow", "Did you mean --watch?"),
    ("doctor --fix", "It prints the commands that fix what it finds."),
    ("ui --host 0.0.0.0", "It serves this machine only"),
    ("run --credentials key.json", "gcloud auth application-default login"),
    ("version", "Did you mean bqdump --version?"),
]
# Statements as the console of BigQuery has them.
QUALIFIED = ["SELECT * FROM my-project.sales.orders", "SELECT * FROM sales.orders"]
# What a settings file says, beside its project, dataset and bucket.
FILES = [
    (b"format = csv", 'Write text in quotes, such as format = "csv"'),
    (b'project = "\xe9t\xe9"', "it is not valid UTF-8"),
    (b'[settings]\nformat = "csv"', "Settings are written without a section, except for [retention] and [tables.NAME]"),
    (b'BQDUMP_FORMAT = "csv"', "Did you mean 'format'?"),
    (b'SOURCE_DATASET = "sales"', "Did you mean 'dataset'?"),
    (b'color = "red"', "All settings: bqdump help settings"),
    (
        b'[tables]\norders = ["id"]',
        "bqdump.toml: tables.orders: expected a section with settings, such as [tables.orders]",
    ),
    (b'[tables.orders]\ncolumns = "id"', "bqdump.toml: tables.orders.columns: expected a list of column names"),
    (b'[tables.customers]\nwhere = "a > 1"', "[tables.customers]: matches no table of the dataset"),
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


@pytest.mark.parametrize("statement", QUALIFIED)
def test_a_table_that_is_named_with_its_dataset_is_answered_with_its_name(exported: Stage, statement: str) -> None:
    called = exported.command("sql", "-c", statement)
    assert called.code == 2
    assert "A table is named alone, without project and dataset: orders." in called.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("variable", "value", "fix"),
    [
        ("DESTINATION_BUCKET", '"my-exports"', "DESTINATION_BUCKET: '\"my-exports\"' is not a bucket name"),
        ("SOURCE_DATASET", "'sales'", "Leave out the quotes"),
        ("BQDUMP_KEEP_DAILY", '"7"', "BQDUMP_KEEP_DAILY: invalid value '\"7\"': expected a number of runs"),
        ("BQDUMP_PATIENCE", "10", "it has no unit: write 10s, 10m"),
    ],
)
def test_a_mistake_in_a_variable_is_answered_in_one_sentence(
    exported: Stage, variable: str, value: str, fix: str
) -> None:
    called = exported.command("runs", env={variable: value})
    assert called.code == 2
    assert fix in called.err
    assert called.err.count("\n") == 1


@pytest.mark.parametrize(("content", "fix"), FILES)
def test_a_mistake_in_the_settings_file_is_answered_in_one_sentence(exported: Stage, content: bytes, fix: str) -> None:
    file = exported.folder / "bqdump.toml"
    file.write_bytes(content)
    try:
        called = exported.command("plan")
    finally:
        file.unlink()
    assert called.code == 2
    assert fix in called.err
    assert called.err.startswith("bqdump: ")
    assert called.err.count("\n") == 1


def test_a_settings_file_may_begin_with_the_mark_that_editors_of_windows_write(exported: Stage) -> None:
    file = exported.folder / "bqdump.toml"
    file.write_bytes(b'\xef\xbb\xbfformat = "parquet"\r\n')
    try:
        assert exported.command("plan").code == 0
    finally:
        file.unlink()


@pytest.mark.parametrize(
    ("variable", "meant"), [("BQDUMP_BUCKET", "DESTINATION_BUCKET"), ("BQDUMP_DATASET", "SOURCE_DATASET")]
)
def test_a_variable_that_only_looks_like_a_setting_is_named_with_the_one_that_is(
    exported: Stage, variable: str, meant: str
) -> None:
    called = exported.command("runs", env={variable: "x"})
    assert f"unknown setting {variable}; did you mean {meant}?" in called.err


def test_a_place_without_runs_is_answered_with_a_command_that_exports_there(exported: Stage) -> None:
    for command in (["runs"], ["runs", "--growth"], ["diff"], ["ls"]):
        called = exported.command(*command, "--prefix", "nightly")
        assert (called.text + called.err).endswith("Start one: bqdump run --prefix nightly\n"), command


def test_a_dataset_without_tables_is_exported_with_a_warning(exported: Stage) -> None:
    exported.big.create_dataset("empty")
    called = exported.command("run", "--dataset", "empty", "--prefix", "empty")
    assert called.code == 0
    assert "warning: empty has no table to export\n" in called.err


def test_an_export_that_leaves_out_every_table_says_why_it_is_empty(exported: Stage) -> None:
    called = exported.command("run", "--exclude", "*", "--prefix", "none")
    empty = f"{exported.dataset} has no table to export: include and exclude leave out all that it has\n"
    assert empty in called.err
