"""What is created after the tables: views, external tables, routines, indexes, row access policies.

Sources: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#resource-table,
https://cloud.google.com/bigquery/docs/reference/rest/v2/routines#Routine,
https://cloud.google.com/bigquery/docs/reference/rest/v2/rowAccessPolicies#RowAccessPolicy
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec

from bqdump.core.documents.definitions import NOTHING, Index, ObjectDefinition, RoutineDefinition, RowPolicy
from bqdump.core.restore.names import Moves, tokens
from bqdump.core.restore.plan import INDEX, POLICY, ROUTINE, Action, ObjectStep
from bqdump.core.restore.references import Mapped, mapped
from bqdump.core.restore.table_requests import TOO_SOON, settable

# Where the API has the SQL of a kind of table.
QUERIES = {"VIEW": "view", "MATERIALIZED_VIEW": "materializedView"}
RESTORABLE = (*QUERIES, "EXTERNAL")
OF_A_ROUTINE = ("etag", "routineReference", "creationTime", "lastModifiedTime")
# What a view's columns have that its query does not give them.
OF_A_COLUMN = ("description", "policyTags", "dataPolicies", "fields")
EXTERNAL = "only its definition: it reads its sources again"
FROM_DEFINITION = "from its definition, not from the rows in the export"
LEGACY = "legacy SQL, whose references stay as they are"
DYNAMIC = "the text of dynamic SQL stays as it is"


class References:
    """How SQL that names datasets which are restored is mapped. keep: it stays as it is."""

    def __init__(self, moves: Moves, *, keep: bool) -> None:
        self._moves, self._keep = moves, keep

    def __call__(self, text: str) -> Mapped:
        """A text whose references are mapped."""
        return mapped(text, self._moves, keep=self._keep)


def has_definition(kind: str, definition: msgspec.Raw) -> bool:
    """Whether an object of this kind can be created from its definition."""
    resource = msgspec.json.decode(definition) or {}
    if kind == "EXTERNAL":
        return "externalDataConfiguration" in resource
    return kind in QUERIES and bool((resource.get(QUERIES[kind]) or {}).get("query"))


def object_step(
    exported: ObjectDefinition, action: Action, references: References, now: int, *, name: str = "", has_rows: bool
) -> ObjectStep:
    """The step for a view, materialized view or external table.

    now: in milliseconds since 1970 UTC. An expiration is left out if it would delete the object at once.
    name: in the target, "" for that in the export.
    has_rows: the export has its rows.
    """
    body = settable(msgspec.json.decode(exported.definition))
    finish = _finish(body, now)
    notes: list[str] = []
    stays: tuple[str, ...] = ()
    if key := QUERIES.get(exported.kind):
        finish |= _columns(body.pop("schema", None) or {})
        query = references(body[key]["query"])
        if body[key].get("useLegacySql"):
            notes.append(LEGACY)
        else:
            body[key], stays = {**body[key], "query": query.text}, query.stays
        body[key] = {name: value for name, value in body[key].items() if name != "lastRefreshTime"}
    notes += [EXTERNAL] if exported.kind == "EXTERNAL" else [FROM_DEFINITION] if has_rows else []
    return ObjectStep(
        name=name or exported.name,
        kind=exported.kind,
        action=action,
        definition=_raw(body),
        finish=_raw(finish) if finish else NOTHING,
        as_what="; ".join(notes),
        stays=stays,
    )


def _finish(body: dict[str, Any], now: int) -> dict[str, Any]:
    """Take out what is set once the object exists: its expiration."""
    expires = int(body.pop("expirationTime", None) or 0)
    return {"expirationTime": str(expires)} if expires > now + TOO_SOON else {}


def _columns(schema: dict[str, Any]) -> dict[str, Any]:
    # A view is created without a schema, and its columns can be described afterwards.
    fields = schema.get("fields") or []
    return {"schema": schema} if any(field.get(key) for field in fields for key in OF_A_COLUMN) else {}


def routine_step(routine: RoutineDefinition, action: Action, references: References) -> ObjectStep:
    """The step for a function, table function or procedure. Only SQL is mapped, not other languages."""
    resource: dict[str, Any] = msgspec.json.decode(routine.definition)
    body = {key: value for key, value in resource.items() if key not in OF_A_ROUTINE}
    stays: tuple[str, ...] = ()
    text, notes = body.get("definitionBody") or "", ""
    if text and is_sql(body):
        body["definitionBody"], stays = references(text)
        words = [token.keyword for token in tokens(text) if token.kind != "space"]
        notes = DYNAMIC if ("EXECUTE", "IMMEDIATE") in pairwise(words) else ""
    return ObjectStep(
        name=routine.name, kind=ROUTINE, action=action, definition=_raw(body), as_what=notes, stays=stays
    )  # fmt: skip


def is_sql(routine: Mapping[str, Any]) -> bool:
    """Whether the body of a routine, as the API describes it, is SQL."""
    return (routine.get("language") or "SQL") in ("SQL", "LANGUAGE_UNSPECIFIED")


def index_step(index: Index, table: str, references: References) -> ObjectStep:
    """The step for a search or vector index of this table in the target; its statement can be repeated."""
    text, stays = references(_if_not_exists(index.ddl))
    return ObjectStep(
        name=index.name, kind=INDEX, action="create", definition=_raw(text), table=table, stays=stays
    )  # fmt: skip


def _if_not_exists(ddl: str) -> str:
    """A CREATE INDEX that does nothing where the index exists."""
    statement, before = "", ""
    for token in tokens(ddl):
        if before == "INDEX" and token.kind != "space":
            statement += "" if token.keyword == "IF" else "IF NOT EXISTS "
            before = "name"
        elif token.keyword in ("REPLACE", "INDEX") and before not in ("REPLACE", "name"):
            before = token.keyword
        statement += token.text
    return statement


def policy_step(policy: RowPolicy, table: str, references: References) -> ObjectStep:
    """The step for a row access policy of this table in the target, whose members are known."""
    text, stays = references(policy.filter)
    body = {"filterPredicate": text, "grantees": list(policy.grantees or ())}
    return ObjectStep(
        name=policy.name, kind=POLICY, action="create", definition=_raw(body), table=table, stays=stays
    )  # fmt: skip


def same_query(before: msgspec.Raw, after: msgspec.Raw) -> bool:
    """Whether two definitions of a view, materialized view or external table have the same query."""
    parts = (*QUERIES.values(), "externalDataConfiguration")
    bodies = (msgspec.json.decode(before) or {}, msgspec.json.decode(after) or {})
    first, second = ([(body.get(part) or {}).get("query", "") for part in parts] for body in bodies)
    return first == second


def _raw(body: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(body))
