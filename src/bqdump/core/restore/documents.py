"""The documents of a restore: what was decided, the notes on what is done, and the result.

Sizes are bytes, counts are rows or files, times are milliseconds since 1970 UTC.

The names of a restore's documents, each with a type.
"""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from bqdump.core.documents.document import FORMAT_VERSION, At, Count, Document, Notes, Path, RunId, Time
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.notes import Restored, RestoreFailure
from bqdump.core.documents.run import Owner
from bqdump.core.documents.sets import Name
from bqdump.core.documents.units import Claim, Folders
from bqdump.core.restore.names import mark_of
from bqdump.core.restore.plan import Options, TargetState
from bqdump.core.restore.result import Restoration
from bqdump.core.tables.catalog import Dataset

RestoreId = Annotated[str, Meta(pattern=r"^[0-9a-f]{12}-[0-9]{1,6}$(?!\n)")]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore does: the manifest that it restores, where to, and what the target held before.

    Everything else follows from it and the manifest, so every task has the same plan.

    manifest: the name of the object, which is read at `generation`.
    state: the target dataset when the restore was planned, None where there was none.
    nonce: see names.mark_of.
    jobs_in: the project of its jobs, "" for a restore of an earlier version.
    """

    format_version: int = FORMAT_VERSION
    restore: RestoreId
    run: RunId
    manifest: str
    generation: Count
    tool: str
    target: Dataset
    options: Options
    state: TargetState | None
    planned: Time
    nonce: Annotated[str, Meta(pattern=r"^[0-9a-f]{0,16}$(?!\n)")] = ""
    jobs_in: str = ""

    @property
    def mark(self) -> str:
        """What its jobs and tables carry."""
        return mark_of(self.restore, self.nonce)


class Loaded(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was found once a job had loaded a table under its own name: recorded by the first process, for all.

    job: "" for a table of which there is nothing to load.
    wrong: why its rows are not the export's, "" if they are.
    reason: in a word.
    """

    job: str
    reason: str = ""
    wrong: str = ""


class Upload(msgspec.Struct, frozen=True, array_like=True):
    """A file that is uploaded, by its name in the export."""

    name: str
    size: Count
    crc32c: str


class Uploads(msgspec.Struct, frozen=True):
    """What a restore may upload: written before the first upload, so that whatever clears up deletes nothing else.

    planned: when the restore was planned, by BigQuery's clock.
    """

    restore: RestoreId
    planned: Time
    files: tuple[Upload, ...]
    format_version: int = FORMAT_VERSION


class Execution(msgspec.Struct, frozen=True):
    """The restore that an execution takes part in: all of its tasks, also late ones, take part in the same."""

    restore: RestoreId


class DatasetRun(msgspec.Struct, frozen=True):
    """One dataset of a set that is restored, and the run of its export ("": none)."""

    dataset: Name
    run: str


class SetExecution(msgspec.Struct, frozen=True):
    """What an execution restores of a set: the same for all of its tasks, whatever is published meanwhile.

    run: of the set.
    include, exclude: the patterns that have chosen the datasets.
    """

    run: RunId
    parts: tuple[DatasetRun, ...]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


# What is below the folder of a restore, as RestoreLayout names it, apart from uploaded files.
DOCUMENTS = re.compile(
    r"(plan|finisher|restored)\.json|(report|failed-[^/]+)\.html|(claims|receipts|loads)/[^/]+\.json|failures/[^/]+/[^/]+\.json"
)


class RestoreLayout(msgspec.Struct, frozen=True):
    """Object names for one restore; `root` ends with a slash.

    nonce: of its decision. Claims and receipts have it in their names, as a process that was frozen while its restore
        was ended may still write them, and the restore that is begun anew has the same id.
    """

    root: str
    nonce: str = ""

    # What was decided.
    plan = At("plan.json", Decision, "page")
    # The folder of claims.
    claims = Path("claims/")
    # The folder of receipts: what is restored.
    receipts = Path("receipts/")
    # The folder of failures.
    failures = Path("failures/")
    # The folder of what was found of tables that were loaded under their own names.
    loads = Path("loads/")
    # The folder of uploaded files, while the restore loads them.
    files = Path("files/")
    # Which task restores what follows the tables.
    finisher = At("finisher.json", Owner)
    # The result of a restore that is complete.
    result = At("restored.json", Restoration)
    # The result for people: a page.
    report = Path("report.html")

    @property
    def pool(self) -> Folders[Restored, RestoreFailure]:
        """The notes on its tables, and on what follows them."""
        return Folders(Notes(self.claims, Claim), Notes(self.receipts, Restored), Notes(self.failures, RestoreFailure))

    def item_of(self, note: str) -> int | None:
        """The number that a note is about; None where it is of a restore with this id that was ended."""
        folder, _, name = note.removeprefix(self.root).partition("/")
        number, _, nonce = name.partition("/")[0].removesuffix(".json").partition("-")
        is_own = folder == "failures" or nonce in ("", self.nonce)
        return int(number) if is_own and number.isdecimal() else None

    def claim(self, number: int) -> Document[Claim]:
        """Which task restores the table of this number."""
        return Document(f"{self.claims}{self._noted(number)}", Claim, "note")

    def receipt(self, number: int) -> Document[Restored]:
        """The proof that the table or object of this number is restored."""
        return Document(f"{self.receipts}{self._noted(number)}", Restored, "note")

    def loaded(self, number: int) -> Document[Loaded]:
        """What was found of the table of this number once it was loaded under its own name."""
        return Document(f"{self.loads}{self._noted(number)}", Loaded)

    def _noted(self, number: int) -> str:
        return f"{number:06d}-{self.nonce}.json" if self.nonce else f"{number:06d}.json"

    def failure(self, number: int, attempt: int, execution: str) -> Document[RestoreFailure]:
        """Why an attempt failed, as this execution has met it: a failure binds its own execution only."""
        return Document(f"{self.failures}{number:06d}/{attempt}-{execution}.json", RestoreFailure, "note")

    def failed_report(self, execution: str) -> str:
        """The page about an execution in which something failed."""
        return f"{self.root}failed-{execution}.html"


class Restores(NamedTuple):
    """Object names of all restores of an export."""

    layout: Layout

    @property
    def restores(self) -> str:
        """The folder of all restores."""
        return f"{self.layout.root}restores/"

    @property
    def executions(self) -> str:
        """The folder of the notes which restore an execution takes part in."""
        return f"{self.layout.root}executions/"

    def execution(self, execution: str) -> Document[Execution]:
        """Which restore this execution takes part in."""
        return Document(f"{self.executions}{execution}.json", Execution)

    def set_execution(self, execution: str) -> Document[SetExecution]:
        """Which datasets of a set this execution restores."""
        return Document(f"{self.executions}sets/{execution}.json", SetExecution)

    @property
    def uploading(self) -> str:
        """The folder of lists of uploads, one for each restore that has uploaded files."""
        return f"{self.layout.root}uploads/"

    def uploads(self, mark: str) -> Document[Uploads]:
        """What the restore with this mark may upload."""
        return Document(f"{self.uploading}{mark}.json", Uploads)

    def restore(self, restore: str) -> RestoreLayout:
        """The names of one restore whose decision is not known: all but those of its receipts."""
        return RestoreLayout(f"{self.restores}{restore}/")

    def of(self, decision: Decision) -> RestoreLayout:
        """The names of one restore."""
        return RestoreLayout(f"{self.restores}{decision.restore}/", decision.nonce)
