"""What a run needs of BigQuery: the dataset, its tables and definitions, and jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from bqdump.check.doctor.checks import CheckOutcome, Checks
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.errors import DeniedError
from bqdump.core.plan.definitions import dataset_definition
from bqdump.core.plan.guards import POLICED
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.sql import statements as sql
from bqdump.core.tables.catalog import WHOLE, Dataset, Listed
from bqdump.export.planning.target import find_dataset
from bqdump.ports.warehouse import Warehouse

LEFT_OUT = "a run leaves these definitions out, and names them"
# A larger difference makes log lines and run ids confusing. No decision depends on it.
CLOCKS_APART_SECONDS = 60


async def check_dataset(
    checks: Checks, warehouse: Warehouse, settings: Settings, clock: Callable[[], float]
) -> Dataset | None:
    """That the dataset can be seen, and jobs can be started. clock: this machine's time, in seconds since 1970 UTC."""
    place = f"{settings.project}.{settings.dataset}"
    dataset = await checks.ask(
        "see the dataset",
        place,
        "bigquery.datasets.get",
        lambda: find_dataset(warehouse, settings),
        lambda found: f"it is in {found.location}",
    )
    if dataset is None:
        return None
    now = await checks.ask(
        "start jobs",
        f"project {settings.jobs_in}",
        "bigquery.jobs.create",
        lambda: warehouse.now(dataset.location),
    )
    if now is not None:
        apart = abs(clock() - now / 1000)
        detail = f"this machine's clock and BigQuery's are {apart:,.0f} s apart"
        checks.note("clock", "", CheckOutcome.WARNING if apart > CLOCKS_APART_SECONDS else CheckOutcome.OK, detail)
    return dataset


async def check_tables(checks: Checks, warehouse: Warehouse, dataset: Dataset) -> list[Listed] | None:
    """That its tables can be listed."""
    return await checks.ask(
        "list its tables",
        f"{dataset.project}.{dataset.name}",
        "bigquery.tables.list",
        lambda: warehouse.tables(dataset),
        lambda found: counted(len(found), "object"),
    )


async def check_definitions(
    checks: Checks, warehouse: Warehouse, settings: Settings, dataset: Dataset, listed: list[Listed]
) -> None:
    """The permissions on a table, tried on the first one: they are granted on the dataset."""
    table = next((item.name for item in listed if item.kind in POLICED), "")
    if not table:
        checks.note("read tables", f"{dataset.project}.{dataset.name}", CheckOutcome.UNTRIED, "there is no table")
        return
    on = f"table {table}"
    found = await checks.ask("see definitions", on, "bigquery.tables.get", lambda: warehouse.table(dataset, table))
    definition = found.definition if found else msgspec.Raw(b"null")
    select = sql.select_part(dataset, table, None, definition, WHOLE)
    # Exporting needs bigquery.tables.export as well, which cannot be tried without exporting.
    await checks.ask(
        "read rows (a dry run)",
        on,
        "bigquery.tables.getData",
        lambda: warehouse.estimate(dataset, table, select, {}),
    )
    policies = await warehouse.row_policies(dataset, table)
    await _check_rebuilding(checks, warehouse, dataset, policies or ())
    if policies is not None:
        checks.note("see row access policies", on, CheckOutcome.OK, "", "bigquery.rowAccessPolicies.list")
    elif Risk.UNSEEN_ROW_POLICIES in settings.allow:
        detail = f"no permission to list them; {{setting:allow={Risk.UNSEEN_ROW_POLICIES}}} accepts that"
        checks.note("see row access policies", on, CheckOutcome.WARNING, detail, "bigquery.rowAccessPolicies.list")
    else:
        detail = "a run is refused: a policy could silently hide rows"
        checks.note("see row access policies", on, CheckOutcome.DENIED, detail, "bigquery.rowAccessPolicies.list")


async def _check_rebuilding(
    checks: Checks, warehouse: Warehouse, dataset: Dataset, policies: Sequence[RowPolicy]
) -> None:
    """The permissions to read what rebuilds the dataset around its tables. A run does without them."""
    place = f"{dataset.project}.{dataset.name}"
    seen = not dataset_definition(dataset.definition)[1]
    outcome, detail = (CheckOutcome.OK, "") if seen else (CheckOutcome.WARNING, LEFT_OUT)
    checks.note("see access entries", place, outcome, detail, "bigquery.datasets.getIamPolicy")
    await _check_definition(
        checks, "see routines", place, "bigquery.routines.list", lambda: warehouse.routines(dataset)
    )
    await _check_definition(checks, "see models", place, "bigquery.models.list", lambda: warehouse.models(dataset))
    if policies:
        table, name = policies[0].table, policies[0].name
        on, permission = f"row access policy {name}", "bigquery.rowAccessPolicies.getIamPolicy"
        await _check_definition(checks, "see members", on, permission, lambda: warehouse.grantees(dataset, table, name))


async def _check_definition(
    checks: Checks, name: str, on: str, permission: str, question: Callable[[], Awaitable[object]]
) -> None:
    try:
        await question()
    except DeniedError:
        checks.note(name, on, CheckOutcome.WARNING, LEFT_OUT, permission)
    else:
        checks.note(name, on, CheckOutcome.OK, "", permission)
