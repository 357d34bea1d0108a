"""A restore that is not to last: everything that it creates expires, even if it is never dropped.

A dataset's default table expiration concerns its tables and views; without a default partition expiration also
partitioned tables, of which no single partition expires: https://cloud.google.com/bigquery/docs/updating-datasets
"""

from __future__ import annotations

import msgspec

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.restore.plan import ObjectStep, RestorePlan, TableStep

# Longer than the slowest drill: tables must not expire while they are compared.
LIFETIME_MS = 3 * 24 * 60 * 60 * 1000
# The label of the dataset.
LABEL = "bqdump_drill"


def temporary(plan: RestorePlan) -> RestorePlan:
    """The same plan into a new dataset whose tables expire after LIFETIME_MS, and not by any property of their own."""
    properties = msgspec.json.decode(plan.create_dataset)
    labels = {**properties.get("labels", {}), LABEL: "true"}
    dataset = properties | {"labels": labels, "defaultTableExpirationMs": str(LIFETIME_MS)}
    return msgspec.structs.replace(
        plan,
        create_dataset=_raw(dataset),
        finish_dataset=NOTHING,
        tables=tuple(map(_table, plan.tables)),
        objects=tuple(map(_object, plan.objects)),
    )


def _table(step: TableStep) -> TableStep:
    return msgspec.structs.replace(step, lasting=NOTHING, expire=NOTHING, expired_rows="")


def _object(step: ObjectStep) -> ObjectStep:
    finish = msgspec.json.decode(step.finish) or {}
    finish.pop("expirationTime", None)
    return msgspec.structs.replace(step, finish=_raw(finish) if finish else NOTHING)


def _raw(body: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(body))
