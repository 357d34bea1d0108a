"""Asset checks: a verification or a drill of the published run, with a result for each table."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import dagster as dg
from dagster import AssetCheckExecutionContext

import bqdump
from bqdump_dagster.assets import keys_of


def bqdump_checks(
    assets: dg.AssetsDefinition,
    *,
    settings: Mapping[str, Any],
    by: Literal["verify", "drill"] = "verify",
    **options: Any,
) -> dg.AssetChecksDefinition:
    """One step with a check of each table's asset: whether the published run is as its manifest says, or restorable.

    options: further arguments of `bqdump.verify` or `bqdump.drill`, such as `read="100%"` or `sample="10%"`. A table
    that a drill leaves out has no result. What concerns no table, such as a view, fails the step.
    """
    keys = keys_of(assets)
    specs = [dg.AssetCheckSpec(name=f"bqdump_{by}", asset=key) for key in keys.values()]

    @dg.multi_asset_check(name=f"{assets.op.name}_{by}", specs=specs, can_subset=True)
    def check(context: AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        checked, problems, run = (_verified if by == "verify" else _drilled)(bqdump.Backup(**settings), options)
        selected = {key.asset_key for key in context.selected_asset_check_keys}
        for table, key in keys.items():
            found = problems.pop(table, [])
            if key in selected and (found or table in checked):
                yield dg.AssetCheckResult(
                    passed=not found,
                    asset_key=key,
                    check_name=f"bqdump_{by}",
                    description="; ".join(found) or None,
                    metadata={"run": run},
                )
        if problems:
            causes = (f"{name}: {found}" for name, several in problems.items() for found in several)
            raise dg.Failure("; ".join(causes), allow_retries=False)

    return check


# The tables that were compared, what was found by table or object, and the run.
Found = tuple[set[str], dict[str, list[str]], str]


def _verified(backup: bqdump.Backup, options: Mapping[str, Any]) -> Found:
    verified = backup.verify(**options)
    problems: dict[str, list[str]] = {}
    for finding in verified.findings:
        facts = f"{finding.kind} {finding.file}: expected {finding.expected}, found {finding.found}"
        problems.setdefault(finding.table, []).append(facts)
    return {table.table for table in backup.ls(verified.run).tables}, problems, verified.run


def _drilled(backup: bqdump.Backup, options: Mapping[str, Any]) -> Found:
    drilled = backup.drill(**options)
    problems: dict[str, list[str]] = {}
    for failure in (*drilled.different, *drilled.failed):
        # Where files are not as exported, nothing was restored, and so no table is proven.
        nothing = failure.kind == "RUN"
        for name in [table.table for table in backup.ls(drilled.run).tables] if nothing else [failure.name]:
            problems.setdefault(name, []).append(failure.message)
    return set(drilled.tables), problems, drilled.run
