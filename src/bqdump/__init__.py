"""Back up BigQuery datasets to Cloud Storage: one snapshot time, published when complete, restorable.

    import bqdump

    sales = bqdump.Backup(project="my-project", dataset="sales", bucket="my-exports", format="parquet")
    sales.run(path="{run}/{table}/{table}_*.{ext}", incremental=True)
    sales.manifest()["orders"].uris        # the addresses of a table's files
    sales.restore(into="my-project.sales_copy")

Each command of the command line is a function, and a method of Backup. Settings are keyword arguments; help(bqdump.run)
lists them. What is named on this page is public.

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

Every failure that can be expected is a BqdumpError, of a kind such as bqdump.NotFoundError. dir(bqdump) lists these and
the types of results, and help(bqdump.Export) describes one. Names are imported when they are first used.
"""

import sys

from bqdump.core.version import VERSION

__version__ = VERSION

# What help(bqdump) describes. With each type of a result, that would have 12,000 lines.
__all__ = [
    "Backup",
    "BqdumpError",
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

# Kinds of failures, and types of results and settings.
_TYPES = [
    "AbortedRestore",
    "AccessError",
    "AlteredColumn",
    "Answer",
    "AnswerError",
    "ByLabel",
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
    "JobsDeniedError",
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
    "PerimeterError",
    "Planned",
    "PlannedDataset",
    "PlannedTable",
    "Pruned",
    "QuotaError",
    "ReadBack",
    "Recovery",
    "RecoveryTable",
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
]

# As typing has it, without importing that.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableSequence
    from types import ModuleType

    from bqdump.api import *
else:
    ModuleType = type(sys)

    def __getattr__(name: str) -> object:
        """A name of the Python API, which is imported now."""
        if name not in __all__ and name not in _TYPES:
            raise AttributeError(f"module 'bqdump' has no attribute {name!r}")
        from bqdump import api

        return globals().setdefault(name, getattr(api, name))


def __dir__() -> list[str]:
    return sorted(__all__ + _TYPES)


class _Public(ModuleType):
    """This package, whose help does not list the packages below it, as pydoc would: they are internal."""

    @property
    def __path__(self) -> "MutableSequence[str]":
        if sys._getframe(1).f_globals.get("__name__") == "pydoc":
            raise AttributeError
        folders: MutableSequence[str] = self.__dict__["__path__"]
        return folders

    @__path__.setter
    def __path__(self, folders: "MutableSequence[str]") -> None:
        self.__dict__["__path__"] = folders


sys.modules[__name__].__class__ = _Public
