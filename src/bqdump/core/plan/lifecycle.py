"""Lifecycle rules of a bucket that could delete what an export consists of: they go by age and name, not by manifests.

Source: https://cloud.google.com/storage/docs/lifecycle
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from bqdump.core.documents.run import Flag, TablePlan
from bqdump.core.formats.formats import FORMATS, extension
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted

# Conditions that no current object of an export meets: for noncurrent versions, or for a time that bqdump never sets.
NEVER_MET = (
    "daysSinceNoncurrentTime",
    "noncurrentTimeBefore",
    "numNewerVersions",
    "daysSinceCustomTime",
    "customTimeBefore",
)
DOCUMENT_ENDINGS = (".json", ".jsonl", ".html", ".avro", ".txt")


class LifecycleRule(Struct, frozen=True):
    """A rule as Cloud Storage returns it: the type of its action, and its conditions. All conditions must be met."""

    action: str
    condition: Mapping[str, Any]


def lifecycle_flags(
    rules: Sequence[LifecycleRule], settings: Settings, run: str, tables: Iterable[TablePlan]
) -> Iterable[Flag]:
    """A risk for each rule that could delete documents, or files of this run or another one."""
    heads, endings = _heads(settings, run, tables), _endings(settings)
    for number, rule in enumerate(rules, 1):
        if _threatens(rule, heads, endings):
            detail = f"rule {number} deletes objects{_words(rule.condition)}"
            yield Flag(Risk.LIFECYCLE_RULES, "", (), detail, allowed=False)


def _threatens(rule: LifecycleRule, heads: set[str], endings: tuple[str, ...]) -> bool:
    condition = rule.condition
    if rule.action != "Delete" or condition.get("isLive") is False or any(condition.get(key) for key in NEVER_MET):
        return False
    if prefixes := condition.get("matchesPrefix"):
        near = [
            prefix for prefix in prefixes if any(head.startswith(prefix) or prefix.startswith(head) for head in heads)
        ]
        if not near:
            return False
    suffixes = condition.get("matchesSuffix")
    if not suffixes or not endings:
        return True
    return any(suffix.endswith(ending) or ending.endswith(suffix) for suffix in suffixes for ending in endings)


def _heads(settings: Settings, run: str, tables: Iterable[TablePlan]) -> set[str]:
    """What the names of documents and files begin with. Other runs' names differ from the run's id on."""
    heads = {settings.layout.root}
    for table in tables:
        head = table.pattern.partition("*")[0]
        if settings.template.keeps and run in head:
            head = head[: head.index(run)]
        heads.add(head)
    return heads


def _endings(settings: Settings) -> tuple[str, ...]:
    """What the names end in; nothing where that is not known."""
    if not settings.path.endswith(".{ext}"):
        return ()
    files = [f".{extension(name, codec)}" for name, kind in FORMATS.items() for codec in kind.codecs]
    return (*DOCUMENT_ENDINGS, *files)


def _words(condition: Mapping[str, Any]) -> str:
    """The conditions in words."""
    words = ""
    if (age := condition.get("age")) is not None:
        words += f" older than {counted(age, 'day')}"
    if before := condition.get("createdBefore"):
        words += f" created before {before}"
    for name, word in (("matchesStorageClass", "of class"), ("matchesPrefix", "below"), ("matchesSuffix", "ending in")):
        if values := condition.get(name):
            words += f" {word} {', '.join(map(str, values))}"
    return words
