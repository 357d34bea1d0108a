"""Guards find the risks of an export while planning, and refuse those that the setting `allow` does not name.

Sources: https://cloud.google.com/bigquery/docs/row-level-security-intro,
https://cloud.google.com/bigquery/docs/column-data-masking-intro,
https://cloud.google.com/bigquery/docs/exporting-data#limitations, https://cloud.google.com/bigquery/docs/time-travel
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.run import Flag, Skipped, TablePlan
from bqdump.core.errors import PLAN, UsageError
from bqdump.core.plan.hidden_data import buffered_rows, protected_columns
from bqdump.core.risks import REPORTED, STRICT, Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named
from bqdump.core.tables.catalog import Dataset, Shape
from bqdump.core.times import rfc3339
from bqdump.core.wording import COMMANDS, fill

# Kinds whose row access policies can be listed. For a view, the statistics of its job show what applied.
POLICED = ("TABLE", "SNAPSHOT")
# Regions in Europe that are not part of the multi-region EU.
NOT_IN_EU = ("europe-west2", "europe-west6")
NAMED = 10


class Guard(NamedTuple):
    """How a risk is described, and how to remove it."""

    what: str
    remedy: str = ""


GUARDS: dict[Risk, Guard] = {
    Risk.ROW_POLICIES: Guard(
        "row access policies may hide rows from this account",
        "Let the account see every row (a policy with the filter TRUE).",
    ),
    Risk.UNSEEN_ROW_POLICIES: Guard(
        "missing permission to list row access policies, so rows may be hidden from this account",
        "Grant a role with bigquery.rowAccessPolicies.list ({call:render.iam region=REGION} prints the commands).",
    ),
    Risk.MASKED_COLUMNS: Guard(
        "columns with policy tags or data masking may hold masked values, and lose their protection in the files",
        "Leave the tables out with {setting:exclude}, or make the account a Fine-Grained Reader.",
    ),
    Risk.STREAMING_BUFFER: Guard(
        "rows still in the streaming buffer are not part of an export",
        "Wait until they are in the table (up to 90 minutes). If rows stream in all day, the next export has them.",
    ),
    Risk.SKIPPED: Guard("objects that no route can export", "Leave them out by name with {setting:exclude}."),
    Risk.CREATED_LATER: Guard(
        "tables created or replaced after the snapshot time cannot be read as of that time",
        "Choose a later snapshot time, or leave them out with {setting:exclude}.",
    ),
    Risk.UNAPPLIED_CHANGES: Guard(
        "streamed row changes (change data capture) that BigQuery has not applied yet are not part of an export",
        'Set route = "query" for the tables in [tables.NAME], and remove max_staleness.',
    ),
    Risk.UNSEEN_CHANGES: Guard(
        "cannot check for change data capture: extracted tables may lack changes that are not applied yet",
        "The query needs roles/bigquery.dataViewer on the dataset, and bills 10.5 MB.",
    ),
    Risk.PSEUDO_COLUMNS: Guard(
        "ingestion times are not exported, so a restore puts all rows into the partition of the day it runs",
        "To export them as a column, set {setting:partition_times} (billed).",
    ),
    Risk.UNSEEN_COLUMNS: Guard(
        "tables were modified after the snapshot time, and their columns at that time cannot be read",
        "Choose a later snapshot time, or grant roles/bigquery.dataViewer on the dataset.",
    ),
    Risk.REMOVED_TABLES: Guard(
        "tables would be removed from the published export",
        "To refresh only the chosen tables, add {setting:keep_others}. To export a selection separately, give it a "
        "{setting:prefix} of its own. If tables were dropped by mistake, restore them first.",
    ),
    Risk.LOST_SECTIONS: Guard(
        "a section by label that masks, filters or leaves out columns no longer applies to tables that lost the label",
        "Give them the label again, or write the section by name.",
    ),
    Risk.LIFECYCLE_RULES: Guard(
        "lifecycle rules of the bucket can delete files that manifests name",
        "Remove them, or limit them to other names (matchesPrefix); {call:prune} deletes old runs.",
    ),
    Risk.DROPPED_TABLES: Guard("tables that are not exported any more are removed from the published export"),
    Risk.REMOVED_PARTITIONS: Guard(
        "more than half of a table's partitions would be removed from the published export",
        "If they were dropped by mistake, restore them first.",
    ),
    Risk.DROPPED_PARTITIONS: Guard("partitions that the table no longer has are removed from the published export"),
    Risk.LEFT_OUT_COLUMNS: Guard(
        "columns that the format cannot hold are left out", "Set {setting:on_unsupported=string} or another format."
    ),
    Risk.COLUMNS_AS_TEXT: Guard("columns that the format cannot hold are exported as strings"),
    Risk.ALTERED_VALUES: Guard(
        "values that the format does not restore exactly",
        "Set {setting:format=parquet}, which brings them back.",
    ),
    Risk.UNREAD_DEFINITIONS: Guard("definitions could not be read, so a restore cannot create them again"),
    Risk.MODELS: Guard("models are not exported"),
    Risk.OTHER_LOCATION: Guard("bucket and dataset are in different locations"),
}


def table_flags(tables: Iterable[TablePlan]) -> Iterator[Flag]:
    """The risks of these tables: columns that do not fit, masked columns, and rows in the streaming buffer."""
    for table in tables:
        changed = ((Risk.LEFT_OUT_COLUMNS, table.shape.left_out), (Risk.COLUMNS_AS_TEXT, table.shape.texts))
        for risk, reasons in changed:
            if reasons:
                yield _flag(risk, table.table, "; ".join(reasons.values()), tuple(reasons))
        if columns := masked_columns(table):
            yield _flag(Risk.MASKED_COLUMNS, table.table, ", ".join(columns), columns)
        # Queries read the buffer; whether they do with a snapshot time is not documented.
        if table.read_at == "snapshot" and (rows := buffered_rows(table.definition)) is not None:
            yield _flag(Risk.STREAMING_BUFFER, table.table, f"about {counted(rows, 'row')}")


def masked_columns(table: TablePlan) -> tuple[str, ...]:
    """The columns of a table that are exported as they are, and have policy tags or data masking."""
    return tuple(_read(protected_columns(table.definition), table.shape))


def policy_flags(policies: Mapping[str, Sequence[RowPolicy] | None]) -> Iterator[Flag]:
    """The risks of row access policies. policies: by table, None without permission to list them."""
    if policies and all(listed is None for listed in policies.values()):
        yield _flag(Risk.UNSEEN_ROW_POLICIES, "", counted(len(policies), "table"))
        return
    for table, listed in policies.items():
        if listed is None:
            yield _flag(Risk.UNSEEN_ROW_POLICIES, table, "")
        elif listed:
            yield _flag(Risk.ROW_POLICIES, table, ", ".join(policy.name for policy in listed))


def policed_tables(flags: Iterable[Flag]) -> frozenset[str]:
    """The tables of an export that had row access policies. flags: of its manifest."""
    return frozenset(flag.table for flag in flags if flag.risk == Risk.ROW_POLICIES)


def column_flags(unknown: Mapping[str, str]) -> Iterator[Flag]:
    """The tables whose columns at the snapshot time cannot be read, each with the reason."""
    for table, reason in unknown.items():
        yield _flag(Risk.UNSEEN_COLUMNS, table, reason)


def skipped_flags(skipped: Iterable[Skipped], later: set[str]) -> Iterator[Flag]:
    """Objects that are skipped without a setting that says so. later: the tables created after the snapshot time."""
    for item in skipped:
        if item.asked:
            continue
        risk = Risk.CREATED_LATER if item.table in later else Risk.SKIPPED
        yield _flag(risk, item.table, item.reason)


def location_flags(dataset_location: str, bucket_location: str) -> Iterator[Flag]:
    """The risk of a bucket elsewhere. bucket_location: "" for a target without a location, such as a folder."""
    if bucket_location and not _near(dataset_location.lower(), bucket_location.lower()):
        yield _flag(Risk.OTHER_LOCATION, "", f"the dataset in {dataset_location}, the bucket in {bucket_location}")


def judge(flags: Iterable[Flag], settings: Settings) -> tuple[Flag, ...]:
    """The flags, each with `allowed` as the settings decide."""
    return tuple(msgspec.structs.replace(flag, allowed=_allowed(flag.risk, settings)) for flag in flags)


def refuse(flags: Sequence[Flag], dataset: str) -> None:
    """Raise one UsageError for all risks that are not allowed, with their tables and the setting that allows them."""
    by_risk: dict[Risk, list[Flag]] = {}
    for flag in flags:
        if not flag.allowed:
            by_risk.setdefault(flag.risk, []).append(flag)
    if not by_risk:
        return
    risks = "; ".join(f"{GUARDS[risk].what}: {_names(about)}" for risk, about in by_risk.items())
    remedies = " ".join(GUARDS[risk].remedy for risk in by_risk)
    hint = f"{remedies} To export anyway: {to_allow(by_risk)}."
    raise UsageError(PLAN, dataset, f"the export would be incomplete ({risks})", hint)


def job_risks(*, row_policies: bool, masking: bool) -> tuple[Risk, ...]:
    """The risks that a job's statistics report: policies that applied to the rows it read.

    This needs no further permission, and finds what planning cannot: policies on the tables of a view, and new ones.
    """
    reported = ((Risk.ROW_POLICIES, row_policies), (Risk.MASKED_COLUMNS, masking))
    return tuple(risk for risk, applied in reported if applied)


def objection(risks: Iterable[Risk], settings: Settings, source: str) -> tuple[Risk, str] | None:
    """The first of these risks that is not allowed, and a sentence about it. source: how the sentence begins."""
    for risk in risks:
        if not _allowed(risk, settings):
            guard = GUARDS[risk]
            sentence = f"{source} {guard.what}. {guard.remedy} To export anyway: {to_allow([risk])}"
            return risk, fill(sentence, COMMANDS)
    return None


def with_jobs(flags: Sequence[Flag], risks: Iterable[tuple[str, Risk]]) -> tuple[Flag, ...]:
    """A plan's flags and those that were found while exporting. risks: table and risk."""
    known = {(flag.table, flag.risk) for flag in flags}
    more = [pair for pair in dict.fromkeys(risks) if pair not in known]
    return (*flags, *(Flag(risk, table, (), "found while exporting", allowed=True) for table, risk in more))


def refuse_snapshot(settings: Settings, snapshot: int, now: int, dataset: Dataset) -> None:
    """Raise UsageError for a snapshot time that BigQuery cannot read any more, or not yet. Times in ms."""
    subject = settings.snapshot_time
    oldest = now - dataset.time_travel_hours * 3_600_000
    if snapshot > now:
        hint = "Leave it out to export the dataset as it is now."
        raise UsageError(PLAN, subject, "is in the future", hint, setting="snapshot_time")
    if snapshot < oldest:
        cause = (
            f"{dataset.name} can be read back to {rfc3339(oldest)} only ({counted(dataset.time_travel_hours, 'hour')})"
        )
        raise UsageError(PLAN, subject, cause, "Choose a later time.", setting="snapshot_time")


def sentence(flag: Flag) -> str:
    """The flag in words."""
    detail = f" ({flag.detail})" if flag.detail else ""
    guard = GUARDS.get(flag.risk)
    what = guard.what if guard else f"{flag.risk.value}, a risk that only another release of bqdump knows"
    return f"{flag.table}: {what}{detail}" if flag.table else f"{what}{detail}"


def _read(columns: Iterable[str], shape: Shape) -> Iterator[str]:
    """Those of the columns that a shape exports with their own values."""
    for path in columns:
        column = path.partition(".")[0]
        if column not in (*shape.masks, *shape.left_out) and (not shape.columns or column in shape.columns):
            yield path


def _flag(risk: Risk, table: str, detail: str, columns: tuple[str, ...] = ()) -> Flag:
    return Flag(risk, table, columns, detail, allowed=False)


def _allowed(risk: Risk, settings: Settings) -> bool:
    return risk in REPORTED or risk in settings.allow or (risk in STRICT and not settings.strict)


def to_allow(risks: Iterable[Risk]) -> str:
    """The setting that allows these risks."""
    return f"{{setting:allow={','.join(risks)}}}"


def _names(flags: Sequence[Flag]) -> str:
    names = [flag.table + (f" ({flag.detail})" if flag.detail else "") if flag.table else flag.detail for flag in flags]
    return named(names, NAMED)


def _near(dataset: str, bucket: str) -> bool:
    """Whether bucket and dataset are, or may be, in the same place: equal locations, or one contains the other."""
    if dataset == bucket:
        return True
    regions = [place for place in (dataset, bucket) if "-" in place]
    if len(regions) == 2 or any(region in NOT_IN_EU for region in regions):
        return False
    return _continent(dataset) == _continent(bucket)


def _continent(location: str) -> str:
    # Multi- and dual-regions are called EU, EUR4, US, NAM4, ASIA, ASIA1.
    for continent, names in (("europe", ("eu",)), ("us", ("us", "nam")), ("asia", ("asia",))):
        if location.startswith(names):
            return continent
    return location
