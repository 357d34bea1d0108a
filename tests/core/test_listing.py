"""What a manifest holds, as it is listed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bqdump.core.documents.definitions import Definitions, Index, RowPolicy, Unread
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Skipped
from bqdump.core.documents.unchanged import Removed
from bqdump.core.errors import UsageError
from bqdump.core.listing import Patterns, listed_names, listing_of, refuse_unmatched
from restore.world import ExportedWorld


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """Of a run with two tables of rows, one empty table, and all that can be left out."""
    made = ExportedWorld().manifest
    definitions = Definitions(
        models=("guess",),
        policies=(RowPolicy("one", "eu", "TRUE", ("user:a@example.com",)),),
        indexes=(Index("two", "words", "SEARCH", "CREATE SEARCH INDEX words ON two(ALL COLUMNS)"),),
        unread=(Unread("the routines", "denied"),),
    )
    removed = (Removed("gone", "dropped", "r0", "2026-01-01T00:00:00.000Z", 5),)
    skipped = (Skipped("remote", "EXTERNAL", "an external table"),)
    return replace(made, definitions=definitions, removed=removed, skipped=skipped)


def test_all_that_a_run_holds_and_lacks_is_listed(manifest: Manifest) -> None:
    listed = listing_of(manifest)
    assert [(one.table, one.rows) for one in listed.tables] == [("none", 0), ("one", 2), ("two", 1)]
    assert [(one.kind, one.table, one.name) for one in listed.objects] == [
        ("INDEX", "two", "words"),
        ("POLICY", "one", "eu"),
    ]
    assert [(one.name, one.reason) for one in listed.left_out] == [
        ("remote", "an external table"),
        ("gone", "run r0 has it; dropped since"),
        ("guess", "models are not exported"),
        ("the routines", "denied"),
    ]
    assert (listed.rows, listed.bytes) == (3, sum(one.bytes for one in listed.tables))


def test_patterns_choose_tables_with_what_belongs_to_them(manifest: Manifest) -> None:
    listed = listing_of(manifest, Patterns(include=("o*", "guess"), exclude=("two",)))
    assert [one.table for one in listed.tables] == ["one"]
    assert [one.name for one in listed.objects] == ["eu"]
    assert [one.name for one in listed.left_out] == ["guess"]


def test_a_pattern_without_a_match_is_refused_with_a_guess(manifest: Manifest) -> None:
    names = listed_names(manifest)
    refuse_unmatched(names, Patterns(include=("gone", "remote")), {})
    with pytest.raises(UsageError, match=r"did you mean 'one'\? \(case matters\)"):
        refuse_unmatched(names, Patterns(include=("ONE",)), {})
    with pytest.raises(UsageError, match="did you mean 'remote'"):
        refuse_unmatched(names, Patterns(exclude=("remoet",)), {})
