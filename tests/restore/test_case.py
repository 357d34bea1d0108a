"""Restores into a dataset that ignores case, where Foo and foo are one table: each row arrives, or nothing begins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bqdump.core.errors import BqdumpError, UsageError
from restore.test_objects import raw
from restore.world import INTO, ExportedWorld

ALIKE = {"Foo": ["a"], "foo": ["b", "c"]}


def ignoring_case(world: ExportedWorld, **tables: list[str]) -> ExportedWorld:
    """The same world with a target that ignores case and has these tables."""
    asyncio.run(world.big.create_dataset("project", "copy", raw({"isCaseInsensitive": True})))
    dataset = asyncio.run(world.big.dataset("project", "copy"))
    for name, rows in tables.items():
        definition = raw({"schema": {"fields": [{"name": "line", "type": "STRING"}]}})
        asyncio.run(world.big.create_table(dataset, name, definition))
        world.big.put("project", "copy", name, rows)
    return world


def present(world: ExportedWorld) -> dict[str, list[str]]:
    """The tables of the target, without those that were dropped."""
    tables = {name: world.rows(name) for name in world.big.datasets["project", "copy"]}
    return {name: rows for name, rows in tables.items() if rows is not None}


@pytest.mark.parametrize("options", [{}, {"replace": True}, {"missing_only": True}, {"as_": "{table}_old"}])
def test_two_tables_that_would_be_one_are_refused_with_the_way_out(options: dict[str, Any]) -> None:
    world = ignoring_case(ExportedWorld(ALIKE))
    with pytest.raises(UsageError) as raised:
        world.restore(replace(INTO, **options))
    assert str(raised.value) == (
        "project.copy: the dataset ignores case in names (isCaseInsensitive), so it cannot "
        "have both Foo and foo. Leave one of them out with exclude and restore it under another name with as_, or "
        "restore into a dataset that distinguishes case."
    )
    assert present(world) == {}


def test_the_way_out_restores_both() -> None:
    world = ignoring_case(ExportedWorld(ALIKE))
    world.restore(replace(INTO, exclude=("foo",)))
    world.restore(replace(INTO, include=("foo",), as_="foo_2"), "second")
    assert present(world) == {"Foo": ["a"], "foo_2": ["b", "c"]}


def test_a_dataset_that_distinguishes_case_gets_both() -> None:
    world = ExportedWorld(ALIKE)
    world.restore()
    assert present(world) == ALIKE


def test_a_table_that_is_there_in_another_case_is_replaced_and_keeps_its_name() -> None:
    world = ignoring_case(ExportedWorld({"foo": ["new"]}), FOO=["old"])
    result = world.restore(replace(INTO, replace=True))
    assert [(one.table, one.exported, one.action) for one in result.tables] == [("FOO", "foo", "replace")]
    assert present(world) == {"FOO": ["new"]}


def test_a_table_that_is_there_in_another_case_is_not_missing() -> None:
    world = ignoring_case(ExportedWorld({"foo": ["new"], "bar": ["x"]}), FOO=["old"])
    result = world.restore(replace(INTO, missing_only=True))
    assert ([one.table for one in result.tables], result.kept) == (["bar"], ("FOO",))
    assert present(world) == {"FOO": ["old"], "bar": ["x"]}


def test_rows_alone_go_into_the_table_in_another_case() -> None:
    world = ignoring_case(ExportedWorld({"foo": ["new"]}), FOO=[])
    world.restore(replace(INTO, data_only=True))
    assert present(world) == {"FOO": ["new"]}


def test_a_name_that_another_case_has_taken_is_refused() -> None:
    world = ignoring_case(ExportedWorld({"one": ["a"]}), FOO=["old"])
    with pytest.raises(UsageError, match="the dataset already has FOO"):
        world.restore(replace(INTO, include=("one",), as_="foo"))
    assert present(world) == {"FOO": ["old"]}


def test_the_same_command_again_finds_its_tables() -> None:
    world = ignoring_case(ExportedWorld({"foo": ["new"], "Bar": ["x"]}))
    first = world.restore()
    assert world.restore(INTO, "again") == first
    assert present(world) == {"foo": ["new"], "Bar": ["x"]}


def test_the_dataset_itself_is_named_as_it_is_called() -> None:
    """Under another name, it might be the source, or the target of two datasets of a set."""
    world = ignoring_case(ExportedWorld({"foo": ["new"]}), foo=["old"])
    with pytest.raises(
        UsageError, match=r"project\.COPY: this is dataset copy, which ignores case in names .* so: copy\."
    ):
        world.restore(replace(INTO, dataset="COPY", replace=True))
    assert present(world) == {"foo": ["old"]}


NAMES = st.sampled_from(["a", "A", "aB", "Ab", "b", "B"])
TABLES = st.dictionaries(NAMES, st.lists(st.sampled_from("xyz"), min_size=1, max_size=3), min_size=1, max_size=4)
OPTIONS = [{}, {"replace": True}, {"missing_only": True}, {"as_": "{table}_b"}, {"data_only": True}]


@given(TABLES, TABLES, st.sampled_from(OPTIONS), st.booleans())
def test_whatever_is_there_every_table_of_a_result_has_its_rows(
    rows: dict[str, list[str]], there: dict[str, list[str]], options: dict[str, Any], empty: bool
) -> None:
    world = ExportedWorld(rows)
    distinct = {name.lower(): (name, lines) for name, lines in there.items()}
    ignoring_case(world, **({} if empty else dict(distinct.values())))
    before = present(world)
    try:
        result = world.restore(replace(INTO, **options))
    except BqdumpError:
        assert present(world) == before
        return
    kept = {name: before[name] for name in result.kept}
    restored = {one.table: rows[one.exported or one.table] for one in result.tables}
    assert len(kept) + len(restored) == len(rows)
    assert present(world) == before | kept | restored
