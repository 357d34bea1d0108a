"""Processes of two datasets that start at the same time below one prefix: one is refused, the other keeps its files."""

from __future__ import annotations

import asyncio

from integration.stage import Ran, Stage, csv_rows, expected_rows


def test_two_datasets_that_start_at_once_below_one_prefix(stage: Stage) -> None:
    other = f"{stage.dataset}_b"
    stage.table("items", 3)
    stage.big.create_dataset(other)
    stage.sql(f"CREATE TABLE {other}.items AS SELECT 7 AS id, 'other' AS name")
    stage.sql(f"CREATE TABLE {other}.stock AS SELECT 8 AS id, 'other' AS name")

    async def both() -> list[Ran]:
        starts = [stage.processes(execution=name, env={"SOURCE_DATASET": name}, tasks=2)
                  for name in (stage.dataset, other)]  # fmt: skip
        return list(await asyncio.gather(*starts))

    first, second = asyncio.run(both())
    assert {tuple(first.codes), tuple(second.codes)} == {(0, 0), (2, 2)}, first.text + second.text
    won, lost, dataset = (first, second, stage.dataset) if first.codes == [0, 0] else (second, first, other)
    assert f"it belongs to {stage.project}.{dataset}" in lost.text
    assert "Traceback" not in lost.text
    assert stage.manifest().dataset == dataset
    rows = expected_rows("items", 3) if won is first else ["id,name", "7,other"]
    assert csv_rows(stage.read("items/items_000000000000.csv")) == rows
    assert len(stage.files()) == (1 if won is first else 2)
