"""Whether what a manifest names, and what is found in a run's folder, is that run's own."""

from __future__ import annotations

import re

from bqdump.core.documents.retention import Holding
from bqdump.core.documents.run_layout import RunLayout

# What is below the folder of a run, as RunLayout names it; the tombstone goes last, on its own.
DOCUMENTS = re.compile(
    r"(plan|planner|publisher|intent|manifest|iceberg|contents|copying)\.json"
    r"|(units|definitions)-[0-9a-f]{1,32}\.jsonl?"
    r"|(report|failed-[^/]+)\.html"
    r"|(claims|readings|sessions|receipts|references|notified|copied)/[^/]+\.json"
    r"|failures/[^/]+/[^/]+\.json"
    r"|data/.+",
    re.DOTALL,
)


def is_document(name: str, run: RunLayout) -> bool:
    """Whether an object of this name is one of the run's own documents or staged files, other than its tombstone."""
    return name.startswith(run.root) and DOCUMENTS.fullmatch(name, len(run.root)) is not None


def foreign_file(manifest: Holding) -> str:
    """Why a manifest names a file that cannot be its run's, where each run keeps its files; "" where it does not.

    The name of such a file contains the id of the run that made it. Others may be those of another export.
    """
    if manifest.mode != "keep":
        return ""
    for table in manifest.tables:
        for maker, file in table.makers(manifest.run):
            if maker not in file.name:
                return f"{file.name!r} is not a file of run {maker}"
    return ""
