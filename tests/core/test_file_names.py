"""Names that a folder cannot hold as a bucket does: refused for the tables that they belong to."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bqdump.core.documents.path_template import NameRules
from bqdump.core.errors import UsageError
from bqdump.core.plan.names import refuse_names

MAC = NameRules(ignores_case=True, ignores_form=True, part_bytes=255, path_bytes=900)
WINDOWS = NameRules(ignores_case=True, part_bytes=255, utf16=True)
LINUX = NameRules(part_bytes=255, path_bytes=4000)
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


def patterns(*tables: str) -> list[tuple[str, str]]:
    return [(table, f"p/{table}/{table}_*.csv") for table in tables]


@pytest.mark.parametrize(("rules", "tables"), [(WINDOWS, ("Orders", "orders")), (MAC, ("Orders", "orders")),
                                               (MAC, (COMPOSED, DECOMPOSED)), (MAC, (COMPOSED, DECOMPOSED.upper())),
                                               (WINDOWS, ("straße", "STRASSE"))])  # fmt: skip
def test_tables_whose_files_would_be_the_same_are_named(rules: NameRules, tables: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="its file system ignores case") as raised:
        refuse_names(patterns("other", *tables), rules, "/x")
    assert raised.value.subject == f"tables {tables[0]} and {tables[1]}"
    refuse_names(patterns("other", *tables), LINUX, "/x")


def test_folders_that_differ_by_case_only_are_refused_as_well() -> None:
    with pytest.raises(UsageError, match="/x cannot store both A and a: its file system ignores case"):
        refuse_names([("one", "A/one_*.csv"), ("two", "a/two_*.csv")], WINDOWS, "/x")


def test_only_the_form_may_be_ignored() -> None:
    rules = NameRules(ignores_form=True)
    with pytest.raises(UsageError, match="ignores the Unicode form of letters"):
        refuse_names(patterns(COMPOSED, DECOMPOSED), rules, "/x")
    refuse_names(patterns("A", "a"), rules, "/x")
    refuse_names(patterns(COMPOSED, DECOMPOSED), WINDOWS, "/x")


def test_a_table_whose_file_has_too_long_a_name_is_named() -> None:
    # Of 255 bytes _000000000000.csv takes 17.
    refuse_names(patterns("é" * 119), LINUX, "/x")
    with pytest.raises(
        UsageError, match=r"^table .*: its file .* has a part of 257 bytes in /x|257 bytes, and"
    ) as long:
        refuse_names(patterns("é" * 120), LINUX, "/x")
    assert len(str(long.value)) < 600
    refuse_names(patterns("é" * 120), WINDOWS, "/x")
    with pytest.raises(UsageError, match="a part of 256 UTF-16 units"):
        refuse_names(patterns("🦆" * 119 + "a"), WINDOWS, "/x")


def test_a_path_that_is_too_long_is_refused() -> None:
    with pytest.raises(UsageError, match="has 1014 bytes, and the system allows 900"):
        refuse_names([("t", f"{'p/' * 498}t_*.csv")], MAC, "/x")


def test_a_bucket_takes_all_names() -> None:
    refuse_names(patterns("A", "a", COMPOSED, DECOMPOSED, "n" * 500), NameRules(), "gs://b")


@given(st.text())
def test_names_that_differ_by_case_or_form_are_alike(name: str) -> None:
    for other in (name.lower(), unicodedata.normalize("NFD", name), unicodedata.normalize("NFC", name)):
        # What casefold does not bring together are letters that Unicode has twice.
        assert MAC.alike(other) == MAC.alike(name) or (other.casefold() != name.casefold() and other == name.lower())


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("CON", "CON is the name of a device"),
        ("nul", "nul is the name of a device"),
        ("com1", "com1 is the name of a device"),
        ("Lpt¹", "Lpt¹ is the name of a device"),
        ("aux.v2", "aux.v2 is the name of a device"),
        ("ends.", "'ends.' ends with a dot"),
        ("ends ", "'ends ' ends with a space"),
        ("a:b", "a:b contains ':'"),
        ("a\\b", r"a\b contains '\\'"),
        ("why?", "why? contains '?'"),
    ],
)
def test_names_that_windows_reserves_are_refused_on_windows_only(table: str, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        refuse_names(patterns("other", table), replace(WINDOWS, windows=True), "/x")
    assert raised.value.subject == f"table {table}"
    assert f"cannot exist on Windows: {problem}" in raised.value.cause
    for rules in (WINDOWS, MAC, LINUX, NameRules()):
        refuse_names(patterns("other", table), rules, "/x")


@pytest.mark.parametrize("table", ["console", "com", "COM10", "con_", "a.con", ".hidden", " lead", "日本"])
def test_names_like_those_that_windows_reserves_are_taken(table: str) -> None:
    refuse_names(patterns(table), replace(WINDOWS, windows=True), "/x")
