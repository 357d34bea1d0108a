"""Back up BigQuery datasets to Cloud Storage: one snapshot time, published when complete, restorable.

    import bqdump

    backup = {"bucket": "my-exports", "path": "{run}/{table}/{table}_*.{ext}"}
    bqdump.run(project="my-project", dataset="sales", format="parquet", incremental=True, **backup)
    bqdump.manifest(**backup)["orders"].uris        # the addresses of a table's files
    bqdump.restore(into="my-project.sales_copy", **backup)

Each command of the command line is a function. Settings are keyword arguments; help(bqdump.run) lists them.

    export   doctor          permissions and risks before a run
             plan            what a run would do, and what it costs
             run             export
             status          progress of a run
    check    runs            the runs of a target, and what grew
             ls              what a run holds
             manifest        tables and files of a run
             verify          compare files with the manifest, or with BigQuery
             diff            what changed between two runs
             report          a run as an HTML page
             sql             query an export with DuckDB
    restore  restore         restore a run into a dataset
             restores        restores and their states; end one
             drill           prove that a run can be restored
    keep     copy            bring runs to another bucket, S3 or a folder
             tag             mark runs that are kept
             prune           delete runs that the retention policy no longer keeps
             erase           take a table out of all kept runs
    try      check_service   test what bqdump relies on

Every failure that can be expected is a BqdumpError. Names are imported when they are first used.
"""

from bqdump.core.version import VERSION

__version__ = VERSION

# As typing has it, without importing that.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from bqdump.api.arguments import Options
    from bqdump.api.inspection import diff, ls, manifest, report, runs, sql, status
    from bqdump.api.restores import drill, restore, restores
    from bqdump.api.runs import check_service, copy, doctor, erase, plan, prune, run, tag, verify
    from bqdump.check.doctor.checks import Check, CheckOutcome
    from bqdump.check.findings import Finding, FindingKind
    from bqdump.check.verify import ReadBack, SourceCompared, Verified, VerifiedDataset
    from bqdump.core.copy.plan import Copied, CopiedRun
    from bqdump.core.documents.changes import TableChange, TableGrowth
    from bqdump.core.documents.definitions import Index, RowPolicy, Unread
    from bqdump.core.documents.manifest import Erased, File, Totals
    from bqdump.core.documents.project import RemovedDataset, SkippedDataset
    from bqdump.core.documents.run import Failure, Flag, Owner, Skipped
    from bqdump.core.documents.unchanged import Removed
    from bqdump.core.errors import (
        AccessError,
        AnswerError,
        BqdumpError,
        ConflictError,
        DamagedError,
        DatasetsFailedError,
        DeniedError,
        DocumentError,
        JobFailedError,
        NotFoundError,
        OpenFilesError,
        OutageError,
        QuotaError,
        RowsError,
        SessionLostError,
        TablesFailedError,
        TargetError,
        UnavailableError,
        UsageError,
        VerificationError,
    )
    from bqdump.core.exported import Definition, Definitions, Manifest, Table
    from bqdump.core.listing import LeftOut, ListedDataset, ListedObject, ListedTable, Listing
    from bqdump.core.plan.altered import AlteredColumn
    from bqdump.core.plan.summary import Planned, PlannedDataset, PlannedTable, UnchangedTable
    from bqdump.core.progress.export import DatasetExport, Export
    from bqdump.core.restore.drilled import Drilled, Restorable
    from bqdump.core.restore.listing import AbortedRestore, ListedRestore, RestoreList
    from bqdump.core.restore.plan import NotRestored
    from bqdump.core.restore.result import NotCreated, Restoration, RestoredDataset, RestoredObject, RestoredTable
    from bqdump.core.results import Rows, State
    from bqdump.core.retention.erased import ErasedFrom, Erasures, Held
    from bqdump.core.retention.pruned import Pruned, RetainedRun
    from bqdump.core.risks import Risk
    from bqdump.diagnosis import Cure, Diagnosis
    from bqdump.observe.history import RunLine
    from bqdump.observe.status import DatasetStatus, LeftDataset, Status
    from bqdump.ports.data_reader import Answer
    from bqdump_claims.result import ServiceCheck, TriedClaim, Verdict

__all__ = [
    "AbortedRestore",
    "AccessError",
    "AlteredColumn",
    "Answer",
    "AnswerError",
    "BqdumpError",
    "Check",
    "CheckOutcome",
    "ConflictError",
    "Copied",
    "CopiedRun",
    "Cure",
    "DamagedError",
    "DatasetExport",
    "DatasetStatus",
    "DatasetsFailedError",
    "Definition",
    "Definitions",
    "DeniedError",
    "Diagnosis",
    "DocumentError",
    "Drilled",
    "Erased",
    "ErasedFrom",
    "Erasures",
    "Export",
    "Failure",
    "File",
    "Finding",
    "FindingKind",
    "Flag",
    "Held",
    "Index",
    "JobFailedError",
    "LeftDataset",
    "LeftOut",
    "ListedDataset",
    "ListedObject",
    "ListedRestore",
    "ListedTable",
    "Listing",
    "Manifest",
    "NotCreated",
    "NotFoundError",
    "NotRestored",
    "OpenFilesError",
    "Options",
    "OutageError",
    "Owner",
    "Planned",
    "PlannedDataset",
    "PlannedTable",
    "Pruned",
    "QuotaError",
    "ReadBack",
    "Removed",
    "RemovedDataset",
    "Restorable",
    "Restoration",
    "RestoreList",
    "RestoredDataset",
    "RestoredObject",
    "RestoredTable",
    "RetainedRun",
    "Risk",
    "RowPolicy",
    "Rows",
    "RowsError",
    "RunLine",
    "ServiceCheck",
    "SessionLostError",
    "Skipped",
    "SkippedDataset",
    "SourceCompared",
    "State",
    "Status",
    "Table",
    "TableChange",
    "TableGrowth",
    "TablesFailedError",
    "TargetError",
    "Totals",
    "TriedClaim",
    "UnavailableError",
    "UnchangedTable",
    "Unread",
    "UsageError",
    "Verdict",
    "VerificationError",
    "Verified",
    "VerifiedDataset",
    "__version__",
    "check_service",
    "copy",
    "diff",
    "doctor",
    "drill",
    "erase",
    "ls",
    "manifest",
    "plan",
    "prune",
    "report",
    "restore",
    "restores",
    "run",
    "runs",
    "sql",
    "status",
    "tag",
    "verify",
]

# Where each name is defined; errors are in bqdump.core.errors.
_HOMES = {
    "bqdump.api.arguments": ("Options",),
    "bqdump.api.inspection": ("diff", "ls", "manifest", "report", "runs", "sql", "status"),
    "bqdump.api.restores": ("drill", "restore", "restores"),
    "bqdump.api.runs": ("check_service", "copy", "doctor", "plan", "erase", "prune", "run", "tag", "verify"),
    "bqdump.check.doctor.checks": ("Check", "CheckOutcome"),
    "bqdump.check.findings": ("Finding", "FindingKind"),
    "bqdump.check.verify": ("ReadBack", "SourceCompared", "Verified", "VerifiedDataset"),
    "bqdump.core.copy.plan": ("Copied", "CopiedRun"),
    "bqdump.core.documents.changes": ("TableChange", "TableGrowth"),
    "bqdump.core.documents.definitions": ("Index", "RowPolicy", "Unread"),
    "bqdump.core.documents.manifest": ("Erased", "File", "Totals"),
    "bqdump.core.documents.project": ("RemovedDataset", "SkippedDataset"),
    "bqdump.core.documents.run": ("Failure", "Flag", "Owner", "Skipped"),
    "bqdump.core.documents.unchanged": ("Removed",),
    "bqdump.core.exported": ("Definition", "Definitions", "Manifest", "Table"),
    "bqdump.core.listing": ("LeftOut", "ListedDataset", "ListedObject", "ListedTable", "Listing"),
    "bqdump.core.plan.altered": ("AlteredColumn",),
    "bqdump.core.plan.summary": ("Planned", "PlannedDataset", "PlannedTable", "UnchangedTable"),
    "bqdump.core.progress.export": ("DatasetExport", "Export"),
    "bqdump.core.restore.drilled": ("Drilled", "Restorable"),
    "bqdump.core.restore.listing": ("AbortedRestore", "ListedRestore", "RestoreList"),
    "bqdump.core.restore.plan": ("NotRestored",),
    "bqdump.core.restore.result": ("NotCreated", "Restoration", "RestoredDataset", "RestoredObject", "RestoredTable"),
    "bqdump.core.results": ("Rows", "State"),
    "bqdump.core.retention.erased": ("ErasedFrom", "Erasures", "Held"),
    "bqdump.core.retention.pruned": ("Pruned", "RetainedRun"),
    "bqdump.core.risks": ("Risk",),
    "bqdump.diagnosis": ("Cure", "Diagnosis"),
    "bqdump.observe.history": ("RunLine",),
    "bqdump.observe.status": ("DatasetStatus", "LeftDataset", "Status"),
    "bqdump.ports.data_reader": ("Answer",),
    "bqdump_claims.result": ("ServiceCheck", "TriedClaim", "Verdict"),
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """A name of the Python API, imported now."""
        if name not in __all__:
            raise AttributeError(f"module 'bqdump' has no attribute {name!r}")
        from importlib import import_module

        home = next((home for home, names in _HOMES.items() if name in names), "bqdump.core.errors")
        return globals().setdefault(name, getattr(import_module(home), name))


def __dir__() -> list[str]:
    return __all__
