"""The evidence about a run, for an auditor: one self-contained HTML page. Pure: documents in, a page out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.target import Drill
from bqdump.core.plan.altered import altered_words
from bqdump.core.restore.drill import Proof, Restorable
from bqdump.core.sizes import counted, size_text
from bqdump.core.times import milliseconds_of
from bqdump.core.version import VERSION
from bqdump.pages.summary import Verdict, rows_of, size_of
from bqdump.pages.templating import document
from bqdump.pages.text import count_text, time_text

# As many rows as a browser shows without delay; the manifest has them all.
ROWS = 2000
# Of drills of other runs, so many are shown.
DRILLS = 20


class Stored(NamedTuple):
    """The manifest as it is stored: its address, the command that prints its SHA-256, and what identifies it.

    drill: the command that proves the run.
    signatures: the keys that have signed it, in words.
    """

    address: str
    check: str
    size: int
    sha256: str
    generation: int
    drill: str
    signatures: str = "none"


def render_evidence(
    manifest: Manifest,
    stored: Stored,
    drills: Sequence[Drill],
    proof: Proof,
    now: int,
    signed: Sequence[Drill] | None = None,
) -> bytes:
    """The page: the verdict first, then what was exported when, how it was proven, and the checksums of every file.

    drills: of all runs, the earliest first.
    proof: what those that count have proven.
    now: when the page is made, in ms.
    signed: the drills that count, where the notes on them have to be signed.
    """
    own = [drill for drill in drills if (drill.run, drill.snapshot) == (manifest.run, manifest.snapshot)]
    earlier = [drill for drill in drills if drill not in own]
    altered = [(table.table, words) for table in manifest.tables if (words := altered_words(table, manifest.settings))]
    files = [(entry.table, file) for entry in manifest.tables for file in entry.files]
    return document(
        "evidence.html",
        f"{manifest.project}.{manifest.dataset}",
        about=manifest,
        verdict=verdict(manifest, proof.restorable, stored.drill),
        facts=_facts(manifest, stored),
        stored=stored,
        drills=own[::-1],
        earlier=earlier[: -DRILLS - 1 : -1],
        earlier_of=len(earlier),
        unsigned=[drill for drill in drills if signed is not None and drill not in signed],
        altered=altered,
        tables=[
            (entry, rows_of(entry), size_of(entry), _read(manifest, entry), proof.tables.get(entry.table))
            for entry in manifest.tables[:ROWS]
        ],
        files=files[:ROWS],
        files_of=len(files),
        made=time_text(now),
        version=VERSION,
    )


def verdict(manifest: Manifest, proof: Restorable, drill: str) -> Verdict:
    """What the drills have proven of the run. drill: the command that proves it."""
    if proof.problem:
        return Verdict("bad", "Not proven", f"The newest drill of run {manifest.run} failed: {proof.problem}")
    if proof.proven is None or proof.oldest is None:
        return Verdict("warn", "Not proven", f"No drill has restored tables of run {manifest.run} yet: {drill}")
    newest, oldest = time_text(milliseconds_of(proof.proven)), time_text(milliseconds_of(proof.oldest))
    when = f"on {newest}" if newest == oldest else f"between {oldest} and {newest}"
    of = counted(proof.of, "table")
    if proof.complete:
        some = f"All {of} were" if proof.of > 1 else "The table was"
        return Verdict("good", "Proven restorable", f"{some} restored and compared value by value {when}.")
    some = f"{proof.tables:,} of {of} {'was' if proof.tables == 1 else 'were'} restored and compared value by value"
    return Verdict("warn", "Proven in part", f"{some} {when}.")


def _facts(manifest: Manifest, stored: Stored) -> list[tuple[str, str]]:
    totals, own = manifest.totals, [table for table in manifest.tables if table.carried is None]
    begun, ended = min((entry.created for entry in own), default=0), max((entry.ended for entry in own), default=0)
    earlier, copy = totals.reused + totals.carried, manifest.copy_of
    return [
        ("dataset", f"{manifest.project}.{manifest.dataset} ({manifest.location})"),
        ("run", f"{manifest.run} ({manifest.status})"),
        ("snapshot time", time_text(manifest.snapshot)),
        ("exported", f"{time_text(begun)} to {time_text(ended)}" if own else "in earlier runs only"),
        ("by", f"bqdump {manifest.tool}"),
        ("tables", f"{totals.tables:,}{f', of which {earlier:,} with files of earlier runs' if earlier else ''}"),
        ("rows", count_text(sum(map(rows_of, manifest.tables)))),
        ("files", f"{totals.files:,}, {size_text(totals.bytes)}"),
        ("manifest", stored.address),
        ("SHA-256 of the manifest", stored.sha256),
        ("generation of the manifest", str(stored.generation)),
        ("signatures", stored.signatures),
        *([("copied from", copy.source)] if copy else []),
        *([("files locked until", time_text(copy.locked_until))] if copy and copy.locked_until else []),
    ]


def _read(manifest: Manifest, entry: TableEntry) -> str:
    """The time of which the table's content is."""
    if entry.carried:
        return f"{time_text(entry.carried.as_of)}, by run {entry.carried.run}"
    return f"{time_text(entry.started)}, when its job ran" if entry.read_at == "job" else time_text(manifest.snapshot)
