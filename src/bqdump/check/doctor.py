"""The doctor: tries every permission that a run needs and evaluates every guard, without exporting anything.

It writes objects below `_bqdump/doctor/` only, and deletes them at the generation that it wrote.
One class in one module: each check builds on the results of those before it.
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.errors import (
    AccessError,
    BqdumpError,
    DeniedError,
    NotFoundError,
    OutageError,
    TargetError,
    UnavailableError,
    UsageError,
)
from bqdump.core.plan.catalog import Dataset, Listed
from bqdump.core.plan.definitions import dataset_definition
from bqdump.core.plan.guards import GUARDS, POLICED, sentence, to_allow
from bqdump.core.plan.shape import WHOLE
from bqdump.core.results import public
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.sql import statements as sql
from bqdump.core.wording import PYTHON, Words, fill
from bqdump.export.carry import read_published
from bqdump.export.planning.draft import Draft, draft_plan
from bqdump.export.planning.reuse import Earlier
from bqdump.export.planning.target import refuse_bucket, refuse_key
from bqdump.export.task import ReadRoute
from bqdump.ports.reader import ReadRequest
from bqdump.ports.store import BucketInfo, Copy, ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.prefix_owner import check_prefix

Answer = TypeVar("Answer")
LEFT_OUT = "a run leaves these definitions out, and names them"
READS = "bigquery.readsessions.create"
# BigQuery's API for datasets does not report whether one is attached to a failover reservation.
DISASTER_RECOVERY = (
    "; cannot be checked: under managed disaster recovery, extract jobs need a reservation assignment of type PIPELINE"
)
# A larger difference makes log lines and run ids confusing. No decision depends on it.
CLOCKS_APART_SECONDS = 60


@public
class CheckOutcome(enum.StrEnum):
    """How a check ended. untried: it could not run because another check failed."""

    OK = "ok"
    WARNING = "warning"
    DENIED = "denied"
    MISSING = "missing"
    REFUSED = "refused"
    UNTRIED = "untried"


@public
class Check(msgspec.Struct, frozen=True):
    """One check. permission: the one that it needs, "" for none. detail: the finding, in words."""

    name: str
    on: str
    outcome: CheckOutcome
    detail: str
    permission: str = ""


class Doctor:
    """Runs one check after the other and collects the results in `checks`."""

    def __init__(
        self,
        store: ObjectStore,
        warehouse: Warehouse,
        open_read_route: Callable[[], ReadRoute],
        settings: Settings,
        clock: Callable[[], float],
        words: Words = PYTHON,
    ) -> None:
        """open_read_route: see Task. clock: this machine's time, in seconds since 1970 UTC. words: name settings."""
        self._words = words
        self._store, self._warehouse, self._settings, self._clock = store, warehouse, settings, clock
        self._open_read_route = open_read_route
        self.checks: list[Check] = []

    async def examine(self) -> list[Check]:
        """Every check, in the order of a run.

        Raises only errors that say nothing about permissions or risks, such as a failed connection.
        """
        dataset = await self._dataset()
        listed = await self._tables(dataset) if dataset else None
        if dataset and listed is not None:
            await self._definitions(dataset, listed)
        bucket, writable = await self._bucket()
        await self._prefix()
        await self._objects(writable=writable)
        await self._guards(bucket)
        return self.checks

    async def _dataset(self) -> Dataset | None:
        settings = self._settings
        place = f"{settings.project}.{settings.dataset}"
        dataset = await self._ask(
            "see the dataset",
            place,
            "bigquery.datasets.get",
            lambda: self._warehouse.dataset(settings.project, settings.dataset),
            lambda found: f"it is in {found.location}",
        )
        if dataset is None:
            return None
        now = await self._ask(
            "start jobs",
            f"project {settings.jobs_in}",
            "bigquery.jobs.create",
            lambda: self._warehouse.now(dataset.location),
        )
        if now is not None:
            apart = abs(self._clock() - now / 1000)
            detail = f"this machine's clock and BigQuery's are {apart:,.0f} s apart"
            self._note("clock", "", CheckOutcome.WARNING if apart > CLOCKS_APART_SECONDS else CheckOutcome.OK, detail)
        return dataset

    async def _tables(self, dataset: Dataset) -> list[Listed] | None:
        return await self._ask(
            "list its tables",
            f"{dataset.project}.{dataset.name}",
            "bigquery.tables.list",
            lambda: self._warehouse.tables(dataset),
            lambda found: counted(len(found), "object"),
        )

    async def _definitions(self, dataset: Dataset, listed: list[Listed]) -> None:
        """The permissions on a table, tried on the first one: they are granted on the dataset."""
        table = next((item.name for item in listed if item.kind in POLICED), "")
        if not table:
            self._note("read tables", f"{dataset.project}.{dataset.name}", CheckOutcome.UNTRIED, "there is no table")
            return
        on = f"table {table}"
        found = await self._ask(
            "see definitions", on, "bigquery.tables.get", lambda: self._warehouse.table(dataset, table)
        )
        definition = found.definition if found else msgspec.Raw(b"null")
        select = sql.select_part(dataset, table, None, definition, WHOLE)
        # Exporting needs bigquery.tables.export as well, which cannot be tried without exporting.
        await self._ask(
            "read rows (a dry run)",
            on,
            "bigquery.tables.getData",
            lambda: self._warehouse.estimate(dataset, table, select, {}),
        )
        policies = await self._warehouse.row_policies(dataset, table)
        await self._rebuilding(dataset, policies or ())
        if policies is not None:
            self._note("see row access policies", on, CheckOutcome.OK, "", "bigquery.rowAccessPolicies.list")
        elif Risk.UNSEEN_ROW_POLICIES in self._settings.allow:
            detail = f"no permission to list them; {{setting:allow={Risk.UNSEEN_ROW_POLICIES}}} accepts that"
            self._note("see row access policies", on, CheckOutcome.WARNING, detail, "bigquery.rowAccessPolicies.list")
        else:
            detail = "a run is refused: a policy could silently hide rows"
            self._note("see row access policies", on, CheckOutcome.DENIED, detail, "bigquery.rowAccessPolicies.list")

    async def _rebuilding(self, dataset: Dataset, policies: Sequence[RowPolicy]) -> None:
        """The permissions to read what rebuilds the dataset around its tables. A run does without them."""
        place, ask = f"{dataset.project}.{dataset.name}", self._warehouse
        seen = not dataset_definition(dataset.definition)[1]
        outcome, detail = (CheckOutcome.OK, "") if seen else (CheckOutcome.WARNING, LEFT_OUT)
        self._note("see access entries", place, outcome, detail, "bigquery.datasets.getIamPolicy")
        await self._define("see routines", place, "bigquery.routines.list", lambda: ask.routines(dataset))
        await self._define("see models", place, "bigquery.models.list", lambda: ask.models(dataset))
        if policies:
            table, name = policies[0].table, policies[0].name
            on, permission = f"row access policy {name}", "bigquery.rowAccessPolicies.getIamPolicy"
            await self._define("see members", on, permission, lambda: ask.grantees(dataset, table, name))

    async def _define(self, name: str, on: str, permission: str, question: Callable[[], Awaitable[object]]) -> None:
        try:
            await question()
        except DeniedError:
            self._note(name, on, CheckOutcome.WARNING, LEFT_OUT, permission)
        else:
            self._note(name, on, CheckOutcome.OK, "", permission)

    async def _bucket(self) -> tuple[BucketInfo | None, bool]:
        """The bucket's settings, and whether to try writing there: what is written must be deletable."""
        url, permission = self._store.url, "storage.buckets.get"
        try:
            bucket = await self._store.describe()
            refuse_bucket(bucket, url)
            refuse_key(bucket, self._settings, url)
        except DeniedError:
            detail = "location, retention and soft delete are not checked"
            self._note("see the bucket", url, CheckOutcome.WARNING, detail, permission)
            return None, True
        except NotFoundError as error:
            # Here the missing resource is the bucket, not a document.
            self._note("see the bucket", url, CheckOutcome.MISSING, error.cause, permission)
            return None, False
        except (TargetError, UsageError) as error:
            self._note("see the bucket", url, CheckOutcome.REFUSED, f"{error.cause}. {error.hint}", permission)
            return None, False
        self._note(
            "see the bucket",
            url,
            CheckOutcome.OK,
            f"it is in {bucket.location}" if bucket.location else "",
            permission,
        )
        return bucket, True

    async def _prefix(self) -> None:
        place = str(self._settings.target)
        await self._ask(
            "the prefix is this dataset's",
            place,
            "storage.objects.get",
            lambda: check_prefix(self._store, self._settings),
            lambda found: f"it belongs to {found[0].project}.{found[0].dataset}" if found[0] else "it is free",
        )

    async def _objects(self, *, writable: bool) -> None:
        """Create, read, list, copy and delete two objects that belong to the doctor."""
        folder = f"{self._settings.layout.state}doctor/"
        name = f"{folder}{secrets.token_hex(8)}.json"
        rights = {
            "read objects": "get",
            "list objects": "list",
            "replace objects": "update",
            "delete objects": "delete",
        }
        data, made = b'{"what":"bqdump doctor looks whether it may write here"}', dict[str, int]()
        created = None
        if writable:
            created = await self._ask(
                "create objects", self._store.url, "storage.objects.create", lambda: self._store.write(name, data, 0)
            )
        if created is None:
            for what, right in rights.items():
                self._note(
                    what, self._store.url, CheckOutcome.UNTRIED, "no object could be made", f"storage.objects.{right}"
                )
            return
        made[name] = created
        await self._ask("read objects", self._store.url, "storage.objects.get", lambda: self._store.read(name))
        await self._ask("list objects", self._store.url, "storage.objects.list", lambda: self._listed(folder))
        wish = Copy(name, created, f"{name}.copy", 0)
        copied = await self._ask(
            "replace objects", self._store.url, "storage.objects.update", lambda: self._copied(wish)
        )
        if copied:
            made[wish.target] = copied
        await self._ask(
            "delete objects",
            self._store.url,
            "storage.objects.delete",
            lambda: self._deleted(made),
            lambda _: "",
            f"left behind: {', '.join(made)}",
        )

    async def _listed(self, folder: str) -> bool:
        return any([page async for page in self._store.objects(folder)])

    async def _copied(self, wish: Copy) -> int:
        (result,) = await self._store.copy([wish], "doctor")
        if isinstance(result, BqdumpError):
            raise result
        return result.generation

    async def _deleted(self, made: dict[str, int]) -> bool:
        for result in await self._store.delete(list(made.items())):
            if isinstance(result, BqdumpError):
                raise result
        return True

    async def _guards(self, bucket: BucketInfo | None) -> None:
        """The risks of each table, from planning."""
        place = f"{self._settings.project}.{self._settings.dataset}"
        failed = {one.permission for one in self.checks if one.outcome in (CheckOutcome.DENIED, CheckOutcome.MISSING)}
        needed = failed - {"bigquery.rowAccessPolicies.list"}
        if any(permission.startswith("bigquery.") for permission in needed):
            self._note("plan an export", place, CheckOutcome.UNTRIED, "skipped: fix the permissions above first")
            return
        drafted = await self._ask(
            "plan an export",
            place,
            "",
            lambda: self._draft(bucket),
            lambda found: counted(found.plan.tables, "table") + _cannot_be_checked(found),
        )
        if drafted is None:
            return
        await self._session(drafted)
        for flag in drafted.plan.flags:
            outcome, how = (CheckOutcome.WARNING, "") if flag.allowed else (CheckOutcome.REFUSED, _way_out(flag.risk))
            self._note(f"guard: {flag.risk.value}", flag.table or place, outcome, f"{sentence(flag)}{how}")

    async def _draft(self, bucket: BucketInfo | None) -> Draft:
        published = await read_published(self._store, self._settings)
        # Every table is tried, also those that the next run need not export.
        settings = msgspec.structs.replace(self._settings, incremental=False)
        return await draft_plan(self._warehouse, settings, "doctor", 1, bucket, Earlier(self._store, published))

    async def _session(self, draft: Draft) -> None:
        """The permission to open a read session, tried if a table takes the read route. Opening a session is free."""
        table = next((one for one in draft.tables if one.route == "read"), None)
        if table is None:
            return
        plan = draft.plan
        dataset = Dataset(plan.project, plan.dataset, plan.location)
        rows = sql.condition(table.definition, table.shape.where)
        request = ReadRequest(dataset, table.table, plan.snapshot, (), rows, 1)
        await self._ask(
            "open a read session", f"table {table.table}", READS, lambda: self._open_read_route().reader.open(request)
        )

    async def _ask(
        self,
        name: str,
        on: str,
        permission: str,
        question: Callable[[], Awaitable[Answer]],
        detail: Callable[[Answer], str] = lambda _: "",
        instead: str = "",
    ) -> Answer | None:
        """The result, None if access is denied or something is missing. instead: the text to report in that case."""
        try:
            answer = await question()
        except BqdumpError as error:
            if isinstance(error, (AccessError, OutageError, UnavailableError)):
                raise
            outcomes = {DeniedError: CheckOutcome.DENIED, NotFoundError: CheckOutcome.MISSING}
            found = next((o for kind, o in outcomes.items() if isinstance(error, kind)), CheckOutcome.REFUSED)
            said = error.sentence(self._words) if isinstance(error, UsageError) else error.cause
            self._note(name, on, found, "; ".join(filter(None, (said, instead))), permission)
            return None
        self._note(name, on, CheckOutcome.OK, detail(answer), permission)
        return answer

    def _note(self, name: str, on: str, outcome: CheckOutcome, detail: str, permission: str = "") -> None:
        self.checks.append(Check(name, on, outcome, fill(detail, self._words), permission))


def _cannot_be_checked(draft: Draft) -> str:
    """Requirements of the export that BigQuery does not report, in words; "" for none."""
    return DISASTER_RECOVERY if any(table.route == "extract" for table in draft.tables) else ""


def _way_out(risk: Risk) -> str:
    return f". {GUARDS[risk].remedy} To export anyway: {to_allow([risk])}"
