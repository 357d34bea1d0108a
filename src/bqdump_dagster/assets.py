"""An asset for each table of an export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

import bqdump

TABLE = "bqdump_table"


def bqdump_assets(
    *,
    settings: Mapping[str, Any],
    tables: Sequence[str] | None = None,
    key_prefix: Sequence[str] = ("bqdump",),
    group_name: str | None = None,
    retry_policy: dg.RetryPolicy | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorate a function that yields from `export(context, settings)` as one step that makes an asset for each table.

    settings: arguments of `bqdump.run`, with `project` and `dataset`.
    tables: names, in a set with their datasets (default: the tables of the published run, before the first run those
        of `bqdump.plan`; a new table is an asset once it was exported and the definitions are loaded again).
    """
    names = tables_of(settings) if tables is None else tables
    specs = [_spec(name, settings, key_prefix, group_name) for name in names]

    def decorate(function: Callable[..., Any]) -> dg.AssetsDefinition:
        return dg.multi_asset(name=function.__name__, specs=specs, retry_policy=retry_policy)(function)

    return decorate


def export(context: dg.AssetExecutionContext, settings: Mapping[str, Any]) -> Iterator[dg.MaterializeResult[Any]]:
    """Export, and report each table with its rows and bytes. A retry resumes the run, and exports nothing twice.

    A new run of Dagster exports anew; a re-execution of a run that failed resumes what that one exported. Raises
    BqdumpError.
    """
    first = context.run
    while (parent := first.parent_run_id and context.instance.get_run_by_id(first.parent_run_id)) and parent.is_failure:
        first = parent
    backup = bqdump.Backup(**settings)
    done = backup.run(run_id=first.run_id)
    if done.state != "published":
        context.log.warning(f"run {done.run} is {done.state}: its tables are not those of the published run")
        return
    keys = keys_of(context.assets_def)
    for table in backup.ls(done.run).tables:
        if not (key := keys.get(table.table)):
            context.log.warning(f"table {table.table} is exported, and an asset once the definitions are loaded again")
            continue
        facts = {"run": done.run, "manifest": done.manifest, "snapshot_time": table.snapshot_time.isoformat()}
        numbers = {} if table.rows is None else {"dagster/row_count": table.rows}
        yield dg.MaterializeResult(asset_key=key, metadata=facts | numbers | {"bytes": table.bytes})


def tables_of(settings: Mapping[str, Any]) -> list[str]:
    """The tables of the published run; before the first run, those that a run would export."""
    backup = bqdump.Backup(**settings)
    try:
        return [table.table for table in backup.ls().tables]
    except bqdump.NotFoundError:
        return [table.table for table in backup.plan().tables]


def keys_of(assets: dg.AssetsDefinition) -> dict[str, dg.AssetKey]:
    """The asset of each table, by the name of the table."""
    return {spec.metadata[TABLE]: spec.key for spec in assets.specs}


def _spec(table: str, settings: Mapping[str, Any], prefix: Sequence[str], group: str | None) -> dg.AssetSpec:
    name = table if "." in table else f"{settings['dataset']}.{table}"
    return dg.AssetSpec(
        key=[*prefix, *name.split(".")],
        metadata={TABLE: table, "dagster/table_name": f"{settings['project']}.{name}"},
        # An export that may lack tables, as `allow` says, does not fail for them.
        skippable=True,
        group_name=group,
        kinds={"bigquery"},
    )
