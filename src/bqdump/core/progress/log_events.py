"""The events that log lines report. Alerts, the demo and tests match these ids, never the text of a line.

What log lines are about, where a process exports several datasets at once.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from bqdump.core.pages import page


class LogEvent(enum.StrEnum):
    """The id of a log line: the field `event` of a JSON line. docs/events.md explains each one to operators."""

    # A run
    RUN_PLANNED = "run_planned"
    """The snapshot time is fixed and the tables are shared out among the tasks; once for each run."""
    RUN_PROGRESS = "run_progress"
    """The numbers of the run so far, once a minute."""
    RUN_PUBLISHED = "run_published"
    """The log has this run, as the newest one; for several datasets, also once when project.json does."""
    RUN_DONE = "run_done"
    """The totals of the published run."""
    RUN_SUPERSEDED = "run_superseded"
    """A run with a later snapshot time is published, so this one is not."""
    ALREADY_PUBLISHED = "already_published"
    """A restarted task found that its execution has published the run."""
    NOTHING_EXPORTED = "nothing_exported"
    """Another execution has published the run of this id before, so this one exports nothing."""
    REPORT_FAILED = "report_failed"
    """The page for people could not be written. The export is not affected."""
    CLEANUP_FAILED = "cleanup_failed"
    """Files that no manifest lists could not be deleted. The export is not affected."""

    # Several datasets
    SET_PLANNED = "set_planned"
    """The datasets of a run and their snapshot time are fixed; once for each run and bucket."""
    DATASET_PUBLISHED = "dataset_published"
    """One dataset of the set is published."""
    DATASET_FAILED = "dataset_failed"
    """One dataset of the set cannot be exported, or published. The others are not affected."""
    DATASET_SKIPPED = "dataset_skipped"
    """The patterns match this dataset, and it is not exported."""
    SET_PLAN_UNREADABLE = "set_plan_unreadable"
    """The plan of an older run of the set cannot be read. Its documents stay."""
    DATASET_REMOVED = "dataset_removed"
    """The last set has this dataset; the next one will not. Its export stays."""

    # A task
    TASK_WAITS_FOR_PLAN = "task_waits_for_plan"
    """Another task is planning the run."""
    TASK_DONE = "task_done"
    """This task has no work left; other tasks do, or one of them publishes."""
    TASK_STOPPED = "task_stopped"
    """The process received SIGTERM or Ctrl-C."""
    COMMAND_FAILED = "command_failed"
    """The error with which the command ends."""
    UNEXPECTED_ERROR = "unexpected_error"
    """An error that bqdump has no name for: a bug, with a stack trace."""
    RESULT_NOT_PRINTED = "result_not_printed"
    """The export ended well, but standard output accepts nothing."""
    SETTING_UNKNOWN = "setting_unknown"
    """A variable looks like a setting, but is not one."""

    # A table
    TABLE_EXPORTED = "table_exported"
    """All files of the table, or of one part of a large table, are written."""
    TABLE_FAILED = "table_failed"
    """The table cannot be exported, and repeating would not help."""
    TABLE_MISSING = "table_missing"
    """The published export does not contain this table, as --allow-partial permits."""
    RULES_UNUSED = "rules_unused"
    """Variables have rules of retention, and the run does not prune."""
    FOLDER_CREATED = "folder_created"
    """The target is a new local folder, whose name could be that of a bucket."""
    TABLE_DROPPED = "table_dropped"
    """The table was dropped while the run was at work: it cannot be read as of the snapshot time any more."""
    TABLE_REMOVED = "table_removed"
    """The published export contains this table; the next one will not."""
    PARTITIONS_REMOVED = "partitions_removed"
    """The published export contains these partitions of a table; the next one will not."""
    TABLE_CARRIED_OVER = "table_carried_over"
    """Another run has published this table since this run was planned; the manifest keeps it."""
    TABLES_CARRIED_OVER = "tables_carried_over"
    """The plan carries tables over from the published run."""
    LABEL_MATCHED = "label_matched"
    """A label pattern has brought tables in, left them out, or applies to them."""
    TABLE_NOT_ICEBERG = "table_not_iceberg"
    """The table is exported, but not as an Iceberg table, or without a column that Iceberg has no type for."""
    ICEBERG_METADATA_LOST = "iceberg_metadata_lost"
    """Iceberg metadata of the table is missing or damaged; this run writes it anew, or says why it cannot."""
    TABLES_UNCHANGED = "tables_unchanged"
    """Tables that did not change since earlier runs, whose files the export names again (--incremental)."""
    FILES_WITHOUT_IDS = "files_without_ids"
    """Files that BigQuery wrote could not get field ids; readers of Iceberg tables find columns by name."""
    TABLE_GIVEN_UP = "table_given_up"
    """The table was exported after this partial export had been settled without it."""
    JOB_RETRIED = "job_retried"
    """A job failed for a transient reason; a new job follows."""
    READ_RETRIED = "read_retried"
    """Reading the table was interrupted, and starts again."""
    COLUMNS_CHANGED = "columns_changed"
    """The table's columns have changed since the snapshot time; the export has the earlier ones."""
    NOT_BY_PARTITION = "not_by_partition"
    """The table is large and partitioned, but exported as one."""
    PARTITION_CHANGED = "partition_changed"
    """The partition was changed while it was extracted, so a billed query reads it as of the snapshot time."""
    PATTERN_UNMATCHED = "pattern_unmatched"
    """A pattern of --exclude matches no table."""

    # A restore
    RESTORE_PLANNED = "restore_planned"
    """What is restored is fixed; once for each restore."""
    RUN_CHOSEN = "run_chosen"
    """The run that a time stands for (--as-of)."""
    RUN_FINISHED = "run_finished"
    """A run that was stopped while it replaced the published files is finished first (--finish-run)."""
    RESTORE_RESUMED = "restore_resumed"
    """This execution continues a restore that an earlier one has left unfinished."""
    RESTORE_NOT_RESUMED = "restore_not_resumed"
    """The target no longer has what an unfinished restore had restored, so a new restore begins."""
    RESTORE_ABORTED = "restore_aborted"
    """A restore was ended on request (restores --abort)."""
    UPLOADS_DELETED = "uploads_deleted"
    """Files that a restore had uploaded, and that a killed process left, are deleted."""
    NOT_RESTORABLE = "not_restorable"
    """The export does not have this object, or it cannot be restored, for this reason."""
    RESTORE_DONE = "restore_done"
    """The totals of the restore."""
    DATASET_CREATED = "dataset_created"
    """The target dataset did not exist, and was created."""
    TABLE_RESTORED = "table_restored"
    """The table is restored, with the export's rows."""
    TARGET_CHANGED = "target_changed"
    """A table or view is no longer as an earlier start of the restore has restored it."""
    TABLE_NOT_RESTORED = "table_not_restored"
    """The table could not be restored. The others are not affected; the same command tries it again."""
    OBJECT_RESTORED = "object_restored"
    """A view, routine, index or row access policy is restored, or an access entry granted."""
    OBJECT_NOT_RESTORED = "object_not_restored"
    """A view, routine, index or row access policy could not be created, for the reason that BigQuery gave."""
    DATASET_NOT_RESTORED = "dataset_not_restored"
    """The restore of one dataset of the set is incomplete. The others are not affected; the same command resumes."""
    OTHER_RUN = "other_run"
    """A dataset of the set is restored from another run than the set's, of which it has no export."""
    VALUES_DIFFER = "values_differ"
    """A restored table has other values than the files of the export."""
    SOURCE_NOT_COMPARED = "source_not_compared"
    """The source at the snapshot time cannot be read any more, so only the files were compared."""
    VALUES_NOT_COMPARED = "values_not_compared"
    """A restored table has row access policies, which may hide rows from the account that compares."""
    PARTITIONS_WITHOUT_ROWS = "partitions_without_rows"
    """The export has no rows in some of the partitions to be restored."""
    PROPERTY_NOT_RESTORED = "property_not_restored"
    """An expiration, a default or foreign keys of a restored table are not set."""

    # A drill
    DRILL_PROVEN = "drill_proven"
    """What the drill restored has the values of the export; the scratch dataset is dropped."""
    DRILL_FAILED = "drill_failed"
    """The drill found a difference, or something that cannot be restored."""
    DRILL_DATASET_LEFT = "drill_dataset_left"
    """The scratch dataset of a drill could not be deleted; its tables expire after 3 days."""
    CHECK_SCRATCH_LEFT = "check_scratch_left"
    """What check-service made could not be deleted; the line has the command that deletes it."""

    # Risks
    RISK_ALLOWED = "risk_allowed"
    """The export will lack something, as the setting `allow` permits."""
    COST_NOTED = "cost_noted"
    """Loading from a bucket in another location is billed as network traffic."""
    BUCKET_UNCHECKED = "bucket_unchecked"
    """The account may not read the bucket's settings, so they were not checked."""
    MANIFEST_MISSING = "manifest_missing"
    """The published run's manifest no longer exists, so its tables are unknown."""
    MANIFEST_PASSED_OVER = "manifest_passed_over"
    """In a place of locked copies, a manifest is missing or cannot be read, and no trusted key has signed it.

    It may have replaced a signed one: find out before anything is deleted."""
    OBJECT_HIDDEN = "object_hidden"
    """In a place of locked copies, an object was hidden or replaced. Its locked version was read instead.

    Find out by whom; the line has the command that brings it back."""
    LATEST_UNREADABLE = "latest_unreadable"
    """An entry of the log, the manifest of its run, or the record of a drill is damaged, missing or not trusted, and
    passed over."""

    # Earlier runs
    STAGING_DELETED = "staging_deleted"
    """The staged files of an earlier run are deleted: it can no longer be published, or is published already."""
    STAGING_KEPT = "staging_kept"
    """The staged files of an earlier run stay until the next publication, as BigQuery is still writing."""

    RUN_REMOVED = "run_removed"
    """Prune has deleted this run."""
    TABLE_ERASED = "table_erased"
    """A table was taken out of the kept runs (`bqdump erase`)."""
    PRUNE_DONE = "prune_done"
    """The totals of a prune."""
    PRUNE_FAILED = "prune_failed"
    """The export is published, but earlier runs could not be pruned. The next prune continues."""

    # A check
    RUN_VERIFIED = "run_verified"
    """The files of the run are as its manifest says."""
    VERIFY_FAILED = "verify_failed"
    """The files of the run are not as its manifest says."""
    NOT_TRUSTED = "not_trusted"
    """The command ends because no trusted key has signed what it read, or because it was changed since."""

    # A copy
    RUN_COPIED = "run_copied"
    """A run is complete in another place."""
    RUNS_PASSED_OVER = "runs_passed_over"
    """Runs that a copy leaves out or as they are, because no trusted key has signed them."""
    COPY_DONE = "copy_done"
    """Every run that was to be copied is there: the totals of the copy."""
    COPY_FAILED = "copy_failed"
    """Some runs could not be copied, or are not trusted. The others are there."""

    TELEMETRY_MISSING = "telemetry_missing"
    """OTEL_* variables ask for traces or metrics, and the packages for them are not installed."""
    TELEMETRY_FAILED = "telemetry_failed"
    """Traces or metrics are not sent completely. The run is not affected."""

    # Notices
    NOTIFIED = "notified"
    """A notice about the run or drill, or a ping, was delivered."""
    NOTIFY_FAILED = "notify_failed"
    """A notice or a ping was not delivered. Nothing else is affected."""

    # Services and files
    REQUEST_RETRIED = "request_retried"
    """A request failed for a transient reason, and is repeated."""
    SERVICE_SILENT = "service_silent"
    """A service has not answered for some time; requests are still repeated."""
    CHECKSUM_DIFFERS = "checksum_differs"
    """A file's bytes did not match its checksum when read; it is read again."""
    LINK_SKIPPED = "link_skipped"
    """A symbolic link in the folder is not followed."""
    QUERY_BILLED = "query_billed"
    """The bytes that BigQuery bills for a comparison."""

    def extra(self, **fields: object) -> dict[str, object]:
        """What a log call passes as `extra`: this event, and fields such as the table."""
        return {"event": self, **fields}


# Where more than a line says what to do about an event: a page, and a section of it.
PAGES: Mapping[str, tuple[str, str]] = {
    LogEvent.COMMAND_FAILED: ("events.md", "Exit codes"),
    LogEvent.COPY_FAILED: ("operate.md", "A copy failed"),
    LogEvent.COST_NOTED: ("limits.md", "Costs"),
    LogEvent.DRILL_FAILED: ("operate.md", "A drill failed"),
    LogEvent.NOT_BY_PARTITION: ("partitions.md", "Tables that stay whole"),
    LogEvent.NOT_RESTORABLE: ("restore.md", "What is not restored"),
    LogEvent.NOT_TRUSTED: ("operate.md", "An export is not trusted"),
    LogEvent.RISK_ALLOWED: ("limits.md", "Risks"),
    LogEvent.SERVICE_SILENT: ("limits.md", "Outages"),
    LogEvent.TABLE_FAILED: ("operate.md", "An execution failed"),
    LogEvent.TABLE_REMOVED: ("limits.md", "Tables that leave an export"),
    LogEvent.VERIFY_FAILED: ("operate.md", "A check failed"),
}


def help_of(event: str) -> str:
    """The address of the page that says what to do about an event."""
    return page(*PAGES.get(event, ("events.md", "Log lines")))


DATASET: ContextVar[str] = ContextVar("DATASET", default="")


@contextmanager
def about(dataset: str) -> Iterator[None]:
    """Log lines within this `with`, and of tasks that start there, are about this dataset."""
    token = DATASET.set(dataset)
    try:
        yield
    finally:
        DATASET.reset(token)
