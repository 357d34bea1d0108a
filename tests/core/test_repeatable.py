"""Filters whose result depends on nothing but the row."""

from __future__ import annotations

import pytest

from bqdump.core.tables.catalog import Mask, Shape, varying


@pytest.mark.parametrize(
    "where",
    [
        "",
        "country = 'JP'",
        "day >= DATE '2026-01-01' AND (a IN (1, 2) OR b IS NOT NULL)",
        "LOWER(name) LIKE 'x%'",
        "EXTRACT(YEAR FROM day) = 2026",
        "note = 'CURRENT_DATE()' OR note = \"now()\" OR note = r'RAND(\\d'",
        "`current_date` = 1",
        "address.select = 1",
        "CAST(a AS INT64) > 3",
    ],
)
def test_a_filter_on_the_row_alone_is_repeatable(where: str) -> None:
    assert varying(Shape(where=where)) == ""


@pytest.mark.parametrize(
    ("where", "word"),
    [
        ("day = CURRENT_DATE()", "CURRENT_DATE"),
        ("day = current_date", "current_date"),
        ("t < CURRENT_TIMESTAMP", "CURRENT_TIMESTAMP"),
        ("RAND() < 0.1", "RAND"),
        ("rand () < 0.1", "rand"),
        ("owner = SESSION_USER()", "SESSION_USER"),
        ("id IN (SELECT id FROM other)", "SELECT"),
        ("id IN (FROM other)", "FROM"),
        ("my_function(a)", "my_function"),
        ("other.lower(a) = 'x'", "lower"),
        ("`p.d.f`(a)", "`p.d.f`"),
        ("GENERATE_UUID() != a", "GENERATE_UUID"),
        ("EXISTS(FROM other)", "EXISTS"),
    ],
)
def test_a_filter_on_anything_else_is_not(where: str, word: str) -> None:
    assert varying(Shape(where=where)) == f"its filter uses {word}"


def test_a_salt_may_have_changed_and_other_masks_cannot() -> None:
    assert varying(Shape(masks={"a": Mask(sha256="SALT")})) == "columns are masked with a salt"
    assert varying(Shape(masks={"a": Mask(null=True), "b": Mask(constant="x")})) == ""
