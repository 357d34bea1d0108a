"""The Cloud Run Admin API as an application: jobs, their executions, and operations."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bqdump_local.cloud_run.api_fields import V2, check_query, checked
from bqdump_local.cloud_run.errors import CloudRunError, invalid, not_found
from bqdump_local.cloud_run.executions import TYPE, Machine, Running
from bqdump_local.cloud_run.template import override, read_request, read_template, seconds
from bqdump_local.operations import cloud_run_operation

PLACE = "/v2/projects/{project}/locations/{location}"
COMMAND = (sys.executable, "-P", "-m", "bqdump")
PAGE = 100


async def _earlier(request: Request) -> Response:
    raise CloudRunError(501, f"This local stand-in serves the Cloud Run Admin API v2, not v1: {request.url.path}")


class CloudRun:
    """Jobs and executions of one stand-in, which are lost when it ends.

    command: the command that replaces every job's image and entry point.
    environ: variables for every task, such as the addresses of the other stand-ins.
    at_once: the maximum number of processes per execution.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], at_once: int) -> None:
        self._command, self._environ, self._at_once = tuple(command), dict(environ), at_once
        self._machine = Machine()
        self._jobs: dict[str, dict[str, Any]] = {}
        self._executions: dict[str, Running] = {}
        self._operations: dict[str, dict[str, Any]] = {}

    def routes(self) -> list[Route]:
        """Every route."""
        job, executions = f"{PLACE}/jobs/{{job}}", f"{PLACE}/jobs/{{job}}/executions"
        return [
            Route(f"{PLACE}/jobs", self._create, methods=["POST"]),
            Route(f"{PLACE}/jobs", self._list_jobs, methods=["GET"]),
            Route(f"{job}:run", self._run, methods=["POST"]),
            Route(job, self._get_job, methods=["GET"]),
            Route(job, self._replace, methods=["PATCH"]),
            Route(job, self._delete_job, methods=["DELETE"]),
            Route(executions, self._list_executions, methods=["GET"]),
            Route(f"{executions}/{{execution}}:cancel", self._cancel, methods=["POST"]),
            Route(f"{executions}/{{execution}}", self._get_execution, methods=["GET"]),
            Route(f"{PLACE}/operations", self._list_operations, methods=["GET"]),
            Route(f"{PLACE}/operations/{{operation}}:wait", self._wait, methods=["POST"]),
            Route(f"{PLACE}/operations/{{operation}}", self._get_operation, methods=["GET"]),
            Route("/_local/logs/{execution}", self._log, methods=["GET"]),
            Route("/apis/{rest:path}", _earlier, methods=["DELETE", "GET", "POST", "PUT"]),
        ]

    async def stop(self) -> None:
        """End every process."""
        for running in list(self._executions.values()):
            await running.stop()
        self._machine.stop()

    async def _create(self, request: Request) -> Response:
        name = f"{_path(request)}/{request.query_params.get('jobId', '')}"
        if name in self._jobs:
            raise CloudRunError(409, f"Resource '{name}' already exists.")
        return self._keep(name, await _body(request, "Job"))

    async def _replace(self, request: Request) -> Response:
        name = _path(request)
        if name not in self._jobs and request.query_params.get("allowMissing") != "true":
            raise not_found(name)
        return self._keep(name, await _body(request, "Job"))

    def _keep(self, name: str, body: dict[str, Any]) -> Response:
        if name.endswith("/"):
            raise invalid("jobId: expected a name.")
        read_template(body)
        known = self._jobs.get(name, {})
        generation = str(int(known.get("generation", "0")) + 1)
        kept = {"name": name, "generation": generation, "uid": known.get("uid") or str(uuid.uuid4())}
        self._jobs[name] = body | kept
        return self._finished(name, "Job", self._jobs[name])

    async def _list_jobs(self, request: Request) -> Response:
        return _page(request, "jobs", [body for name, body in self._jobs.items() if _within(name, _path(request))])

    async def _get_job(self, request: Request) -> Response:
        return JSONResponse(self._job(_path(request)))

    async def _delete_job(self, request: Request) -> Response:
        name = _path(request)
        body = self._job(name)
        for execution in [
            candidate for candidate in self._executions.values() if _within(candidate.name, f"{name}/executions")
        ]:
            await execution.stop()
        del self._jobs[name]
        return self._finished(name, "Job", body)

    async def _run(self, request: Request) -> Response:
        name = _path(request).removesuffix(":run")
        run_request = read_request(await _body(request, "RunJobRequest"))
        template = override(read_template(self._job(name)), run_request.overrides)
        running = Running(name, template)
        if not run_request.validate_only:
            self._executions[running.name] = running
            running.start(self._machine, self._command, self._environ, self._at_once)
        return JSONResponse(running.operation_body())

    async def _list_executions(self, request: Request) -> Response:
        path = _path(request)
        self._job(path.removesuffix("/executions"))
        executions = [execution.body() for execution in self._executions.values() if _within(execution.name, path)]
        return _page(request, "executions", executions[::-1])

    async def _get_execution(self, request: Request) -> Response:
        return JSONResponse(self._execution(_path(request)).body())

    async def _cancel(self, request: Request) -> Response:
        await _body(request, "CancelExecutionRequest")
        running = self._execution(_path(request).removesuffix(":cancel"))
        await running.cancel()
        return self._finished(running.name, "Execution", running.body())

    async def _list_operations(self, request: Request) -> Response:
        started = [
            execution.operation_body()
            for execution in self._executions.values()
            if _within(execution.operation, _path(request))
        ]
        finished = [body for name, body in self._operations.items() if _within(name, _path(request))]
        return _page(request, "operations", [*started, *finished])

    async def _get_operation(self, request: Request) -> Response:
        return JSONResponse(self._operation(_path(request)))

    async def _wait(self, request: Request) -> Response:
        name = _path(request).removesuffix(":wait")
        limit = checked("GoogleLongrunningWaitOperationRequest", await _json(request), "request").get("timeout")
        running = self._started_by(name)
        if running:
            await running.wait(seconds(limit) if limit else None)
        return JSONResponse(self._operation(name))

    async def _log(self, request: Request) -> Response:
        execution = request.path_params["execution"]
        for running in self._executions.values():
            if running.id == execution:
                return PlainTextResponse("".join(f"{line.task}: {line.text}\n" for line in running.lines))
        raise not_found(execution)

    def _job(self, name: str) -> dict[str, Any]:
        if name not in self._jobs:
            raise not_found(name)
        return self._jobs[name]

    def _execution(self, name: str) -> Running:
        if name not in self._executions:
            raise not_found(name)
        return self._executions[name]

    def _started_by(self, operation: str) -> Running | None:
        return next((execution for execution in self._executions.values() if execution.operation == operation), None)

    def _operation(self, name: str) -> dict[str, Any]:
        running = self._started_by(name)
        if running:
            return running.operation_body()
        if name not in self._operations:
            raise not_found(name)
        return self._operations[name]

    def _finished(self, name: str, kind: str, body: dict[str, Any]) -> Response:
        parent = name.partition("/jobs/")[0]
        typed = {"@type": TYPE + kind, **body}
        operation = {"name": f"{parent}/operations/{uuid.uuid4()}", "metadata": typed, "done": True, "response": typed}
        self._operations[str(operation["name"])] = operation
        return JSONResponse(operation)


def create_app(
    *, command: Sequence[str] = COMMAND, environ: Mapping[str, str] | None = None, at_once: int = 10
) -> Starlette:
    """The application; see CloudRun for its arguments."""
    service = CloudRun(command, environ or {}, at_once)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await service.stop()

    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, CloudRunError)  # noqa: S101 (registered for this class)
        return JSONResponse(error.body(), error.status)

    def checking(route: Route) -> Route:
        async def serve(request: Request) -> Response:
            check_query(cloud_run_operation(request.method, request.url.path), request.query_params.multi_items())
            answer: Response = await route.endpoint(request)
            return answer

        return Route(route.path, serve, methods=list(route.methods or ()))

    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {CloudRunError: refuse}
    return Starlette(
        routes=[checking(route) for route in service.routes()], lifespan=lifespan, exception_handlers=handlers
    )


def _path(request: Request) -> str:
    return request.url.path.removeprefix("/v2/")


def _within(name: str, collection: str) -> bool:
    """Whether a name belongs to a collection; the job "-" stands for any job."""
    parts, pattern = name.split("/")[:-1], collection.split("/")
    return len(parts) == len(pattern) and all(want in ("-", part) for part, want in zip(parts, pattern, strict=True))


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        raise invalid("Invalid JSON payload received.") from None
    if not isinstance(body, dict):
        raise invalid("Invalid JSON payload received: expected an object.")
    return body


async def _body(request: Request, schema: str) -> dict[str, Any]:
    body: dict[str, Any] = checked(V2 + schema, await _json(request), "job" if schema == "Job" else "request")
    return body


def _page(request: Request, key: str, items: list[dict[str, Any]]) -> Response:
    start = int(request.query_params.get("pageToken") or 0)
    end = start + int(request.query_params.get("pageSize") or PAGE)
    return JSONResponse({key: items[start:end]} | ({"nextPageToken": str(end)} if end < len(items) else {}))
