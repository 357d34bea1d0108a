"""The ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from bqdump_local.bigquery.errors import BigQueryError
from bqdump_local.bigquery.files.objects import ObjectStore
from bqdump_local.bigquery.jobs.service import Service
from bqdump_local.bigquery.routes.control import ControlRoutes
from bqdump_local.bigquery.routes.http import to_json, to_route
from bqdump_local.bigquery.routes.jobs import JobRoutes
from bqdump_local.bigquery.routes.policies import PolicyRoutes
from bqdump_local.bigquery.routes.routines import RoutineRoutes
from bqdump_local.bigquery.routes.tables import TableRoutes
from bqdump_local.bigquery.routes.uploads import UploadRoutes
from bqdump_local.bigquery.settings import JobSettings
from bqdump_local.bigquery.tables.catalog import Catalog
from bqdump_local.bigquery.tables.warehouse import Warehouse


def create_app(*, storage: str, data_dir: Path | None = None, settings: JobSettings | None = None) -> Starlette:
    """A BigQuery server.

    storage: the base URL of the Cloud Storage server that jobs read and write.
    data_dir: the folder for datasets and tables, which outlive the process; without it, they are in memory.

    The application's `state.catalog` is the catalog for `storage_read.server`.
    """
    settings = settings or JobSettings()
    warehouse = Warehouse(data_dir)
    service = Service(Catalog(warehouse, settings), ObjectStore(storage), settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        warehouse.close()

    endpoints = [
        *TableRoutes(service).endpoints(),
        *ControlRoutes(service).endpoints(),
        *PolicyRoutes(service).endpoints(),
        *RoutineRoutes(service).endpoints(),
        *JobRoutes(service).endpoints(),
        *UploadRoutes(service).endpoints(),
    ]
    handlers = {404: _unknown, 405: _unknown}
    app = Starlette(routes=[to_route(e) for e in endpoints], lifespan=lifespan, exception_handlers=handlers)
    app.state.catalog = service.catalog
    return app


async def _unknown(request: Request, _: Exception) -> Response:
    error = BigQueryError("notFound", f"Not found: {request.method} {request.url.path}")
    return to_json(error.body(), 404)
