"""The names of one run's documents, and the ids of its units.

A unit's id is `<share>-<number>`, five digits each, so that a listing by prefix finds the units of one share.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from msgspec import Struct

from bqdump.core.documents.copying import ArrivedFiles, Copying, Renewed
from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.document import At, Document, Notes, Path
from bqdump.core.documents.manifest import Manifest, ManifestFiles
from bqdump.core.documents.run import Failure, FileDigests, Owner, Plan, Receipt
from bqdump.core.documents.signature import Envelope
from bqdump.core.documents.target import IcebergTables, Intent
from bqdump.core.documents.units import Changed, Claim, Folders, GivenUp, ReadAttempt, SharedSession

if TYPE_CHECKING:
    from bqdump.core.documents.manifest_index import Contents

UNIT_ID = re.compile(r"[0-9]{5,}-[0-9]{5,}")
# How a unit has ended, or that it must be read in another way: one of them is stored, under one name.
End = Receipt | GivenUp | Changed
ENDS: tuple[type[End], ...] = (Receipt, GivenUp, Changed)


def unit_id(share: int, number: int) -> str:
    """The id of the unit with this number (from 0) in this share (from 0)."""
    return f"{share:05d}-{number:05d}"


def share_of(unit: str) -> int | None:
    """The share of a unit, None where this is not the id of a unit."""
    share, dash, _ = unit.partition("-")
    return int(share) if dash and share.isdecimal() else None


class RunLayout(Struct, frozen=True):
    """Object names for one run; `root` ends with a slash."""

    root: str

    # The frozen plan.
    plan = At("plan.json", Plan, "page")
    # Says who is planning, so that the other tasks wait instead of planning as well.
    planner = At("planner.json", Owner)
    # The folder of claims.
    claims = Path("claims/")
    # The folder of attempts by the read route.
    read_attempts = Path("readings/")
    # The folder of receipts.
    receipts = Path("receipts/")
    # The folder of failures.
    failures = Path("failures/")
    # The folder of files that are not published yet (replace mode).
    staging = Path("data/")
    # Which task publishes, so that others that finish with it do not do the same work.
    publisher = At("publisher.json", Owner)
    # The final names that the run is about to write (replace mode).
    intent = At("intent.json", Intent)
    # The record of the complete run.
    manifest = At("manifest.json", Manifest)
    # The metadata file of each of the run's Iceberg tables.
    iceberg = At("iceberg.json", IcebergTables, "page")
    # The run for people: a page.
    report = Path("report.html")
    # The folder of notes on who moves which batch of a copy.
    shared = Path("moving/")
    # The folder of what a copy has moved, batch by batch.
    arrivals = Path("copied/")
    # Who has signed the manifest.
    signature = At("signature.json", Envelope, "page")
    # Says that the run is being copied here, and which files it has.
    copying = At("copying.json", Copying)

    @property
    def contents(self) -> Document[Contents]:
        """The manifest's index: a line of numbers for each table."""
        from bqdump.core.documents.manifest_index import Contents

        return Document(f"{self.root}contents.json", Contents)

    @property
    def pool(self) -> Folders[End, Failure]:
        """The notes on its units."""
        return Folders(Notes(self.claims, Claim), Notes(self.receipts, ENDS), Notes(self.failures, Failure))

    def item_of(self, note: str) -> str:
        """The unit of a note's name, "" when there is none."""
        return unit_of(note)

    def units(self, nonce: str) -> str:
        """The units of the plan, one JSON line each, share after share."""
        return f"{self.root}units-{nonce}.jsonl"

    def definitions(self, nonce: str) -> Document[Definitions]:
        """What the plan records of the dataset besides its tables."""
        return Document(f"{self.root}definitions-{nonce}.json", Definitions)

    def claim(self, unit: str) -> Document[Claim]:
        """Which task works on the unit."""
        return Document(f"{self.claims}{unit}.json", Claim, "note")

    def read_attempt(self, unit: str, attempt: int) -> Document[ReadAttempt]:
        """Whose this attempt at a unit by the read route is."""
        return Document(f"{self.read_attempts}{unit}.{attempt}.json", ReadAttempt, "note")

    def digests(self, unit: str, attempt: int) -> Document[FileDigests]:
        """The SHA-256 of the files that this attempt at a unit by the read route has written."""
        return Document(f"{self.root}digests/{unit}.{attempt}.json", FileDigests)

    def session(self, lead: str) -> Document[SharedSession]:
        """The read session of the table whose first part is the unit `lead`."""
        return Document(f"{self.root}sessions/{lead}.json", SharedSession)

    def receipt(self, unit: str) -> Document[End]:
        """The proof that the unit is done."""
        return Document(f"{self.receipts}{unit}.json", ENDS, "note")

    def failure(self, unit: str, attempt: int, execution: str) -> Document[Failure]:
        """Why an attempt at a unit failed, as this execution has met it: a failure binds its own execution only."""
        return Document(f"{self.failures}{unit}/{attempt}-{execution}.json", Failure, "note")

    def staged(self, unit: str, attempt: int, pattern: str) -> str:
        """The pattern of the files that this attempt at a unit writes."""
        return f"{self.staging}{unit}.{attempt}/{pattern.rsplit('/', 1)[-1]}"

    def failed_report(self, execution: str) -> str:
        """The page for people about an execution that has published nothing, since tables failed."""
        return f"{self.root}failed-{execution}.html"

    def notified(self, event: str, execution: str) -> Document[Owner]:
        """Which task posts a notice, so that the others of its execution do not."""
        return Document(f"{self.root}notified/{event}-{execution}.json", Owner)

    def posted(self, event: str) -> Document[Owner]:
        """Which task has posted a notice."""
        return Document(f"{self.root}notified/{event}.json", Owner)

    @property
    def manifest_files(self) -> Document[ManifestFiles]:
        """The same object, read for the files that it names only."""
        return Document(self.manifest.name, ManifestFiles)

    def second_signature(self, signature: bytes) -> Document[Envelope]:
        """This signature where the first name is taken and objects are locked. Only its key can tell that name."""
        digest = hashlib.sha256(signature).hexdigest()[:16]
        return Document(f"{self.root}signature-{digest}.json", Envelope, "page")

    def renewed(self, copying: int) -> Document[Renewed]:
        """Which files that copy moves again. copying: the generation of its copying.json."""
        return Document(f"{self.root}renewed-{copying}.json", Renewed)

    def batch(self, number: int) -> Document[Owner]:
        """Which task moves this batch of files; rewritten as a pulse."""
        return Document(f"{self.shared}{number:06d}.json", Owner)

    def arrived(self, batch: int) -> Document[ArrivedFiles]:
        """What a copy has moved of this batch of files."""
        return Document(f"{self.arrivals}{batch:06d}.json", ArrivedFiles)


def names_beside(manifest: str) -> RunLayout:
    """The names of the documents beside a manifest of this name."""
    return RunLayout(manifest.removesuffix("manifest.json"))


def attempt_of(name: str) -> int | None:
    """The attempt of a reading's object name, None for any other name."""
    number = name.rpartition("/")[2].removesuffix(".json").partition(".")[2]
    return int(number) if re.fullmatch("[0-9]{1,9}", number) else None


def unit_of(name: str) -> str:
    """The unit of a claim's, receipt's, failure's or staged file's object name, "" when there is none."""
    for part in reversed(name.split("/")):
        head = part.split(".", 1)[0]
        if UNIT_ID.fullmatch(head):
            return head
    return ""
