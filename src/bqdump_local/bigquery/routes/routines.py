"""Routes for routines and models."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from typing import Any

from bqdump_local.bigquery.bodies import checked
from bqdump_local.bigquery.errors import invalid, not_found
from bqdump_local.bigquery.jobs.service import Service
from bqdump_local.bigquery.routes.http import Call, Endpoint
from bqdump_local.bigquery.statements import routines

DATASET = "/bigquery/v2/projects/{project}/datasets/{dataset}"
ALL = DATASET + "/routines"
ONE = ALL + "/{routine}"
# What routines.list returns unless a readMask names other fields.
LISTED = ("etag", "routineReference", "routineType", "creationTime", "lastModifiedTime", "language")


class RoutineRoutes:
    """The API's methods for routines, and for the names of models."""

    def __init__(self, service: Service) -> None:
        self._catalog = service.catalog

    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return [
            Endpoint("GET", ALL, self.list, quick=True),
            Endpoint("POST", ALL, self.insert),
            Endpoint("GET", ONE, self.get, quick=True),
            Endpoint("PUT", ONE, self.update),
            Endpoint("DELETE", ONE, self.delete),
            Endpoint("GET", DATASET + "/models", self.list_models, quick=True),
            Endpoint("POST", "/_local/models", self.add_model),
        ]

    def list(self, call: Call) -> dict[str, Any]:
        """routines.list."""
        self._catalog.access.require(call.project, "bigquery.routines.list")
        self._catalog.dataset(call.project, call.path["dataset"])
        kind = _filtered(call.query.get("filter", ""))
        every = self._catalog.routines.all(call.project, call.path["dataset"])
        of_kind = [routine for routine in every if kind in (None, routine.get("routineType"))]
        return call.listed("routines", of_kind, _name("routine"), partial(_masked, _mask(call) or set(LISTED)))

    def get(self, call: Call) -> dict[str, Any]:
        """routines.get."""
        self._catalog.access.require(call.project, "bigquery.routines.get")
        routine = self._catalog.routines.find(*self._place(call))
        if routine is None:
            raise self._missing(call)
        return _masked(_mask(call) or set(routine), routine)

    def insert(self, call: Call) -> dict[str, Any]:
        """routines.insert."""
        self._catalog.access.require(call.project, "bigquery.routines.create")
        body = checked("Routine", call.body, "routine")
        name = (body.get("routineReference") or {}).get("routineId")
        if not name:
            raise invalid("Required parameter is missing: routineReference.routineId")
        place = (call.project, call.path["dataset"], name)
        return routines.create(self._catalog, place, body, replace=False)

    def update(self, call: Call) -> dict[str, Any]:
        """routines.update."""
        self._catalog.access.require(call.project, "bigquery.routines.update")
        body = checked("Routine", call.body, "routine")
        return routines.create(self._catalog, self._place(call), body, replace=True, check=self._match(call))

    def delete(self, call: Call) -> None:
        """routines.delete."""
        self._catalog.access.require(call.project, "bigquery.routines.delete")
        self._catalog.routines.remove(*self._place(call), check=self._match(call))

    def list_models(self, call: Call) -> dict[str, Any]:
        """models.list."""
        self._catalog.access.require(call.project, "bigquery.models.list")
        self._catalog.dataset(call.project, call.path["dataset"])
        models = self._catalog.models.all(call.project, call.path["dataset"])
        return call.listed("models", models, _name("model"), lambda model: model)

    def add_model(self, call: Call) -> dict[str, Any]:
        """Control: `{project, dataset, model}` adds a model, which can only be listed."""
        body = call.body
        try:
            project, dataset, name = body["project"], body["dataset"], body["model"]
        except KeyError as error:
            raise invalid(f"Required key is missing: {error}") from error
        self._catalog.dataset(project, dataset)
        now = str(self._catalog.settings.now_ms())
        reference = {"projectId": project, "datasetId": dataset, "modelId": name}
        model = {"modelReference": reference, "modelType": "LINEAR_REGRESSION", "creationTime": now}
        self._catalog.models.put(project, dataset, name, model, replace=True)
        return {"models": self._catalog.models.all(project, dataset)}

    def _match(self, call: Call) -> Callable[[dict[str, Any] | None], None]:
        """What a change requires of the present routine."""

        def check(routine: dict[str, Any] | None) -> None:
            if routine is None:
                raise self._missing(call)
            call.require_match(routine["etag"])

        return check

    def _place(self, call: Call) -> tuple[str, str, str]:
        return call.project, call.path["dataset"], call.path["routine"]

    def _missing(self, call: Call) -> Exception:
        self._catalog.dataset(call.project, call.path["dataset"])
        return not_found("Routine", f"{call.project}:{call.path['dataset']}.{call.path['routine']}")


def _name(kind: str) -> Callable[[dict[str, Any]], str]:
    """The name in a resource of this kind."""
    return lambda resource: str(resource[f"{kind}Reference"][f"{kind}Id"])


def _mask(call: Call) -> set[str]:
    """The fields that a `readMask` names, with the reference; empty without one."""
    named = set(filter(None, call.query.get("readMask", "").split(",")))
    return named and {"routineReference", *named}


def _masked(shown: Container[str], routine: dict[str, Any]) -> dict[str, Any]:
    """These fields of a routine."""
    return {key: value for key, value in routine.items() if key in shown}


def _filtered(text: str) -> str | None:
    """The type in `routineType:SCALAR_FUNCTION`; None without a filter."""
    if not text:
        return None
    name, _, kind = text.partition(":")
    if name.strip() != "routineType" or not kind:
        raise invalid(f"Invalid filter: {text}")
    return kind.strip()
