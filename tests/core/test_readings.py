"""Readings: what two readings of a table's metadata must have in common, and which tables none are taken of."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.unchanged import Reading
from bqdump.core.plan.hidden_data import Captured
from bqdump.core.plan.readings import difference, reading_of, why_inconclusive
from bqdump.core.tables.catalog import Table

RESOURCE: dict[str, Any] = {
    "etag": "a==",
    "creationTime": "1000",
    "lastModifiedTime": "2000",
    "numRows": "3",
    "numBytes": "30",
    "numLongTermBytes": "0",
    "labels": {"team": "x"},
    "schema": {"fields": [{"name": "a", "type": "STRING"}]},
}


def raw(**changed: Any) -> msgspec.Raw:
    resource = {name: value for name, value in {**RESOURCE, **changed}.items() if value is not None}
    return msgspec.Raw(msgspec.json.encode(resource))


def look(**changed: Any) -> Reading:
    found = reading_of(raw(**changed))
    assert found is not None
    return found


def test_two_readings_of_an_unchanged_table_are_equal() -> None:
    later = look(etag="b==", numLongTermBytes="30", numActivePhysicalBytes="8")
    assert difference(look(), later) == ""
    assert look().same(later)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"creationTime": "1001"}, "recreated"),
        ({"numRows": "1004"}, "changed: numRows 3 → 1,004"),
        ({"numBytes": "31"}, "changed: numBytes 30 → 31"),
        # Earlier, as after a deletion: times are never compared by order.
        ({"lastModifiedTime": "1500"}, "changed: lastModifiedTime 1970-01-01T00:00:02.000Z → 1970-01-01T00:00:01.500Z"),
        ({"schema": {"fields": [{"name": "b", "type": "STRING"}]}}, "schema changed"),
        ({"labels": {"team": "y"}}, "properties changed"),
        (
            {"labels": {"team": "y"}, "lastModifiedTime": "3000"},
            "changed: lastModifiedTime 1970-01-01T00:00:02.000Z → 1970-01-01T00:00:03.000Z, and properties",
        ),
        ({"timePartitioning": {"type": "DAY"}}, "properties changed"),
    ],
)
def test_any_change_makes_two_readings_differ(changed: dict[str, Any], words: str) -> None:
    assert difference(look(), look(**changed)) == words
    assert not look().same(look(**changed))


def test_the_order_of_fields_in_a_response_does_not_matter() -> None:
    other = msgspec.Raw(msgspec.json.encode(dict(reversed(RESOURCE.items()))))
    assert reading_of(other) == look()


@pytest.mark.parametrize(
    "changed",
    [{"numRows": None}, {"numBytes": None}, {"creationTime": None}, {"lastModifiedTime": "soon"}, {"numRows": "-1"}],
)
def test_without_all_numbers_there_is_no_look(changed: dict[str, Any]) -> None:
    assert reading_of(raw(**changed)) is None
    assert "does not report" in why_inconclusive(Table("t", "TABLE", 3, 30, raw(**changed)), [], Captured())


@pytest.mark.parametrize("definition", [b"null", b"[]", b'"x"', b"{}"])
def test_what_is_no_definition_has_no_look(definition: bytes) -> None:
    assert reading_of(msgspec.Raw(definition)) is None


@pytest.mark.parametrize(
    ("kind", "changed", "words"),
    [
        ("VIEW", {}, "views are always exported"),
        ("EXTERNAL", {}, "external tables are always exported"),
        ("MATERIALIZED_VIEW", {}, "materialized views are always exported"),
        ("TABLE", {"biglakeConfiguration": {"tableFormat": "ICEBERG"}}, "Iceberg tables are always exported"),
        ("TABLE", {"streamingBuffer": {"estimatedRows": "0"}}, "streaming buffer"),
        ("TABLE", {"maxStaleness": "0-0 0 1:0:0"}, "max_staleness is set"),
        ("TABLE", {"timePartitioning": {"type": "DAY", "expirationMs": "1000"}}, "its partitions expire"),
        ("TABLE", {"expirationTime": "9000"}, ""),
        (
            "TABLE",
            {"schema": {"fields": [{"name": "a", "type": "STRING", "policyTags": {"names": ["x"]}}]}},
            "policy tags or data masking",
        ),
        ("TABLE", {"timePartitioning": {"type": "DAY"}}, ""),
        ("SNAPSHOT", {}, ""),
    ],
)
def test_tables_that_can_change_unseen_have_an_obstacle(kind: str, changed: dict[str, Any], words: str) -> None:
    assert why_inconclusive(Table("t", kind, 3, 30, raw(**changed)), [], Captured()) == words


def test_what_hides_or_delays_rows_is_an_obstacle() -> None:
    table = Table("t", "TABLE", 3, 30, raw())
    assert why_inconclusive(table, [RowPolicy("t", "p", "TRUE")], Captured()) == "row access policies"
    assert why_inconclusive(table, None, Captured()) == "row access policies cannot be listed"
    assert why_inconclusive(table, [], Captured(("t",), frozenset({"t"}))) == "change data capture"
    assert why_inconclusive(table, [], Captured(("t",), None, "denied")) == "change data capture cannot be checked"
    assert why_inconclusive(table, [], Captured(("t",), frozenset())) == ""
    assert why_inconclusive(Table("t", "TABLE", 0, 0, msgspec.Raw(b"null")), [], Captured()) == "it no longer exists"
