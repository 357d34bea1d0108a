"""What replaces a table is compared before it does."""

from __future__ import annotations

import pytest

from bqdump.core.restore.plan import Options, TableStep
from bqdump.restoration import tables
from restore.world import ROWS, World


def test_a_table_is_only_replaced_by_rows_with_the_values_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for name in ("one", "two"):
        world.big.put("project", "copy", name, ["x"])
    seen: list[list[str] | None] = []

    async def difference(_restore: object, step: TableStep, scratch: str) -> str:
        seen.append(world.rows(scratch))
        return "values: expected 1, found 2" if step.name == "one" else ""

    monkeypatch.setattr(tables, "scratch_difference", difference)
    result = world.restore(Options(project="project", dataset="copy", replace=True))
    assert sorted(map(str, seen)) == ["['a', 'b']", "['c']"]
    assert [(one.name, one.reason, one.message) for one in result.failed] == [
        ("one", "values", "not replaced: values: expected 1, found 2")
    ]
    assert {name: world.rows(name) for name in ROWS} == {**ROWS, "one": ["x"]}
