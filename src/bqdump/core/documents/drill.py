"""The note on a drill: what it proved about an export. One listing returns the notes of all drills.

Sizes are bytes, counts are rows or objects, times are milliseconds since 1970 UTC.
"""

from __future__ import annotations

import msgspec

from bqdump.core.documents.fields import FORMAT_VERSION, Count, RunId, Time


class Drill(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A restore into a scratch dataset that was compared with the export, and dropped.

    snapshot: of the run. began, ended: by BigQuery's clock. dataset: project and name of the scratch dataset.
    tables: the number of tables that came back with the export's values, of `of` tables that have rows in the export.
    objects: views and routines that came back. different: the number of tables with other rows or values than the
    export. failed: the number of tables and objects that could not be restored. problems: the first of these, in words.
    last: in a drill of some tables the last of them in alphabetical order, after which the next drill goes on.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    snapshot: Time
    dataset: str
    tool: str
    began: Time
    ended: Time
    tables: Count
    of: Count
    objects: Count = 0
    rows: Count = 0
    bytes: Count = 0
    billed: Count = 0
    different: Count = 0
    failed: Count = 0
    problems: tuple[str, ...] = ()
    last: str = ""

    @property
    def proven(self) -> bool:
        """Whether everything that it restored came back."""
        return not (self.different or self.failed)
