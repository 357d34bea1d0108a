"""Settings: where they come from, which wins, and what each bad value says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.cli.errors import Flags
from bqdump.core.errors import UsageError
from bqdump.core.risks import Risk
from bqdump.core.settings.resolve import NEVER_EMPTY, arguments, check, environment, file, resolve
from bqdump.core.settings.resolve import flags as given_flags
from bqdump.core.settings.settings import BY_NAME, RETENTION, RULES, SETTINGS, TARGET, Settings
from bqdump.core.settings.table_settings import TableSettings
from bqdump.core.tables.catalog import Mask
from bqdump.core.times import parse_time, rfc3339
from core.strategies import settings

REQUIRED = {"project": "proj", "dataset": "data", "bucket": "target"}
# One good value and what it becomes, then bad values, as texts.
VALUES: dict[str, tuple[str, Any, list[str]]] = {
    "project": ("my-proj", "my-proj", ["a b", "-x", "", "x/y", "my-proj.data"]),
    "dataset": (
        " sales_2026 , ops_* ",
        "sales_2026,ops_*",
        ["a.b", "a-b", "x" * 1025, "", " , ", "sales,ops,sales", "_bqdump", "a,b c", "proj:sales"],
    ),
    "exclude_datasets": ("tmp_*, old", ("tmp_*", "old"), []),
    "bucket": ("my-bucket", "gs://my-bucket/", ["gs://b-b", "UPPER", "a/b", "ab", ""]),
    "to": ("./out ", "./out/", ["s3://", "ftp://bucket-1/x", "gs://", "gs://UPPER/x", "gs://bucket-1/a//b", "://x"]),
    "prefix": (
        "/a/b/",
        "gs://target/a/b/",
        ["a//b", "../x", "a/./b", "x*", "a[b", "new\nline", "_bqdump", "a/_bqdump/b", "x" * 601, "é" * 301],
    ),
    "include": ("a*, b", ("a*", "b"), []),
    "exclude": ("tmp_*,", ("tmp_*",), []),
    "keep_others": ("yes", True, ["perhaps", ""]),
    "incremental": ("true", True, ["perhaps"]),
    "full_every": ("7d", 604_800, ["weekly", "-1", "3661d"]),
    "route": ("Query", "query", ["fast", "", "a=query", "query,read"]),
    "format": ("NDJSON", "json", ["xls", ""]),
    "compression": ("GZIP", "gzip", []),
    "partition_times": ("on", True, ["some", ""]),
    "header": ("off", False, ["maybe", ""]),
    "delimiter": ("tab", "\t", ["", "ab", '"', "\n", "\r", "\0", "\x80", "é", "€", "🦆"]),
    "iceberg": ("on", True, ["some", ""]),
    "on_unsupported": ("String", "string", ["", "text", "null"]),
    "null_marker": ("\\N", "\\N", ['a"', "a\nb", "\r", "\0", "\udcff"]),
    "file_size": ("1.5MiB", 1_572_864, ["big", "-1", "1 parsec", "1", "99999"]),
    "row_group_rows": ("100000", 100_000, ["-1", "many", "1.5", ""]),
    "read_memory": ("64 MB", 64_000_000, ["1MB", "all"]),
    "read_split": ("2GB", 2_000_000_000, ["big", "-1"]),
    "path": ("{table}_*.{ext}", "{table}_*.{ext}", []),
    "partitions_min_bytes": ("2GB", 2_000_000_000, ["big", "-1"]),
    "job_project": ("jobs-1", "jobs-1", ["a b"]),
    "location": ("europe-west1", "europe-west1", ["EU!", "a b"]),
    "concurrency": ("7", 7, ["0", "1001", "many", "1.5", ""]),
    "labels": (
        "team=data, x=",
        {"team": "data", "x": ""},
        ["team", "Team=x", "1a=x", "a=B", "a=" + "x" * 64, "a=1,a=2", ",".join(f"k{n}=v" for n in range(65))],
    ),
    "kms_key": (
        "projects/p/locations/eu/keyRings/r/cryptoKeys/k",
        "projects/p/locations/eu/keyRings/r/cryptoKeys/k",
        ["k", "projects/p/locations/eu/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1", "projects//locations/eu"],
    ),
    "run_id": ("nightly-7", "nightly-7", ["a b", "-a", "x" * 101, "a/b", "ü"]),
    "snapshot_time": (
        "2026-01-31T03:00:00Z",
        "2026-01-31T03:00:00Z",
        ["2026-01-31", "yesterday", "2026-01-31T03:00:00"],
    ),
    "patience": ("15m", 900, ["soon", "0", "25h", "-1s", "1.5m"]),
    "endpoint": (
        "https://minio.example.com:9000/",
        "https://minio.example.com:9000",
        ["minio.example.com", "ftp://x", "https://", "https://u:p@example.com", "https://a b", "https://x/y", "s3://x"],
    ),
    "job_timeout": ("2h", 7200, ["soon", "0", "25h"]),
    "notify": (
        "https://example.com/hook?a=b",
        "https://example.com/hook?a=b",
        ["example.com", "http://example.com", "https://", "https://u:p@example.com", "https://a b", "file:///x"],
    ),
    "ping": (
        "https://hc.example.com/4b1?create=1",
        "https://hc.example.com/4b1?create=1",
        ["hc.example.com", "http://hc.example.com/4b1", "https://u:p@hc.example.com"],
    ),
    "sign": ("signing.key", "signing.key", ["-----BEGIN PRIVATE KEY-----", "env:", "env:a b", "gcpkms://x", "s3://x"]),
    "trust": ("a.pub, env:KEY", ("a.pub", "env:KEY"), ["-----BEGIN PUBLIC KEY-----", "env:1"]),
    "newest_within": ("26h", 93_600, ["soon", "26"]),
    "rpo": ("26h", 93_600, ["soon", "26", "0"]),
    "rto": ("4h", 14_400, ["soon", "4", "0"]),
    "allow_partial": ("yes", True, ["2"]),
    "max_bytes_billed": ("1.5 GB", 1_500_000_000, ["much", "-1", "1 ZB", "GB"]),
    "price_per_tib": ("6.25", 6.25, ["much", "-1", "$6"]),
    "strict": ("yes", True, ["2"]),
    "allow": (
        "skipped, masked-columns,skipped",
        (Risk.SKIPPED, Risk.MASKED_COLUMNS),
        ["skiped", "all", "other-location", "true"],
    ),
    "prune": ("yes", True, ["perhaps", ""]),
    "keep_last": ("7", 7, ["-1", "many", "1.5", ""]),
    "keep_hourly": ("1000000000000", 10**12, ["-1"]),
    "keep_daily": ("14", 14, ["-1"]),
    "keep_weekly": ("8", 8, ["-1"]),
    "keep_monthly": ("12", 12, ["-1"]),
    "keep_yearly": ("0", 0, ["-1"]),
    "keep_within": ("30d", 2_592_000, ["soon", "-1d", "4000d", "1.5d"]),
    "keep_within_daily": ("30d", 2_592_000, ["soon", "7"]),
    "keep_within_weekly": ("90d", 7_776_000, ["soon"]),
    "keep_within_monthly": ("365d", 31_536_000, ["soon"]),
    "keep_tag": ("audit, v1.2,audit", ("audit", "v1.2"), ["a/b", "-x", "x" * 31, ",".join(f"t{n}" for n in range(51))]),
    "abandoned_after": ("1h", 3600, ["soon", "59m", "30"]),
    "tables": (
        '{"a*": {"where": "x > 1", "masks": {"b": "null"}}}',
        (TableSettings("a*", where="x > 1", masks={"b": Mask(null=True)}),),
        ["[1]", "{", '{"a": 1}', '{"a": {"colums": []}}', '{"a": {"where": "x) OR (y"}}', '{"a": {"format": "xml"}}'],
    ),
}
DAILY = {"partitions_min_bytes": 0}
# What some settings need besides.
NEEDED: dict[str, dict[str, Any]] = {
    "row_group_rows": {"format": "parquet"},
    "iceberg": {"format": "parquet"},
    "prune": {"keep_last": "1"},
}
BAD = [(name, bad) for name, (_, _, bads) in VALUES.items() for bad in bads]


def from_flags(**flags: Any) -> Settings:
    return resolve(given_flags(REQUIRED | flags))


def test_every_setting_is_tried_here() -> None:
    assert list(VALUES) == [setting.name for setting in SETTINGS]
    assert {*VALUES} - {*TARGET} | {"target"} == set(Settings.__struct_fields__)


def sources(flag: dict[str, Any], env: dict[str, str], toml: dict[str, Any], name: str = "bqdump.toml") -> Settings:
    return resolve(given_flags(flag), environment(env), file(toml, name))


@pytest.mark.parametrize("place", ["flag", "env", "toml"])
@pytest.mark.parametrize("name", VALUES)
def test_reads_a_setting_from_every_place(name: str, place: str) -> None:
    text, expected, _ = VALUES[name]
    flags: dict[str, Any] = REQUIRED | NEEDED.get(name, {})
    flags.pop("bucket" if name == "to" else name, None)
    given = {"flag": ({name: text}, {}, {}), "env": ({}, {BY_NAME[name].env: text}, {}), "toml": ({}, {}, {name: text})}
    flag, env, toml = given[place]
    found = sources(flags | flag, env, toml)
    assert (str(found.target) if name in TARGET else getattr(found, name)) == expected


def test_a_flag_wins_over_the_environment_and_that_over_the_file() -> None:
    env, toml = (
        {"BQDUMP_CONCURRENCY": "2", "BQDUMP_FORMAT": "avro"},
        {"concurrency": 3, "format": "json", "prefix": "x"},
    )
    found = sources(REQUIRED | {"concurrency": "1"}, env, toml)
    assert (found.concurrency, found.format, found.target.prefix) == (1, "avro", "x/")


@pytest.mark.parametrize(
    ("flags", "environ", "toml", "target"),
    [
        ({"to": "out"}, {"DESTINATION_BUCKET": "bucket-1"}, {}, "out/"),
        ({"bucket": "bucket-1"}, {"BQDUMP_TO": "out"}, {}, "gs://bucket-1/"),
        ({}, {"BQDUMP_TO": "out"}, {"bucket": "bucket-1"}, "out/"),
        ({}, {"DESTINATION_BUCKET": "bucket-1"}, {"to": "out"}, "gs://bucket-1/"),
        ({"to": "gs://bucket-2/a/b"}, {"DESTINATION_BUCKET": "bucket-1"}, {}, "gs://bucket-2/a/b/"),
        ({"to": "gs://bucket-2/a"}, {"BQDUMP_PREFIX": "x"}, {}, "gs://bucket-2/a/"),
        ({"prefix": "x"}, {"BQDUMP_TO": "gs://bucket-2/a"}, {}, "gs://bucket-2/x/"),
        ({"to": "gs://bucket-2", "prefix": "x"}, {}, {}, "gs://bucket-2/x/"),
        ({"to": "gs://bucket-2"}, {}, {"prefix": "x"}, "gs://bucket-2/x/"),
        ({"bucket": "bucket-1"}, {"BQDUMP_TO": "gs://bucket-2/a"}, {}, "gs://bucket-1/"),
    ],
)
def test_of_two_targets_the_one_closer_to_the_flags_wins(
    flags: dict[str, str], environ: dict[str, str], toml: dict[str, str], target: str
) -> None:
    given = {"project": "p-1", "dataset": "d"}
    assert str(sources(given | flags, environ, toml).target) == target


def test_two_targets_from_one_place_are_refused() -> None:
    given = {"project": "p-1", "dataset": "d"}
    with pytest.raises(UsageError, match=r"^BQDUMP_TO: two targets are given: out/ and bucket bucket-1\."):
        sources(given, {"DESTINATION_BUCKET": "bucket-1", "BQDUMP_TO": "out"}, {})
    with pytest.raises(UsageError, match=r"^--to: gs://bucket-1/a/ has a prefix, and --prefix gives another one\."):
        sources(given | {"to": "gs://bucket-1/a", "prefix": "b"}, {}, {})


@pytest.mark.parametrize(("name", "bad"), BAD)
@pytest.mark.parametrize("place", ["flag", "env", "toml"])
def test_a_bad_value_names_its_place(name: str, bad: str, place: str) -> None:
    flags: dict[str, Any] = dict(REQUIRED)
    flags.pop(name, None)
    setting = BY_NAME[name]
    given = {
        "flag": ({name: bad}, {}, {}, setting.flag),
        "env": ({}, {setting.env: bad}, {}, setting.env),
        "toml": ({}, {}, {name: bad}, f"my.toml: {name}"),
    }
    flag, env, toml, named = given[place]
    with pytest.raises(UsageError) as caught:
        sources(flags | flag, env, toml, "my.toml")
    assert caught.value.setting == name
    assert str(caught.value).startswith(named)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in VALUES if name != "price_per_tib"])
@pytest.mark.parametrize("value", [1.5, [1], {"a": 1}, [[]], object()])
def test_a_value_of_another_type_in_the_file_is_refused_in_one_sentence(name: str, value: Any) -> None:
    toml = REQUIRED | {name: value}
    with pytest.raises(UsageError, match=f"^bqdump.toml: {name}[:.]"):
        resolve(file(toml, "bqdump.toml"))


def test_native_types_of_the_file_are_taken() -> None:
    toml: dict[str, Any] = REQUIRED | {
        "include": ["a", "b*"], "header": False, "concurrency": 12, "labels": {"team": "data"},
        "snapshot_time": datetime(2026, 1, 31, 3, tzinfo=UTC),
    }  # fmt: skip
    found = resolve(file(toml, "bqdump.toml"))
    assert (found.include, found.header, found.concurrency) == (("a", "b*"), False, 12)
    assert (found.labels, found.snapshot_ms) == ({"team": "data"}, 1_769_828_400_000)


def test_a_local_time_of_the_file_is_refused() -> None:
    toml: dict[str, Any] = REQUIRED | {"snapshot_time": datetime(2026, 1, 31, 3)}  # noqa: DTZ001
    with pytest.raises(UsageError, match="time with time zone"):
        resolve(file(toml, "bqdump.toml"))


def test_an_unknown_setting_of_the_file_gets_a_guess() -> None:
    with pytest.raises(UsageError, match=r"^my\.toml: unknown setting 'compresion'\. Did you mean 'compression'\?$"):
        sources(REQUIRED, {}, {"compresion": "gzip"}, "my.toml")
    with pytest.raises(UsageError, match="All settings: bqdump help settings"):
        sources(REQUIRED, {}, {"qqqq": 1}, "my.toml")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(given_flags({"project": "proj"}))
    assert str(caught.value) == "missing: dataset and bucket."
    assert caught.value.sentence(Flags({}, {})) == (
        "missing: --dataset (SOURCE_DATASET) and --bucket (DESTINATION_BUCKET)."
    )
    assert resolve(given_flags({"bucket": "only"}), required=("bucket",)).target.bucket == "only"


def test_an_argument_is_named_without_dashes() -> None:
    with pytest.raises(UsageError, match=r"^run_id: invalid value 'a b'"):
        resolve(arguments(REQUIRED | {"run_id": "a b"}))
    with pytest.raises(UsageError, match=r"^compression: 'zstd' is not a codec of csv\. Expected none or gzip\.$"):
        resolve(arguments(REQUIRED | {"compression": "zstd"}))


@pytest.mark.parametrize("given", [{"bucket": "eu"}, {"to": "gs://eu/x"}])
def test_a_name_that_no_bucket_can_have_is_named(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="'eu' is not a bucket name: expected 3 to 222 lowercase letters"):
        resolve(given_flags({"dataset": "*"} | given))


@pytest.mark.parametrize("format_", ["csv", "json", "avro", "parquet"])
def test_a_codec_of_another_format_is_refused_with_those_that_fit(format_: str) -> None:
    with pytest.raises(UsageError, match=rf"'lzma' is not a codec of {format_}\. Expected none"):
        from_flags(format=format_, compression="lzma")


def test_the_same_check_holds_for_settings_from_elsewhere() -> None:
    with pytest.raises(UsageError, match="zstd"):
        check(settings(compression="zstd"))


def test_an_empty_optional_setting_means_none() -> None:
    found = from_flags(prefix="", run_id="", snapshot_time="", location="", job_project="", include="", labels="")
    assert found == settings()
    assert (found.jobs_in, found.snapshot_ms) == ("proj", None)


@pytest.mark.parametrize("name", NEVER_EMPTY)
@pytest.mark.parametrize("empty", ["", " ", " , "])
def test_nothing_is_checked_less_or_deleted_more_because_a_variable_is_not_set(name: str, empty: str) -> None:
    variables = {"PROJECT_ID": "proj", "SOURCE_DATASET": "data", "DESTINATION_BUCKET": "bucket"}
    for source in (given_flags(REQUIRED | {name: empty}), environment(variables | {BY_NAME[name].env: empty})):
        with pytest.raises(UsageError, match="empty value") as refused:
            resolve(source)
        assert refused.value.setting == name


def test_the_smallest_files_that_can_be_requested_are_100_kilobytes() -> None:
    assert from_flags(file_size="100KB").file_size == 100_000
    assert from_flags(file_size="0").file_size == 0
    with pytest.raises(UsageError, match="expected at least 100KB, or 0 for one file per stream"):
        from_flags(file_size="1")


OUTSIDE_DIGEST = {"concurrency": 7, "run_id": "x", "snapshot_time": "2026-01-31T03:00:00Z", "allow_partial": True,
                  "location": "EU", "max_bytes_billed": 5, "patience": 120, "prune": True, "job_timeout": 60, "notify": "https://a.b",
                  "sign": "k", "trust": ("k",), "newest_within": 60, "ping": "https://a.b", "rpo": 60, "rto": 60,
                  **dict.fromkeys(RETENTION, 3600), "keep_tag": ("audit",), "read_memory": 10**9, "read_split": 0,
                  "endpoint": "https://a.b", "strict": True, "price_per_tib": 5.0, "allow": ["row-policies", "skipped"],
                  "exclude_datasets": ["a"]}  # fmt: skip


def test_the_digest_changes_with_what_shapes_the_plan_and_with_nothing_else() -> None:
    plain = settings()
    assert {settings(**{name: value}).digest() for name, value in OUTSIDE_DIGEST.items()} == {plain.digest()}
    inside = [name for name in VALUES if name not in OUTSIDE_DIGEST]
    changed = {_with(plain, name, BY_NAME[name].parse(VALUES[name][0])).digest() for name in inside}
    assert len(changed | {plain.digest()}) == len(inside) + 1


def test_settings_of_a_set_change_the_digest_of_a_set_only() -> None:
    of_set = {"exclude_datasets": ["a"], "location": "EU"}
    digests = {settings(dataset="a*", **{name: value}).digest() for name, value in of_set.items()}
    assert len(digests | {settings(dataset="a*").digest()}) == 3


def test_the_only_dataset_cannot_be_left_out() -> None:
    with pytest.raises(UsageError, match="it leaves out the only dataset, sales"):
        from_flags(dataset="sales", exclude_datasets="sal*")
    assert from_flags(dataset="sales", exclude_datasets="ops_*").dataset == "sales"


def _with(plain: Settings, name: str, value: Any) -> Settings:
    if name == "to":
        return msgspec.structs.replace(plain, target=value)
    if name in TARGET:
        changed = {"bucket": "root", "prefix": "prefix"}[name]
        return msgspec.structs.replace(plain, target=msgspec.structs.replace(plain.target, **{changed: value}))
    return msgspec.structs.replace(plain, **{name: value})


@given(st.permutations([("a", "1"), ("b", "2"), ("c", "3")]))
def test_the_order_of_labels_does_not_change_the_digest(pairs: list[tuple[str, str]]) -> None:
    assert settings(labels=dict(pairs)).digest() == settings(labels={"a": "1", "b": "2", "c": "3"}).digest()


@given(st.integers(0, 4_102_444_800_000))
def test_a_moment_survives_its_text(milliseconds: int) -> None:
    assert parse_time(rfc3339(milliseconds)) == milliseconds


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_a_value_error(text: str) -> None:
    try:
        moment = parse_time(text)
    except ValueError as error:
        moment = 0 if "time with time zone" in str(error) else -1
    assert isinstance(moment, int)
    assert moment != -1


@given(st.sampled_from([setting.name for setting in SETTINGS]), st.text(max_size=20))
def test_any_text_for_any_setting_is_taken_or_refused_by_name(name: str, text: str) -> None:
    output = f"{name} is taken"
    try:
        resolve(given_flags(REQUIRED | {name: text}))
    except UsageError as error:
        output = str(error)
    assert BY_NAME[name].flag in output or name in output


def refused(**values: Any) -> str:
    with pytest.raises(UsageError) as error:
        resolve(given_flags({**REQUIRED, **values}))
    return str(error.value)


@pytest.mark.parametrize(
    ("marker", "delimiter"), [("a,b", ","), ("\t", "tab"), ("N A", " "), ("NULL", "N"), (":", ":")]
)
def test_what_stands_for_null_holds_no_delimiter(marker: str, delimiter: str) -> None:
    assert "contains the delimiter" in refused(null_marker=marker, delimiter=delimiter)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"format": "avro", "compression": "gzip"}, ["gzip", "deflate or snappy"]),
        ({"delimiter": "||"}, ["delimiter", "one character"]),
        ({"delimiter": "é"}, ["delimiter", "expected an ASCII character"]),
        ({"delimiter": "\n"}, ["delimiter", "a quote or a line break"]),
        ({"null_marker": 'say "no"'}, ["null-marker", "without quotes and line breaks"]),
        ({"null_marker": "a\nb"}, ["null-marker", "without quotes and line breaks"]),
        ({"null_marker": "NULL", "format": "parquet"}, ["null-marker", "only valid for CSV", "csv"]),
        ({"null_marker": "NULL", "tables": {"*": {"format": "json"}}}, ["null-marker", "only valid for CSV"]),
        ({"row_group_rows": "10"}, ["row-group-rows", "only valid for Parquet", "parquet"]),
        ({"labels": "Team=x"}, ["Team"]),
        ({"bucket": "gs://target"}, ["bucket", "without gs://"]),
        ({"prefix": "a/../b"}, ["prefix"]),
        ({"path": "*/{table}.{ext}"}, ["path", "last part"]),
        ({"path": "all/part_*.{ext}"}, ["path", "{table}"]),
        ({"path": "{date}/{table}_*.{ext}"}, ["path", "{run}"]),
        ({"tables": {"label:pii": DAILY}}, ["path", "[tables.label:pii] has partitions_min_bytes", "no {partition}"]),
        ({"tables": {"a": {"partitions_min_bytes": "soon"}}}, ["tables.a.partitions_min_bytes: 'soon'", "10GB"]),
        ({"tables": {"a": {"partitions_min_bytes": True}}}, ["tables.a.partitions_min_bytes: True", "10GB"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_value_that_cannot_be_used_is_refused_with_what_can(values: dict[str, Any], words: list[str]) -> None:
    error = refused(**values)
    assert [word for word in words if word not in error] == []


def test_iceberg_tables_are_refused_where_a_table_has_another_format_than_parquet() -> None:
    assert "exported as csv. Use format='parquet' for all tables" in refused(iceberg="on")
    others = {"a*": {"format": "json"}, "b": {"format": "avro"}}
    assert "exported as avro and json" in refused(iceberg="on", format="parquet", tables=others)
    assert resolve(given_flags({**REQUIRED, "iceberg": "on", "tables": {"*": {"format": "parquet"}}})).iceberg


FORMS = [
    ("null_marker", "NULL", "csv", ("json", "avro", "parquet")),
    ("row_group_rows", "10", "parquet", ("csv", "json", "avro")),
]


@pytest.mark.parametrize(("name", "value", "able", "others"), FORMS)
def test_a_setting_of_one_format_is_refused_where_no_table_has_that_format(
    name: str, value: str, able: str, others: tuple[str, ...]
) -> None:
    given: dict[str, Any] = {name: value}
    for format_ in others:
        assert f"use format={able!r}" in refused(format=format_, **given)
        assert f"use format={able!r}" in refused(format=format_, tables={"a*": {"format": format_}}, **given)
        # The section is for all tables, so none has the format of the export.
        assert f"use format={able!r}" in refused(format=able, tables={"*": {"format": format_}}, **given)
        for tables in ({"a": {"format": able}}, {"*": {"format": format_}, "a": {"format": able}}):
            assert getattr(resolve(given_flags({**REQUIRED, "format": format_, "tables": tables, **given})), name)
    assert getattr(resolve(given_flags({**REQUIRED, "format": able, **given})), name)
    assert resolve(given_flags({**REQUIRED, "format": others[0], name: "" if name == "null_marker" else "0"}))


def test_a_path_by_partition_is_of_one_dataset() -> None:
    path = "{table}/{partition}/*.{ext}"
    for several in ("sales,ops", "ops_*"):
        assert "{partition} and several datasets exclude each other" in refused(dataset=several, path=path)
    assert resolve(given_flags({**REQUIRED, "dataset": "sales", "path": path})).template.by_partition


def test_each_rule_of_retention_is_named_once_and_is_one() -> None:
    assert sorted(RETENTION) == sorted({*RETENTION})
    assert [name for name in RULES if not name.startswith("keep_")] == []
