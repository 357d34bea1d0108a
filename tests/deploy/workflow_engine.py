"""Runs a workflow in the emulator, and passes its calls to Google's APIs to a function.

It fixes differences between the emulator and Workflows: iterations of a parallel step have their own variables and
share only those that the step names, the concurrency limit is enforced, a switch takes at most one branch, and keys()
returns only the keys of a map.
"""

from __future__ import annotations

import copy
import importlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import yaml

EXECUTION = "9d4a8e8e-1111-4222-8333-444455556666"
ENVIRONMENT = {
    "GOOGLE_CLOUD_PROJECT_ID": "my-project",
    "GOOGLE_CLOUD_LOCATION": "europe-west1",
    "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID": EXECUTION,
    "BQDUMP_JOB": "bqdump",
}
# A function from the method, URL and body of an API call to the body of the answer.
Call = Callable[[str, str, Any], Any]


@cache
def emulator() -> Any:
    """The emulator's module. It compiles its grammars while it is imported: no test of others waits for that."""
    return importlib.import_module("workflows_emulator.main")


@cache
def expressions() -> Any:
    """Its module of expressions."""
    return importlib.import_module("workflows_emulator.render")


@cache
def package_config() -> Any:
    """Its function that reads a file of settings, which reads it once."""
    return cache(emulator().load_package_config)


class Branch(dict[str, Any]):
    """The variables of one iteration: its own, and those that all iterations share."""

    def __init__(self, parent: dict[str, Any], shared: list[str]) -> None:
        super().__init__(copy.deepcopy(parent))
        self._parent, self._shared = parent, shared

    def __getitem__(self, key: str) -> Any:
        return self._parent[key] if key in self._shared else super().__getitem__(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self._shared:
            self._parent[key] = value
        else:
            super().__setitem__(key, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return copy.deepcopy({key: self[key] for key in self}, memo)


def _parallel(
    step: Any,
    task_configs: list[Any],
    concurrency_limit: int | None = None,
    index_var: str = "__index",
    value_var: str = "__value",
) -> Any:
    """Run the iterations of a parallel step. Their errors are raised together after all have ended."""
    branches = []
    for number, task in enumerate(task_configs):
        branch = Branch(step.context, step.config["parallel"].get("shared", []))
        branch[value_var], branch[index_var] = task["id"], number
        branches.append((task["config"], branch))
    with ThreadPoolExecutor(concurrency_limit) as pool:
        running = [pool.submit(emulator().execute_step, step.step_id, config, own) for config, own in branches]
    step.check_raise_results({number: error for number, one in enumerate(running) if (error := one.exception())})
    return step.context


def _switch(step: Any) -> Any:
    """Run only the first branch of a switch whose condition is true."""
    for condition in step.config["switch"]:
        if emulator().render_config(condition["condition"], step.context):
            branch = {key: value for key, value in condition.items() if key != "condition"}
            context, following, result = emulator().execute_step(step.step_id, branch, step.context)
            return context, following or step.config.get("next"), result
    return step.context, step.config.get("next"), None


def refusal(code: int, message: str) -> Exception:
    """The error that a connector raises for an error of the API."""
    error: Exception = emulator().WorkflowError(code=code, message=message, tags=["HttpError"])
    return error


def operation_failed(operation: Mapping[str, Any]) -> Exception:
    """The error that a connector raises for a failed operation."""
    error: Exception = emulator().WorkflowError(
        message=operation["error"]["message"], tags=["OperationError"], operation=dict(operation)
    )
    return error


@contextmanager
def _connected(call: Call, pauses: list[float]) -> Iterator[None]:
    def request(*, method: str, url: str, body: Any = None, **_: Any) -> dict[str, Any]:
        return {"code": 200, "body": call(method, url, body)}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emulator(), "authenticated_request", request)
        patch.setattr(emulator().StepParallel, "execute_task_config", _parallel)
        patch.setattr(emulator().StepSwitch, "execute", _switch)
        patch.setitem(expressions().STANDARD_LIBRARY, "keys", lambda mapping: list(dict.keys(mapping)))
        patch.setattr(emulator(), "load_package_config", package_config())
        # libyaml takes a tenth of the time.
        patch.setattr(yaml, "safe_load", lambda text: yaml.load(text, yaml.CSafeLoader))
        patch.setattr(emulator(), "sleep", pauses.append)
        patch.setattr(emulator(), "LOCK", threading.Lock())
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


def run(source: str, argument: Any, call: Call, pauses: list[float] | None = None) -> Any:
    """The workflow's result. Raises FailedError if it fails. pauses: receives the waits between attempts."""
    with _connected(call, [] if pauses is None else pauses):
        try:
            result = emulator().execute_workflow(yaml.safe_load(source), {"input": argument})
        except emulator().WorkflowError as error:
            raise FailedError(dict(error.payload)) from error
    return plain(result)


class FailedError(Exception):
    """The error of a failed workflow."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = plain(payload)
        super().__init__(str(payload.get("message")))


def plain(value: Any) -> Any:
    """The emulator's values as plain dictionaries and lists."""
    if isinstance(value, dict):
        return {key: plain(dict.__getitem__(value, key)) for key in dict.keys(value)}
    return [plain(one) for one in value] if isinstance(value, list) else value
