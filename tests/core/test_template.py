"""The path template: what is a valid one, and the names that it makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.documents.path_template import DEFAULT, FIELDS, parse_template, shard_name, split_shard
from bqdump.core.errors import UsageError
from core.strategies import TABLE_NAMES

VALID = [
    DEFAULT,
    "{table}_*",
    "*{table}",
    "{run}/{table}-*.{ext}",
    "{date}/{run}/{project}.{dataset}/{table}/part-*.{ext}",
    "a b/ünï/{table}/{table}_*.csv",
    "{table}/100%_*.{ext}",
    "..a/{table}/*",
    "{table}/{partition}/{table}_*.{ext}",
    "{partition}/{run}/{table}_*",
    "{table}/day={partition}/*",
]
INVALID = {
    "{table}/{table}.{ext}": "exactly one *",
    "{table}/*/*.csv": "exactly one *, for the number of the file, not 2",
    "*/{table}.csv": "last part",
    "{tabel}/*": "unknown field {tabel}",
    "{table.x}/*": "unknown field {table.x}",
    "{table!r}/*": "unknown field {table!r}",
    "{}/{table}_*": "unknown field {}",
    "{table}/{table_*": "unbalanced braces",
    "{table}}_*": "unbalanced braces",
    "/{table}_*": "are not allowed",
    "../{table}_*": "are not allowed",
    "a/../{table}_*": "are not allowed",
    "a//{table}_*": "are not allowed",
    "./{table}_*": "are not allowed",
    "_bqdump/{table}_*": "bqdump's own documents",
    "x/_bqdump/{table}_*": "bqdump's own documents",
    "{table}/\n_*": "control characters",
    "{table}#_*": "control characters",
    "{table}?_*": "control characters",
    "{table}[0]_*": "control characters",
    "all/*.csv": "share the same files",
    "{date}/{table}_*": "{date} requires {run}",
    "": "exactly one *",
    "{table}_{partition}_*": "must be in a folder, not in the file name",
    "{table}/{partition}/{partition}/*": "once, in a folder without other fields",
    "{table}-{partition}/{table}_*": "once, in a folder without other fields",
}


@pytest.mark.parametrize("text", VALID)
def test_takes_a_valid_template(text: str) -> None:
    template = parse_template(text)
    pattern = template.pattern(**dict.fromkeys(FIELDS, "x"))
    assert pattern.count("*") == 1
    assert "{" not in pattern


@pytest.mark.parametrize("text", INVALID)
def test_an_invalid_template_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_template(text)
    assert INVALID[text] in str(caught.value)
    assert str(caught.value).startswith(f"path {text!r}: ")


@given(st.text(alphabet="*{}/._[]#?%abletrunx\n", max_size=30))
def test_any_text_is_a_template_that_stays_below_the_prefix_or_is_refused(text: str) -> None:
    parts, refused = list[str](), ""
    try:
        parts = parse_template(text).pattern(**dict.fromkeys(FIELDS, "x")).split("/")
    except UsageError as error:
        refused = error.setting
    assert refused == "path" or (parts[-1].count("*") == 1 and not {"", ".", ".."} & set(parts))


def test_a_template_with_the_run_keeps_and_one_without_replaces() -> None:
    assert parse_template("{run}/{table}_*").keeps
    assert not parse_template(DEFAULT).keeps


@given(TABLE_NAMES)
def test_a_table_name_is_put_in_as_it_is(name: str) -> None:
    values = dict.fromkeys(FIELDS, "x") | {"table": name, "ext": "csv"}
    assert parse_template(DEFAULT).pattern(**values) == f"{name}/{name}_*.csv"


@given(TABLE_NAMES | st.from_regex(r"[0-9]{1,26}", fullmatch=True), st.sampled_from(VALID), st.integers(0, 10**12 - 1))
def test_a_shard_leads_back_to_its_pattern(name: str, text: str, number: int) -> None:
    pattern = parse_template(text).pattern(**dict.fromkeys(FIELDS, "x") | {"table": name})
    found = split_shard(shard_name(pattern, number), {pattern})
    assert found is not None
    assert found[0] == pattern
    assert shard_name(*found) == shard_name(pattern, number)


@pytest.mark.parametrize(
    ("text", "partition", "pattern"),
    [
        ("{table}/{partition}/{table}_*.csv", "20260131", "t/20260131/t_*.csv"),
        ("{table}/{partition}/{table}_*.csv", "__NULL__", "t/__NULL__/t_*.csv"),
        ("{table}/{partition}/{table}_*.csv", "", "t/t_*.csv"),
        ("{table}/p={partition}/{table}_*.csv", "-100", "t/p=-100/t_*.csv"),
        ("{table}/p={partition}/{table}_*.csv", "__NULL__", "t/p=__HIVE_DEFAULT_PARTITION__/t_*.csv"),
        ("{table}/p={partition}/{table}_*.csv", "", "t/t_*.csv"),
    ],
)
def test_the_folder_of_a_partition_is_left_out_for_a_complete_table(text: str, partition: str, pattern: str) -> None:
    assert parse_template(text).pattern(table="t", partition=partition) == pattern


@given(TABLE_NAMES, TABLE_NAMES, st.sampled_from(["20260131", "__NULL__", "-1", "7"]))
def test_no_partition_has_files_of_the_names_of_a_complete_table(one: str, other: str, partition: str) -> None:
    template = parse_template("{table}/{partition}/{table}_*")
    assert template.pattern(table=one, partition=partition) != template.pattern(table=other)


@pytest.mark.parametrize(
    "name", ["t/t_00000000000.csv", "t/t_000000000000.csv.gz", "x/t_000000000000.csv", "t/t_.csv",
             "t/u_000000000000.csv", "t/t_0000000000000.csv", "t/t_٠٠٠٠٠٠٠٠٠٠٠٠.csv", "t/t_*.csv",
             "000000000000/t_.csv"],
)  # fmt: skip
def test_what_is_not_quite_a_shard_is_none(name: str) -> None:
    assert split_shard(name, {"t/t_*.csv"}) is None


@given(st.text(max_size=40))
def test_any_name_is_no_shard_of_no_pattern(name: str) -> None:
    assert split_shard(name, set()) is None
