"""Prune deletes every document of a run, and nothing else that is found in its folder."""

from __future__ import annotations

import inspect

import pytest

from bqdump.core.documents.document import Document
from bqdump.core.documents.layout import Layout
from bqdump.core.retention.pruned import is_document

RUN = Layout("x/").run("r1")
ARGUMENTS = {
    "nonce": "ab12", "unit": "00000-00001", "attempt": 1, "execution": "e1", "lead": "00000-00001", "batch": 3,
    "copying": 5, "pattern": "x/t/t_000000000000.csv", "run": "r2", "event": "published", "number": 3,
    "signature": b"signed",
}  # fmt: skip


def names() -> list[str]:
    """An object of each kind that RunLayout names."""
    found = []
    for name in dir(RUN):
        if name.startswith("_") or name in ("root", "pool", "item_of"):
            continue
        value = getattr(RUN, name)
        if callable(value):
            value = value(*(ARGUMENTS[parameter] for parameter in inspect.signature(value).parameters))
        text = value.name if isinstance(value, Document) else value
        found += [] if text.endswith("/") else [text]
    return found


def test_every_document_of_a_run_is_its_own() -> None:
    assert len(names()) > 12
    assert [name for name in names() if not is_document(name, RUN)] == []


@pytest.mark.parametrize(
    "name", ["notes.txt", "plan.json.bak", "tombstone.json", "claims/a/b.json", "units.jsonl", "my/manifest.json"]
)
def test_other_objects_below_a_run_are_none_of_its_documents(name: str) -> None:
    assert not is_document(RUN.root + name, RUN)


def test_a_document_of_another_run_is_none_of_this_run() -> None:
    assert not is_document(Layout("x/").run("r10").plan.name, RUN)
