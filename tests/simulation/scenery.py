"""What a schedule is about: the target, the tables in it, and everything that is not ours."""

from __future__ import annotations

import random
from typing import NamedTuple

import msgspec

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.path_template import shard_name
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump_memory import MemoryWarehouse
from simulation.history import DATASET, PROJECT, RIVAL, History

PATHS = ("{table}/{table}_*.{ext}", "{table}_*.{ext}", "out/{table}/*.{ext}")
KEEPING_PATHS = ("{run}/{table}/{table}_*.{ext}", "{table}/{run}-*.{ext}")
LAKES = 0.12
NAMES = ("a", "b", "注文" * 50, "orders", "orders_000000000000", "a_b")


class Scenery(NamedTuple):
    """The settings that all runs share, and the objects that were there before: somebody else's, and old exports."""

    settings: Settings
    foreign: dict[str, int]
    naive: dict[str, int]


def build(rng: random.Random, store: MemoryStore, warehouse: MemoryWarehouse, history: History) -> Scenery:
    """Fill a bucket and a dataset."""
    keeps = rng.random() < 0.15
    prefix = rng.choice(("", "", "x/", "deep/er/"))
    # Drawn apart, so that the other schedules stay what they were.
    seldom = random.Random(str(rng.getstate()))
    reads = seldom.random() < 0.25
    lake = random.Random(f"lake {rng.getstate()}").random() < LAKES
    settings = Settings(
        project=PROJECT,
        dataset=DATASET,
        target=Target("gs", store.url.removeprefix("gs://"), prefix),
        path=rng.choice(KEEPING_PATHS if keeps else PATHS),
        concurrency=rng.choice((1, 2, 500)),
        # So that a table of some rows is shared by two tasks or more, where there are so many.
        read_split=seldom.choice((10**9, 30, 12)),
        route="read" if reads else rng.choice(("auto", "auto", "query")),
        allow_partial=rng.random() < 0.25,
        # The read route writes no Avro files.
        format="csv" if reads else rng.choice(("csv", "csv", "avro")),
        # What they allow must be named: see Law.NAMED_LOSSES.
        allow=(
            Risk.ROW_POLICIES,
            Risk.UNSEEN_ROW_POLICIES,
            Risk.CREATED_LATER,
            *((Risk.REMOVED_TABLES,) if seldom.random() < 0.7 else ()),
        ),
    )
    if lake:
        settings = msgspec.structs.replace(settings, format="parquet", iceberg=True)
    warehouse.policies = {table: ["some_rows"] for table in NAMES if rng.random() < 0.1}
    warehouse.sees_policies = rng.random() < 0.8
    warehouse.datasets[PROJECT, DATASET] = {}
    for table in rng.sample(NAMES, rng.choice((0, 1, 1, 2, 2, 3, 3, 4, 6))):
        history.put(warehouse, table, history.new_rows(table, rng.choice((0, 1, 3, 7))))
    foreign, naive = {}, {}
    for name in _others(settings, prefix):
        if rng.random() < 0.5:
            foreign[name] = store.put_now(name, b"somebody else's").generation
    if not keeps and rng.random() < 0.3:
        for table in rng.sample(NAMES, 2):
            pattern = prefix + settings.template.pattern(table=table, ext=settings.format)
            for number in range(rng.randint(1, 4)):
                name = shard_name(pattern, number)
                naive[name] = store.put_now(name, b"an export by hand").generation
    return Scenery(settings, foreign, naive)


def build_rival(rng: random.Random, warehouse: MemoryWarehouse, history: History) -> None:
    """Fill another dataset, whose runs are to go to the same prefix. It has tables of the same names."""
    warehouse.datasets[PROJECT, RIVAL] = {}
    for table in rng.sample(NAMES, rng.choice((1, 2, 3))):
        history.put(warehouse, table, history.new_rows(table, rng.choice((0, 1, 3, 7))))


def switched(rng: random.Random, settings: Settings) -> Settings:
    """The same target with runs beside each other instead of replacing, or the other way round."""
    paths = PATHS if settings.template.keeps else KEEPING_PATHS
    return msgspec.structs.replace(settings, path=rng.choice(paths))


def selecting(rng: random.Random, settings: Settings) -> Settings:
    """The same target with some of the tables only, the others removed or carried over."""
    allow: list[Risk] = [risk for risk in settings.allow if risk != Risk.REMOVED_TABLES]
    if rng.random() < 0.5:
        allow.append(Risk.REMOVED_TABLES)
    excluded = rng.choice((("a*",), ("orders*", "b"), ("[a-c]",), ("*_*",), ("*",)))
    return msgspec.structs.replace(settings, exclude=excluded, keep_others=rng.random() < 0.7, allow=tuple(allow))


def _others(settings: Settings, prefix: str) -> list[str]:
    """Names close to ours that no export may touch."""
    ext = settings.format
    other = "orc" if ext == "parquet" else "parquet"
    near = (
        "a/notes.txt", f"a/a_1.{ext}", f"a/a_0000000000000.{ext}", f"a/a_000000000000.{ext}.bak",
        f"a/a_000000000001.{other}", f"b/a_000000000000.{ext}", f"z/z_000000000000.{ext}", f"a_00000000000.{ext}",
        "_bqdumper/x", f"orders_.{ext}",
    )  # fmt: skip
    return [prefix + name for name in near] + ([] if prefix == "" else [f"a/a_000000000000.{ext}", "latest.json"])
