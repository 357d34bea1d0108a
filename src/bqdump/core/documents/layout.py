"""The names of bqdump's documents: every object name below `[prefix/]_bqdump/` is made here, and has a type.

Those of a restore are made in `restore_layout`, those of a set of datasets in `project_layout`.

A unit's id is `<share>-<number>`, five digits each, so that a listing by prefix finds the units of one share.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from bqdump.core.documents.definitions import Definitions
from bqdump.core.documents.document import Document, union
from bqdump.core.documents.manifest import Intent, Latest, Manifest, ManifestFiles, Publishing
from bqdump.core.documents.restore_layout import RestoreLayout
from bqdump.core.documents.run import Failure, Owner, Plan, Receipt
from bqdump.core.documents.target import Newest, PrefixOwner, Stages
from bqdump.core.units.documents import Changed, Claim, GivenUp, ReadAttempt, SharedSession

if TYPE_CHECKING:
    from bqdump.core.documents.drill import Drill
    from bqdump.core.documents.manifest_index import Contents, Summary
    from bqdump.core.documents.project import Project
    from bqdump.core.documents.project_layout import ProjectLayout
    from bqdump.core.documents.restore import Execution
    from bqdump.core.documents.retention import Reference, Tags, Tombstone

STATE = "_bqdump"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# The largest documents in bytes; larger ones are not read. The small ones do not grow with the tables.
SMALL, LARGEST = 1 << 20, 512 << 20
SMALL_DOCUMENTS = (
    "dataset.json",
    "latest.json",
    "publishing.json",
    "newest.json",
    "planner.json",
    "publisher.json",
    "finisher.json",
)
# The folders of a run, and of a restore, that hold notes.
NOTES = (["claims"], ["readings"], ["receipts"], ["failures"], ["references"])
RESTORE_NOTES = (["done"], ["failures"])
PROJECT_NOTES = (["planned"], ["ready"], ["ended"], ["failures"])
NOTES_IN = {"runs": NOTES, "restores": RESTORE_NOTES, "projects": PROJECT_NOTES}
UNIT_ID = re.compile(r"[0-9]{5,}-[0-9]{5,}")
# How a unit has ended, or that it must be read in another way: one of them is stored, under one name.
End: type[Receipt | GivenUp | Changed] = union(Receipt | GivenUp | Changed)


def unit_id(share: int, number: int) -> str:
    """The id of the unit with this number (from 0) in this share (from 0)."""
    return f"{share:05d}-{number:05d}"


def share_of(unit: str) -> int | None:
    """The share of a unit, None where this is not the id of a unit."""
    share, dash, _ = unit.partition("-")
    return int(share) if dash and share.isdecimal() else None


class Layout(NamedTuple):
    """Object names for one target; `prefix` is "" or ends with a slash."""

    prefix: str

    @property
    def state(self) -> str:
        """The folder of all of bqdump's own documents."""
        return f"{self.prefix}{STATE}/"

    @property
    def owner(self) -> Document[PrefixOwner]:
        """Which dataset the prefix belongs to."""
        return Document(f"{self.state}dataset.json", PrefixOwner, "page")

    @property
    def latest(self) -> Document[Latest]:
        """The pointer to the manifest that readers should follow."""
        return Document(f"{self.state}latest.json", Latest, "page")

    @property
    def publishing(self) -> Document[Publishing]:
        """Which run may write final names now (replace mode)."""
        return Document(f"{self.state}publishing.json", Publishing, "page")

    @property
    def newest(self) -> Document[Newest]:
        """The run that was planned last: the default of `bqdump status`."""
        return Document(f"{self.state}newest.json", Newest, "page")

    @property
    def runs(self) -> str:
        """The folder of all runs."""
        return f"{self.state}runs/"

    @property
    def staged(self) -> str:
        """The folder of notes on runs that may have staged files, so that one listing returns all of them."""
        return f"{self.state}staged/"

    def stages(self, run: str) -> Document[Stages]:
        """The note that this run may have staged files."""
        return Document(f"{self.staged}{run}.json", Stages, "note")

    @property
    def history(self) -> str:
        """The folder of summaries, a note for each completed run, so that one listing returns all of them."""
        return f"{self.state}history/"

    def summary(self, run: str) -> Document[Summary]:
        """The summary of this completed run."""
        from bqdump.core.documents.manifest_index import Summary

        return Document(f"{self.history}{run}.json", Summary, "note")

    @property
    def drills(self) -> str:
        """The folder of drills, a note for each, so that one listing returns all of them."""
        return f"{self.state}drills/"

    def drill(self, name: str) -> Document[Drill]:
        """What this drill proved."""
        from bqdump.core.documents.drill import Drill

        return Document(f"{self.drills}{name}.json", Drill, "note")

    @property
    def tagged(self) -> str:
        """The folder of tags, a note for each run that has any, so that one listing returns all of them."""
        return f"{self.state}tags/"

    def tags(self, run: str) -> Document[Tags]:
        """The tags of this run."""
        from bqdump.core.documents.retention import Tags

        return Document(f"{self.tagged}{run}.json", Tags, "note")

    @property
    def iceberg(self) -> str:
        """The folder of Iceberg tables."""
        return f"{self.state}iceberg/"

    def iceberg_table(self, table: str) -> str:
        """The folder of a table's Iceberg metadata."""
        return f"{self.iceberg}{table}/"

    def run(self, run: str) -> RunLayout:
        """The names of one run."""
        return RunLayout(f"{self.runs}{run}/")

    @property
    def project(self) -> Document[Project]:
        """The exports of several datasets that belong together."""
        from bqdump.core.documents.project import Project

        return Document(f"{self.state}project.json", Project, "page")

    @property
    def projects(self) -> str:
        """The folder of all runs of a set of datasets."""
        return f"{self.state}projects/"

    def project_run(self, run: str) -> ProjectLayout:
        """The names of one run of a set of datasets."""
        from bqdump.core.documents.project_layout import ProjectLayout

        return ProjectLayout(f"{self.projects}{run}/")

    @property
    def restores(self) -> str:
        """The folder of all restores."""
        return f"{self.state}restores/"

    def execution(self, execution: str) -> Document[Execution]:
        """Which restore this execution takes part in."""
        from bqdump.core.documents.restore import Execution

        return Document(f"{self.state}executions/{execution}.json", Execution)

    def restore(self, restore: str) -> RestoreLayout:
        """The names of one restore."""
        return RestoreLayout(f"{self.restores}{restore}/")


class RunLayout(NamedTuple):
    """Object names for one run; `root` ends with a slash."""

    root: str

    @property
    def plan(self) -> Document[Plan]:
        """The frozen plan."""
        return Document(f"{self.root}plan.json", Plan, "page")

    def units(self, nonce: str) -> str:
        """The units of the plan, one JSON line each, share after share."""
        return f"{self.root}units-{nonce}.jsonl"

    def definitions(self, nonce: str) -> Document[Definitions]:
        """What the plan records of the dataset besides its tables."""
        return Document(f"{self.root}definitions-{nonce}.json", Definitions)

    @property
    def planner(self) -> Document[Owner]:
        """Says who is planning, so that the other tasks wait instead of planning as well."""
        return Document(f"{self.root}planner.json", Owner)

    @property
    def claims(self) -> str:
        """The folder of claims."""
        return f"{self.root}claims/"

    def claim(self, unit: str) -> Document[Claim]:
        """Which task works on the unit."""
        return Document(f"{self.claims}{unit}.json", Claim, "note")

    @property
    def read_attempts(self) -> str:
        """The folder of attempts by the read route."""
        return f"{self.root}readings/"

    def read_attempt(self, unit: str, attempt: int) -> Document[ReadAttempt]:
        """Whose this attempt at a unit by the read route is."""
        return Document(f"{self.read_attempts}{unit}.{attempt}.json", ReadAttempt, "note")

    def session(self, lead: str) -> Document[SharedSession]:
        """The read session of the table whose first part is the unit `lead`."""
        return Document(f"{self.root}sessions/{lead}.json", SharedSession)

    @property
    def receipts(self) -> str:
        """The folder of receipts."""
        return f"{self.root}receipts/"

    def receipt(self, unit: str) -> Document[Receipt | GivenUp | Changed]:
        """The proof that the unit is done."""
        return Document(f"{self.receipts}{unit}.json", End, "note")

    @property
    def failures(self) -> str:
        """The folder of failures."""
        return f"{self.root}failures/"

    def failure(self, unit: str, attempt: int, execution: str) -> Document[Failure]:
        """Why an attempt at a unit failed, as this execution has met it: a failure binds its own execution only."""
        return Document(f"{self.failures}{unit}/{attempt}-{execution}.json", Failure, "note")

    @property
    def staging(self) -> str:
        """The folder of files that are not published yet (replace mode)."""
        return f"{self.root}data/"

    def staged(self, unit: str, attempt: int, pattern: str) -> str:
        """The pattern of the files that this attempt at a unit writes."""
        return f"{self.staging}{unit}.{attempt}/{pattern.rsplit('/', 1)[-1]}"

    def failed_report(self, execution: str) -> str:
        """The page for people about an execution that has published nothing, since tables failed."""
        return f"{self.root}failed-{execution}.html"

    def notified(self, event: str, execution: str) -> Document[Owner]:
        """Which task posts a notice, so that the others of its execution do not."""
        return Document(f"{self.root}notified/{event}-{execution}.json", Owner)

    @property
    def publisher(self) -> Document[Owner]:
        """Which task publishes, so that others that finish with it do not do the same work."""
        return Document(f"{self.root}publisher.json", Owner)

    @property
    def intent(self) -> Document[Intent]:
        """The final names that the run is about to write (replace mode)."""
        return Document(f"{self.root}intent.json", Intent)

    @property
    def manifest(self) -> Document[Manifest]:
        """The record of the complete run."""
        return Document(f"{self.root}manifest.json", Manifest)

    @property
    def manifest_files(self) -> Document[ManifestFiles]:
        """The same object, read for the files that it names only."""
        return Document(self.manifest.name, ManifestFiles)

    @property
    def contents(self) -> Document[Contents]:
        """The manifest's index: a line of numbers for each table."""
        from bqdump.core.documents.manifest_index import Contents

        return Document(f"{self.root}contents.json", Contents)

    @property
    def report(self) -> str:
        """The same for people: a page."""
        return f"{self.root}report.html"

    @property
    def references(self) -> str:
        """The folder of references: notes on runs that rely on files which this run names."""
        return f"{self.root}references/"

    def reference(self, run: str) -> Document[Reference]:
        """The note that this later run relies on files which this run names."""
        from bqdump.core.documents.retention import Reference

        return Document(f"{self.references}{run}.json", Reference, "note")

    @property
    def tombstone(self) -> Document[Tombstone]:
        """Says that the run is being pruned."""
        from bqdump.core.documents.retention import Tombstone

        return Document(f"{self.root}tombstone.json", Tombstone)


def most_bytes(name: str) -> int | None:
    """How large an object of this name may be to be read whole; None for what is none of bqdump's documents."""
    folder, slash, last = name.rpartition("/")
    if f"/{STATE}/" not in f"/{folder}{slash}":
        return None
    return SMALL if last in SMALL_DOCUMENTS else LARGEST


def is_note(name: str) -> bool:
    """Whether an object of this name is a note: a small document, one for each unit, attempt or run."""
    _, state, rest = f"/{name}".rpartition(f"/{STATE}/")
    folders = rest.split("/")[:-1]
    if not state or folders in (["history"], ["staged"], ["drills"], ["tags"]):
        return bool(state)
    return folders[2:3] in NOTES_IN.get(folders[0] if folders else "", ())


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
