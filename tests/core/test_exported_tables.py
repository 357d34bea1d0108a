"""A manifest as a Python program reads it: a mapping of table names."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from bqdump.core.documents.run import Failure, Owner, Skipped
from bqdump.core.exported import readable
from core.test_changes import manifest

READ = readable(manifest("r1", crcs=("AAAAAA==", "BBBBBB==")), "gs://exports/")


def test_it_is_a_mapping_of_tables() -> None:
    assert (list(READ), len(READ), "t" in READ, "u" in READ) == (["t"], 1, True, False)
    assert READ["t"] is READ.tables[0]
    assert READ.get("u") is None
    assert pickle.loads(pickle.dumps(READ)) == READ


def test_a_table_has_the_addresses_of_its_files() -> None:
    assert READ["t"].uris == ["gs://exports/r1/t_0.csv", "gs://exports/r1/t_1.csv"]
    assert READ["t"].bytes == 200


def test_times_are_aware_datetimes() -> None:
    assert READ.snapshot_time == datetime(1970, 1, 1, microsecond=5000, tzinfo=UTC)
    assert READ["t"].ended == datetime(1970, 1, 1, microsecond=1000, tzinfo=UTC)
    assert READ.oldest_snapshot_time is None


def test_a_table_that_is_missing_is_named_with_the_reason_or_with_similar_names() -> None:
    failure = Failure("00000-00000", "lost", "job", 0, "invalid", "no such file", Owner("e", 0))
    skipped = (Skipped("model", "MODEL", "models cannot be exported"),)
    document = replace(manifest("r1", table="flights"), failed=(failure,), skipped=skipped)
    found = readable(document, "")
    with pytest.raises(KeyError, match="run r1 has no table 'flihts'; did you mean 'flights'"):
        found["flihts"]
    with pytest.raises(KeyError, match="table 'lost' failed in run r1: no such file"):
        found["lost"]
    with pytest.raises(KeyError, match="run r1 skipped 'model': models cannot be exported"):
        found["model"]


def test_its_rows_fit_a_data_frame_and_are_escaped_in_a_notebook() -> None:
    (row,) = READ.to_dicts()
    assert (row["table"], row["files"], row["planned_rows"]) == ("t", 2, 10)
    shown = readable(manifest("<r>", table="<b>"), "gs://exports/")
    assert "<td>&lt;b&gt;</td>" in shown._repr_html_()
    assert "<b>" not in shown["<b>"]._repr_html_()
    assert "gs://" not in shown["<b>"]._repr_html_()
    assert repr(shown) == "<Manifest of run <r>: p.d, 1 table>"
