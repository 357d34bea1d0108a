"""The same tables for each of several ways to export them, so that one export has them all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from bqdump.core.formats.formats import FORMATS
from integration.stage import Stage

EVERY_FORMAT = [{"format": name, "compression": codec} for name, format_ in FORMATS.items() for codec in format_.codecs]
SCALARS = """
  CREATE TABLE scalars AS
  SELECT id, IF(MOD(id, 3) = 0, NULL, CONCAT('line ', CAST(id AS STRING), '\\n"quoted", and\\r more')) AS text,
    CAST(id AS NUMERIC) / 8 AS amount, id / 3 AS ratio, MOD(id, 2) = 0 AS even,
    TIMESTAMP_MILLIS(1700000000123 + id) AS at, DATE '2024-02-29' AS day, DATETIME '2024-02-29T01:02:03.5' AS clock,
    TIME '23:59:59.999999' AS hour, CAST('bytes' AS BYTES) AS raw
  FROM UNNEST(GENERATE_ARRAY(1, 9)) AS id
"""
NESTED = """
  CREATE TABLE nested AS
  SELECT id, [id, id + 1] AS many, STRUCT(id AS a, CONCAT('<', CAST(id AS STRING), '>') AS b) AS pair,
    [STRUCT(id AS x, [CAST(id AS STRING), ''] AS words)] AS list
  FROM UNNEST(GENERATE_ARRAY(1, 5)) AS id
"""


def suffix(way: Mapping[str, str]) -> str:
    """What the names of a way's tables end with."""
    return "_" + "_".join(way.values())


def make(stage: Stage, ways: Sequence[Mapping[str, str]], *statements: str) -> str:
    """Make the table of each statement for each way, and an empty one; returns the setting `tables` with the ways.

    CSV has no nested values: NESTED is made for other formats only.
    """
    for way in ways:
        for statement in statements:
            if statement != NESTED or way["format"] != "csv":
                stage.sql(re.sub(r"CREATE TABLE (\w+)", rf"CREATE TABLE \1{suffix(way)}", statement))
    stage.empty_tables([f"nothing{suffix(way)}" for way in ways])
    stage.now()
    return json.dumps({f"*{suffix(way)}": way for way in ways})
