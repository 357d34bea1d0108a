"""Patterns by label: which tables they choose, which are refused, and what becomes of a table whose label changes."""

from __future__ import annotations

import msgspec
import pytest

from bqdump.core.documents.run import ByLabel
from bqdump.core.errors import UsageError
from bqdump.core.plan.readings import Published, PublishedTable
from bqdump.core.plan.removal import leaving, lost_sections
from bqdump.core.plan.routes import route_tables
from bqdump.core.plan.selection import choose, unmatched
from bqdump.core.sets.selection import choose_datasets
from bqdump.core.settings import values as parse
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.table_settings import parse_tables
from bqdump.core.settings.target import Target, parse_datasets
from bqdump.core.tables.catalog import Listed, ListedDataset, Mask, Table
from bqdump.core.tables.patterns import Labelled, select

LABELS = {"a": {"backup": "daily", "pii": "true"}, "b": {"backup": "weekly"}, "c": {}, "d": {"backup": ""}}
LISTING = [Listed(name, "TABLE", 1, labels=labels) for name, labels in LABELS.items()]
BASE = Settings(project="p", dataset="d", target=Target(root="bucket"))
SCHEMA = {"schema": {"fields": [{"name": "id", "type": "INTEGER"}, {"name": "mail", "type": "STRING"}]}}


def settings(**changed: object) -> Settings:
    return msgspec.structs.replace(BASE, **changed)


def chosen(include: str = "", exclude: str = "") -> str:
    patterns = (parse.object_patterns(include), parse.object_patterns(exclude))
    return "".join(name for name, yes in zip(LABELS, select(LABELS, *patterns, LABELS), strict=True) if yes)


def table(name: str) -> Table:
    return Table(name, "TABLE", 1, 1, msgspec.Raw(msgspec.json.encode({**SCHEMA, "labels": LABELS[name]})))


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ("label:backup=daily", "", "a"),
        ("label:backup", "", "abd"),
        ("label:backup=", "", "d"),
        ("label:backup!=daily", "", "bcd"),
        ("label:none", "", ""),
        ("", "label:backup!=weekly", "b"),
        ("c,label:backup=weekly", "", "bc"),
        ("label:backup,c", "label:pii=true,b", "cd"),
        ("*", "label:backup", "c"),
        ("label:daily", "", ""),
    ],
)
def test_labels_choose_and_exclude_next_to_names(include: str, exclude: str, expected: str) -> None:
    assert chosen(include, exclude) == expected


@pytest.mark.parametrize(
    "pattern",
    ["label:", "label:=x", "label:A=b", "label:a=B", "label:a=b=c", "label:!a", "label:a*", "label:a=b*", "label:1a",
     "Label:a", "labels:a=b", "label: a", "label:a!b", f"label:{'a' * 64}", f"label:a={'b' * 64}", "sales:orders"],
)  # fmt: skip
def test_what_is_no_label_is_refused_wherever_patterns_are_written(pattern: str) -> None:
    for parser in (parse.object_patterns, parse_datasets):
        with pytest.raises(ValueError, match=r"label:KEY=VALUE"):
            parser(pattern)
    with pytest.raises(ValueError, match=r"tables: .* expected label:KEY"):
        parse_tables({pattern: {"format": "csv"}})
    [(_, guess)] = unmatched(["orders"], (pattern,), {})
    assert "expected label:KEY" in guess
    assert chosen_anyway(pattern) == []


def chosen_anyway(pattern: str) -> list[str]:
    return [name for name, yes in zip(LABELS, select(LABELS, (pattern,), (), LABELS), strict=True) if yes]


def test_a_label_that_no_table_has_is_refused_with_the_labels_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"label:backup=dayly.*matches no table") as caught:
        choose(LISTING, settings(include=("label:backup=dayly",)), 2)
    assert "label:backup=daily" in str(caught.value)
    with pytest.raises(UsageError, match=r"\[tables.label:pi=true\] matches no table|tables.label:pi=true"):
        route_tables(settings(tables=parse_tables({"label:pi=true": {"masks": {"mail": "null"}}})), [table("a")])


def test_the_selection_records_what_each_label_has_matched() -> None:
    rules = parse_tables({"label:pii": {"format": "avro"}, "b": {"format": "avro"}})
    selection = choose(LISTING, settings(include=("label:backup", "c"), exclude=("label:backup=",), tables=rules), 2)
    assert [item.name for item in selection.chosen] == ["a", "b", "c"]
    assert selection.by_label == (
        ByLabel("include", "label:backup", ("a", "b")),
        ByLabel("exclude", "label:backup=", ("d",)),
        ByLabel("tables", "label:pii", ("a",)),
    )


def test_rules_by_label_and_by_name_add_up_and_the_last_format_decides() -> None:
    rules = {"a": {"format": "csv", "where": "id > 1"}, "label:pii=true": {"masks": {"mail": "null"}, "format": "avro"},
             "label:backup!=daily": {"format": "parquet"}}  # fmt: skip
    a, b = route_tables(settings(tables=parse_tables(rules)), [table("a"), table("b")]).routed
    assert (a.format, a.shape.where, a.shape.masks) == ("avro", "id > 1", {"mail": Mask(null=True)})
    assert (b.format, b.shape.masks) == ("parquet", {})


def test_a_rule_may_be_for_tables_that_are_not_exported_now() -> None:
    rules = parse_tables({"label:pii": {"format": "avro"}})
    routed = route_tables(settings(tables=rules), [table("b")], ["a"], labels=LABELS).routed
    assert [item.format for item in routed] == ["csv"]


def published(*names: str) -> Published:
    tables = tuple(PublishedTable(name, Labelled(LABELS[name])) for name in names)
    return Published(run="r", snapshot=1, snapshot_time="t", mode="keep", tables=tables, left=())


def test_a_table_whose_label_was_removed_leaves_by_that_name_and_a_dropped_one_by_its_own() -> None:
    by_label = settings(include=("label:backup=daily", "label:backup=weekly"))
    removed, kept = leaving(published("a", "b"), (), {"a": {}}, by_label)
    assert [(one.table, one.reason) for one in removed] == [("a", "relabelled"), ("b", "dropped")]
    assert kept == ()
    excluding = settings(exclude=("label:tier=tmp",))
    removed, _ = leaving(published("a", "c"), (), {"a": {"tier": "tmp"}, "c": {}}, settings(exclude=("c",)))
    assert [(one.table, one.reason) for one in removed] == [("a", "skipped"), ("c", "excluded")]
    removed, _ = leaving(published("a"), (), {"a": {"tier": "tmp"}}, excluding)
    assert [(one.table, one.reason) for one in removed] == [("a", "relabelled")]
    _, kept = leaving(published("a"), (), {"a": {}}, msgspec.structs.replace(by_label, keep_others=True))
    assert kept == ("a",)


@pytest.mark.parametrize(
    ("section", "flagged"),
    [
        ({"masks": {"mail": "null"}}, ["a"]),
        ({"where": "id > 1"}, ["a"]),
        ({"columns": ["id"]}, ["a"]),
        ({"exclude_columns": ["mail"]}, ["a"]),
        ({"format": "avro"}, []),
    ],
)
def test_a_table_that_would_lose_what_a_section_kept_out_with_its_label_is_named(
    section: dict[str, object], flagged: list[str]
) -> None:
    rules = settings(tables=parse_tables({"label:pii": section, "label:backup!=daily": section, "b": section}))
    unchanged = list(lost_sections(published("a", "b"), ("a", "b"), {"a": LABELS["a"], "b": LABELS["b"]}, rules))
    assert unchanged == []
    # One loses its label, the other one keeps both sections; a third is not exported any more.
    now = {"a": {"backup": "daily"}, "b": LABELS["b"]}
    found = list(lost_sections(published("a", "b", "c"), ("a", "b"), now, rules))
    assert [(flag.risk, flag.table) for flag in found] == [("lost-sections", name) for name in flagged]
    assert all('[tables."label:pii"]' in flag.detail for flag in found)


def test_datasets_are_chosen_by_label_but_never_hidden_ones() -> None:
    nightly = {"backup": "nightly"}
    listing = [
        ListedDataset("a", "US", labels=nightly),
        ListedDataset("b", "US"),
        ListedDataset("_h", "US", labels=nightly),
    ]
    several = settings(dataset=parse_datasets("label:backup=nightly"))
    assert several.names_several
    assert [dataset.name for dataset in choose_datasets(listing, several).datasets] == ["a"]
    rest = settings(dataset="*", exclude_datasets=("label:backup",))
    assert [dataset.name for dataset in choose_datasets(listing, rest).datasets] == ["b"]
    with pytest.raises(UsageError, match=r"label:backup=nightli.*matches no dataset"):
        choose_datasets(listing, settings(dataset="label:backup=nightli"))
