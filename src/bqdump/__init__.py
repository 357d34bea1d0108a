"""bqdump: export every table of a BigQuery dataset to Cloud Storage, at one moment, published only when whole.

The verbs of the command line are functions here (see bqdump.api). They are imported when they are first used.
"""

from bqdump.core.version import VERSION

__version__ = VERSION

# As typing has it, without importing that.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from bqdump.api import diff, doctor, manifest, plan, report, run, runs, status, verify
    from bqdump.arguments import Options
    from bqdump.check.verify import Verified
    from bqdump.core.documents.changes import TableChange
    from bqdump.core.documents.manifest import Manifest
    from bqdump.core.errors import (
        AccessError,
        AnswerError,
        BqdumpError,
        ConflictError,
        DeniedError,
        DocumentError,
        JobFailedError,
        NotFoundError,
        OutageError,
        QuotaError,
        TargetError,
        UnavailableError,
        UnitsFailedError,
        UsageError,
        VerificationError,
    )
    from bqdump.core.plan.summary import Planned
    from bqdump.core.progress.outcome import Export
    from bqdump.diagnosis import Diagnosis
    from bqdump.observe.history import RunLine
    from bqdump.observe.status import Status

__all__ = [
    "AccessError",
    "AnswerError",
    "BqdumpError",
    "ConflictError",
    "DeniedError",
    "Diagnosis",
    "DocumentError",
    "Export",
    "JobFailedError",
    "Manifest",
    "NotFoundError",
    "Options",
    "OutageError",
    "Planned",
    "QuotaError",
    "RunLine",
    "Status",
    "TableChange",
    "TargetError",
    "UnavailableError",
    "UnitsFailedError",
    "UsageError",
    "VerificationError",
    "Verified",
    "__version__",
    "diff",
    "doctor",
    "manifest",
    "plan",
    "report",
    "run",
    "runs",
    "status",
    "verify",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """A name of the Python API, imported now."""
        if name not in __all__:
            raise AttributeError(f"module 'bqdump' has no attribute {name!r}")
        from importlib import import_module

        module = import_module("bqdump.core.errors" if name.endswith("Error") else "bqdump.api")
        return globals().setdefault(name, getattr(module, name))


def __dir__() -> list[str]:
    return __all__
