"""The names of bqdump's documents: every object name below `[prefix/]_bqdump/` is made here, and has a type.

Those of a run are made in `run_layout`, those of a set of datasets in `sets`, those of a restore in
`core.restore.documents`.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct

from bqdump.core.documents.copying import CopyPlace
from bqdump.core.documents.document import LARGEST, STATE, At, Document, Notes, Path
from bqdump.core.documents.retention import Erasure, PrunedRun, Tags
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.sets import SetLayout, SetManifest
from bqdump.core.documents.signature import Envelope
from bqdump.core.documents.target import (
    Drill,
    Erasing,
    Latest,
    LogEntry,
    Newest,
    PrefixOwner,
    Proofs,
    Publishing,
    Stages,
    entry_name,
)

# The largest of the documents that do not grow with the tables, in bytes.
SMALL = 1 << 20
SMALL_DOCUMENTS = (
    "copies.json",
    "dataset.json",
    "erasing.json",
    "latest.json",
    "publishing.json",
    "newest.json",
    "planner.json",
    "publisher.json",
    "finisher.json",
    "signature.json",
)
# What follows the name of the note on a drill in that of its signature.
SIGNATURE = ".sig"
# What the names of the proofs of drills end with.
PROOFS = ".proofs"
# The folders of a run, and of a restore, that hold notes.
NOTES = (["claims"], ["readings"], ["receipts"], ["failures"])
RESTORE_NOTES = (["claims"], ["receipts"], ["failures"])
SET_NOTES = (["planned"], ["receipts"], ["failures"])
NOTES_IN = {"runs": NOTES, "restores": RESTORE_NOTES, "projects": SET_NOTES}


class Layout(Struct, frozen=True):
    """Object names for one target; `prefix` is "" or ends with a slash."""

    prefix: str

    # The table that is being taken out of the kept runs, as long as that takes.
    erasing = At("erasing.json", Erasing, "page")
    # Which dataset the prefix belongs to.
    owner = At("dataset.json", PrefixOwner, "page")
    # The pointer to the manifest that readers should follow.
    latest = At("latest.json", Latest, "page")
    # Which run may write final names now (replace mode).
    publishing = At("publishing.json", Publishing, "page")
    # The run that was planned last: the default of `bqdump status`.
    newest = At("newest.json", Newest, "page")
    # The folder of all runs.
    runs = Path("runs/")
    # The folder of notes on runs that may have staged files, so that one listing returns all of them.
    staged = Path("staged/")
    # The log: a note for each complete run, in the order of their snapshot times.
    log = Path("log/")
    # The marks of pruned runs, below the log: one listing returns both.
    pruned = Path("log/pruned/")
    # Written anew to learn the time by the store's clock.
    clock = Path("clock.json")
    # The folder of drills, a note for each, so that one listing returns all of them.
    drills = Path("drills/")
    # The folder of tags, a note for each run that has any, so that one listing returns all of them.
    tagged = Path("tags/")
    # The folder of records of erasures.
    erasures = Path("erasures/")
    # The folder of Iceberg tables.
    iceberg = Path("iceberg/")
    # The folder of all runs of a set of datasets.
    set_runs = Path("projects/")
    # What the place holds copies of; only `bqdump copy` writes it.
    copies = At("copies.json", CopyPlace, "page")
    # The exports of several datasets that belong together.
    set_manifest = At("project.json", SetManifest, "page")

    @property
    def root(self) -> str:
        """The folder of all of bqdump's own documents."""
        return f"{self.prefix}{STATE}/"

    @property
    def pointers(self) -> Notes[Latest]:
        """The pointers of a set whose copies are locked: one for each run."""
        return Notes(f"{self.root}pointers/", Latest)

    def set_pointer(self, run: str, digest: str) -> Document[Latest]:
        """The pointer to a manifest of this run of a set, where objects are locked."""
        return Document(f"{self.root}pointers/{run}.{digest}.json", Latest, "note")

    def stages(self, run: str) -> Document[Stages]:
        """The note that this run may have staged files."""
        return Document(f"{self.staged}{run}.json", Stages, "note")

    def entry(self, run: str, snapshot: int) -> Document[LogEntry]:
        """The entry of this run in the log. snapshot: its snapshot time."""
        return Document(f"{self.log}{entry_name(run, snapshot)}", LogEntry, "note")

    def mark(self, run: str) -> Document[PrunedRun]:
        """Says that this run was pruned."""
        return Document(f"{self.pruned}{run}.json", PrunedRun, "note")

    def drill(self, name: str) -> Document[Drill]:
        """What this drill proved."""
        return Document(f"{self.drills}{name}.json", Drill, "note")

    def proofs(self, digest: str) -> Document[Proofs]:
        """The tables that drills have proven, by its SHA-256."""
        return Document(f"{self.drills}{digest}{PROOFS}", Proofs)

    def drill_signature(self, note: str) -> Document[Envelope]:
        """The signature of the note on a drill. note: its object name."""
        return Document(f"{note}{SIGNATURE}", Envelope, "page")

    def tags(self, run: str) -> Document[Tags]:
        """The tags of this run."""
        return Document(f"{self.tagged}{run}.json", Tags, "note")

    def erasure(self, erasing: Erasing) -> Document[Erasure]:
        """What this erasure takes out of which runs."""
        what = hashlib.sha256(f"{erasing.table}\n{erasing.before}".encode()).hexdigest()[:12]
        return Document(f"{self.erasures}{erasing.at}-{what}.json", Erasure)

    def iceberg_table(self, table: str) -> str:
        """The folder of a table's Iceberg metadata."""
        return f"{self.iceberg}{table}/"

    def run(self, run: str) -> RunLayout:
        """The names of one run."""
        return RunLayout(f"{self.runs}{run}/")

    def set_run(self, run: str) -> SetLayout:
        """The names of one run of a set of datasets."""
        return SetLayout(f"{self.set_runs}{run}/")


def among_documents(name: str, layout: Layout) -> bool:
    """Whether a file of this name would be among this export's documents, or could be one of another export's.

    No document's name begins with that of the folder, so files of a table of this name may be next to it.
    """
    if name.startswith(layout.root):
        return True
    *folders, last = name.removeprefix(layout.prefix).split("/")
    return STATE in folders[:-1] or (folders[-1:] == [STATE] and not last.startswith(STATE))


def most_bytes(name: str) -> int | None:
    """How large an object of this name may be to be read whole; None for what is none of bqdump's documents."""
    folder, slash, last = name.rpartition("/")
    if f"/{STATE}/" not in f"/{folder}{slash}":
        return None
    small = last in SMALL_DOCUMENTS or last.startswith("signature-") or is_note(name)
    return SMALL if small else LARGEST


def is_note(name: str) -> bool:
    """Whether an object of this name is a note: a small document, one for each unit, attempt or run."""
    _, state, rest = f"/{name}".rpartition(f"/{STATE}/")
    if not state or not rest.endswith(".json"):
        return False
    folders = rest.split("/")[:-1]
    if folders in (["log"], ["log", "pruned"], ["staged"], ["drills"], ["tags"], ["pointers"]):
        return True
    return folders[2:3] in NOTES_IN.get(folders[0] if folders else "", ())
