"""What a plan records of a dataset besides its tables, so that an export is enough to rebuild it.

A definition that is missing loses no rows: it is named, and never refuses a run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from bqdump.core.documents.definitions import NOTHING, Definitions, ObjectDefinition, RowPolicy, Unread
from bqdump.core.documents.run import Flag
from bqdump.core.risks import Risk
from bqdump.core.sizes import named
from bqdump.core.tables.catalog import EXTRACTABLE, Table, is_iceberg

# What BigQuery alone sets; `tags` repeats resourceTags.
# https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#Dataset
OUTPUT_ONLY = (
    "kind",
    "etag",
    "id",
    "selfLink",
    "creationTime",
    "lastModifiedTime",
    "type",
    "tags",
    "satisfiesPzs",
    "satisfiesPzi",
    "linkedDatasetMetadata",
    "catalogSource",
    "restrictions",
)
POLICIES, INDEXES, ACCESS = "row access policies", "search and vector indexes", "access entries of the dataset"
NAMED = 10


def missing_permission(permission: str) -> str:
    """The reason for a definition that the account may not read."""
    return f"missing permission {permission}"


UNLISTED = missing_permission("bigquery.rowAccessPolicies.list")


def dataset_definition(resource: msgspec.Raw) -> tuple[msgspec.Raw, tuple[Unread, ...]]:
    """A dataset's resource without what BigQuery alone sets, and what it lacks."""
    fields = msgspec.json.decode(resource)
    if fields is None:
        return NOTHING, ()
    kept = {name: value for name, value in fields.items() if name not in OUTPUT_ONLY}
    if "resourceTags" not in kept and fields.get("tags"):
        kept["resourceTags"] = {tag["tagKey"]: tag["tagValue"] for tag in fields["tags"]}
    # Every dataset has owners.
    lacking = () if kept.get("access") else (Unread(ACCESS, missing_permission("bigquery.datasets.getIamPolicy")),)
    return msgspec.Raw(msgspec.json.encode(kept)), lacking


def object_definitions(tables: Iterable[Table]) -> tuple[ObjectDefinition, ...]:
    """The definitions of those that are not plain tables, and still exist."""
    return tuple(
        ObjectDefinition(table.name, table.kind, table.definition)
        for table in sorted(tables, key=lambda table: table.name)
        if bytes(table.definition) != bytes(NOTHING) and (table.kind not in EXTRACTABLE or is_iceberg(table.definition))
    )


def unlisted_policies(policies: Mapping[str, Sequence[RowPolicy] | None]) -> Iterator[Unread]:
    """The tables whose row access policies could not be listed. policies: by table."""
    if policies and all(listed is None for listed in policies.values()):
        yield Unread(POLICIES, UNLISTED)
        return
    for table, listed in policies.items():
        if listed is None:
            yield Unread(f"{POLICIES} of table {table}", UNLISTED, table)


def definition_flags(definitions: Definitions) -> Iterator[Flag]:
    """What a restore will lack: one flag for all definitions that were not read, one for the models."""
    # Policies that cannot be listed are a risk of their own.
    if unread := [skip for skip in definitions.unread if skip.reason != UNLISTED]:
        yield Flag(Risk.UNREAD_DEFINITIONS, "", (), _unread_text(unread), allowed=True)
    if definitions.models:
        yield Flag(Risk.MODELS, "", (), named(definitions.models, NAMED), allowed=True)


def with_carried(own: Definitions, earlier: Definitions, tables: Collection[str]) -> Definitions:
    """The definitions of an export that carries these tables over from an earlier one, with theirs.

    What was not read for all tables of the earlier export was not read for these.
    """
    if not tables:
        return own
    return msgspec.structs.replace(
        own,
        objects=tuple(
            sorted(
                (*own.objects, *(object_ for object_ in earlier.objects if object_.name in tables)),
                key=lambda object_: object_.name,
            )
        ),
        policies=(*own.policies, *(policy for policy in earlier.policies if policy.table in tables)),
        indexes=(*own.indexes, *(index for index in earlier.indexes if index.table in tables)),
        unread=tuple(
            dict.fromkeys(
                (
                    *own.unread,
                    *(item for item in earlier.unread if item.table in tables or item.what in (POLICIES, INDEXES)),
                )
            )
        ),
    )


def _unread_text(unread: Sequence[Unread]) -> str:
    by_reason: dict[str, list[str]] = {}
    for item in unread:
        by_reason.setdefault(item.reason, []).append(item.what)
    return "; ".join(f"{named(what, NAMED)}: {reason}" for reason, what in by_reason.items())
