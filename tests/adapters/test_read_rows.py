"""Answers of ReadRows are parsed to the same values as by Google's classes, and nothing is copied."""

from __future__ import annotations

import asyncio
import time

import pytest
from google.cloud.bigquery_storage_v1 import types
from hypothesis import given
from hypothesis import strategies as st

from bqdump.adapters.read.reader import StorageReader, batch_of
from bqdump.core.errors import RowsError

NUMBERS = st.integers(0, 2**63 - 1)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        "arrow_record_batch": st.fixed_dictionaries(
            {}, optional={"serialized_record_batch": st.binary(max_size=300), "row_count": NUMBERS}
        ),
        "row_count": NUMBERS,
        "uncompressed_byte_size": NUMBERS,
        "arrow_schema": st.fixed_dictionaries({"serialized_schema": st.binary(max_size=20)}),
        "throttle_state": st.fixed_dictionaries({"throttle_percent": st.integers(0, 100)}),
        "stats": st.fixed_dictionaries({"progress": st.fixed_dictionaries({"at_response_start": st.floats(0, 1)})}),
    },
)


@given(ANSWERS)
def test_batches_equal_those_parsed_by_google_s_classes(content: dict[str, object]) -> None:
    answer = types.ReadRowsResponse(content)
    data, rows = batch_of(types.ReadRowsResponse.serialize(answer))
    assert (bytes(data), rows) == (answer.arrow_record_batch.serialized_record_batch, answer.row_count)


@given(ANSWERS, st.data())
def test_a_truncated_answer_is_reported(content: dict[str, object], data: st.DataObject) -> None:
    whole = types.ReadRowsResponse.serialize(types.ReadRowsResponse(content))
    damaged = whole[: data.draw(st.integers(0, len(whole)))]
    try:
        found = batch_of(damaged)
    except RowsError:
        assert damaged != whole
    else:
        # The answer ends at the end of a field.
        answer = types.ReadRowsResponse.deserialize(damaged)
        assert found == (answer.arrow_record_batch.serialized_record_batch, answer.row_count)


def test_unknown_fields_are_skipped() -> None:
    known = types.ReadRowsResponse.serialize(
        types.ReadRowsResponse(arrow_record_batch={"serialized_record_batch": b"rows"}, row_count=3)
    )
    # Field 100 as a varint, as 64 bits, with a length, as 32 bits.
    unknown = b"\xa0\x06\x05" + b"\xa1\x06" + bytes(8) + b"\xa2\x06\x02xx" + b"\xa5\x06" + bytes(4)
    assert batch_of(unknown + known + unknown) == (b"rows", 3)
    with pytest.raises(RowsError, match="an answer of the Storage Read API"):
        batch_of(known + b"\xa3\x06")


def test_rows_are_not_copied() -> None:
    answer = types.ReadRowsResponse.serialize(
        types.ReadRowsResponse(arrow_record_batch={"serialized_record_batch": b"rows"}, row_count=1)
    )
    data = batch_of(answer).data
    assert isinstance(data, memoryview)
    assert data.obj is answer


def test_a_clock_before_1970_returns_0(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_STORAGE_GRPC_ENDPOINT", "127.0.0.1:1")
    monkeypatch.setattr(time, "time_ns", lambda: -1_000_000_000)
    reader = StorageReader("p")
    assert reader.now() == 0
    asyncio.run(reader.close())
