"""The events that log lines report. Alerts, the demo and tests match these ids, never the text of a line."""

from __future__ import annotations

import enum


class LogEvent(enum.StrEnum):
    """The id of a log line: the field `event` of a JSON line. docs/operate.md explains each one to operators."""

    # A run
    RUN_PLANNED = "run_planned"
    """The snapshot time is fixed and the tables are shared out among the tasks; once for each run."""
    RUN_PROGRESS = "run_progress"
    """The numbers of the run so far, once a minute."""
    RUN_PUBLISHED = "run_published"
    """latest.json names this run now."""
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
    TABLE_REMOVED = "table_removed"
    """The published export contains this table; the next one will not."""
    TABLE_CARRIED_OVER = "table_carried_over"
    """Another run has published this table since this run was planned; the manifest keeps it."""
    TABLES_CARRIED_OVER = "tables_carried_over"
    """The plan carries tables over from the published run."""
    TABLE_GIVEN_UP = "table_given_up"
    """The table was exported after this partial export had been settled without it."""
    JOB_RETRIED = "job_retried"
    """A job failed for a transient reason; a new job follows."""
    READ_RETRIED = "read_retried"
    """Reading the table was interrupted, and starts again."""
    COLUMNS_CHANGED = "columns_changed"
    """The table's columns have changed since the snapshot time; the export has the earlier ones."""
    PATTERN_UNMATCHED = "pattern_unmatched"
    """A pattern of --exclude matches no table."""

    # A restore
    RESTORE_PLANNED = "restore_planned"
    """What is restored is fixed; once for each restore."""
    RESTORE_RESUMED = "restore_resumed"
    """This execution continues a restore that an earlier one has left unfinished."""
    RESTORE_NOT_RESUMED = "restore_not_resumed"
    """The target no longer has what an unfinished restore had restored, so a new restore begins."""
    RESTORE_DONE = "restore_done"
    """The totals of the restore."""
    DATASET_CREATED = "dataset_created"
    """The target dataset did not exist, and was created."""
    TABLE_RESTORED = "table_restored"
    """The table is restored, with the export's rows."""
    TABLE_NOT_RESTORED = "table_not_restored"
    """The table could not be restored. The others are not affected; the same command tries it again."""
    OBJECT_RESTORED = "object_restored"
    """A view, routine, index or row access policy is restored."""
    OBJECT_NOT_RESTORED = "object_not_restored"
    """A view, routine, index or row access policy could not be created, for the reason that BigQuery gave."""
    PROPERTY_NOT_RESTORED = "property_not_restored"
    """An expiration, a default or foreign keys of a restored table are not set."""

    # Risks
    RISK_ALLOWED = "risk_allowed"
    """The export will lack something, as the setting `allow` permits."""
    COST_NOTED = "cost_noted"
    """The bucket bills deleted or replaced objects."""
    BUCKET_UNCHECKED = "bucket_unchecked"
    """The account may not read the bucket's settings, so they were not checked."""
    MANIFEST_MISSING = "manifest_missing"
    """The published run's manifest no longer exists, so its tables are unknown."""

    # Earlier runs
    STAGING_DELETED = "staging_deleted"
    """The staged files of an earlier run that was never published are deleted."""
    STAGING_KEPT = "staging_kept"
    """The staged files of an earlier run stay until the next publication, as BigQuery is still writing."""

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
