"""The settings of a restore and of a drill, as rows like those of an export: flag and variable follow from each."""

from __future__ import annotations

from bqdump.core.settings import values as parse
from bqdump.core.settings.settings import PROJECT, Setting

INTO = (
    "Dataset to restore into; created if it does not exist. {dataset} stands for the exported dataset's name, which "
    "a set requires."
)
AS = "Name of the restored table; {table} stands for its name in the export. Other objects are left out."
ROWS_ONLY = "Restore rows only, into empty tables that exist; with {setting:replace}, also in place of other rows."
FINISH = "First finish a run that was stopped while it replaced the published files."
ONE_QUERY = "Also compare checksums of every column with the files. BigQuery bills one query per table."
GRANTS = "Also grant the dataset's access entries, in addition to those that the target has."
NEXT = "the next drill continues"
PLACE = "gs://BUCKET[/PREFIX]"
RESTORE_SETTINGS: tuple[Setting, ...] = (
    Setting("into", str, "[PROJECT.]DATASET", INTO),
    Setting("datasets", parse.patterns, "NAME,PATTERN,…", "Of a set, restore only these datasets (* and ? allowed).",
            variable="BQDUMP_RESTORE_DATASETS"),
    Setting("exclude_datasets", parse.patterns, "PATTERN,…", "Of a set, exclude datasets that match (* and ? allowed).",
            variable="BQDUMP_RESTORE_EXCLUDE_DATASETS"),
    Setting("include", parse.patterns, "PATTERN,…", "Restore only objects that match (* and ? allowed).",
            variable="BQDUMP_RESTORE_INCLUDE"),
    Setting("exclude", parse.patterns, "PATTERN,…", "Exclude objects that match (* and ? allowed).",
            variable="BQDUMP_RESTORE_EXCLUDE"),
    Setting("as_", str, "NAME", AS, variable="BQDUMP_RESTORE_AS"),
    Setting("schema_only", bool, "BOOL", "Restore definitions only: every table is empty."),
    Setting("data_only", bool, "BOOL", ROWS_ONLY),
    Setting("replace", bool, "BOOL", "Replace tables that exist in the dataset, each atomically."),
    Setting("missing_only", bool, "BOOL",
            "Restore only what the dataset lacks, and tables that another restore left unfinished."),
    Setting("with_policies", bool, "BOOL", "Also restore row access policies."),
    Setting("with_access", bool, "BOOL", GRANTS),
    Setting("keep_references", bool, "BOOL", "Let views refer to the source dataset, instead of the new one."),
    Setting("verify", bool, "BOOL", ONE_QUERY, variable="BQDUMP_RESTORE_VERIFY"),
    Setting("finish_run", bool, "BOOL", FINISH),
    Setting("via", str, PLACE, "Bucket for the restore's documents, and for uploads of a local folder's files."),
    Setting("yes", bool, "BOOL", "Confirm a restore into the dataset that was exported."),
)  # fmt: skip
DRILL_SETTINGS: tuple[Setting, ...] = (
    Setting("scratch_project", PROJECT, "ID", "Project of the scratch dataset (default: --project).",
            variable="BQDUMP_DRILL_PROJECT"),
    Setting("tables", int, "N", f"Restore N tables, in turn: {NEXT} with the tables after them.",
            variable="BQDUMP_DRILL_TABLES"),
    Setting("sample", str, "SHARE", f"Restore this share of the tables, such as 10%; {NEXT} after them.",
            variable="BQDUMP_DRILL_SAMPLE"),
    Setting("via", str, PLACE, "Bucket for uploads of a local folder's files."),
    Setting("finish_run", bool, "BOOL", FINISH),
)  # fmt: skip
