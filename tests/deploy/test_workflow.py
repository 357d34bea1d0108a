"""The workflow, executed by an emulator against a stub of the API that validates requests against its schema."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bqdump.core.plan.selection import recommended_tasks
from bqdump.core.settings.settings import SETTINGS
from bqdump.render.job import workflow_source
from deploy import discovery
from deploy.workflow_engine import EXECUTION, FailedError, operation_failed, refusal, run
from docs.samples import example
from docs.walk import ROOT
from json_schema import problems

SOURCE = workflow_source()
ITEM = {"project": "p", "dataset": "sales", "bucket": "b"}


class Api:
    """A stub of `jobs.run`: records requests, and answers with `failures` for a dataset.

    tables: the number of tables that `tables.list` returns for a dataset, or the error.
    """

    def __init__(
        self,
        failures: dict[str, list[Exception | dict[str, Any]]] | None = None,
        tables: dict[str, int | Exception] | None = None,
    ) -> None:
        self.failures = failures or {}
        self.tables = tables or {}
        self.counted: list[str] = []
        self.urls: set[str] = set()
        self.bodies: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self.pause = threading.Event()

    def __call__(self, method: str, url: str, body: Any) -> Any:
        if method == "GET":
            return self._list(url)
        assert method == "POST"
        assert discovery.check("run.v2", "GoogleCloudRunV2RunJobRequest", json.loads(json.dumps(body))) == []
        with self._lock:
            self.urls.add(url)
            self.bodies.append(body)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.pause.wait(0.02)
        with self._lock:
            self.at_once -= 1
        left = self.failures.get(variables(body)["SOURCE_DATASET"], [])
        outcome = left.pop(0) if left else {"succeededCount": 1}
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _list(self, url: str) -> Any:
        found = re.fullmatch(r"https://bigquery\.googleapis\.com/bigquery/v2/projects/p/datasets/(\w+)/tables", url)
        assert found, url
        self.counted.append(found[1])
        count = self.tables.get(found[1], refusal(403, "not yours"))
        if isinstance(count, Exception):
            raise count
        answer = {"kind": "bigquery#tableList", "totalItems": count}
        assert discovery.check("bigquery.v2", "TableList", answer) == []
        return answer


def variables(body: dict[str, Any]) -> dict[str, str]:
    [container] = body["overrides"]["containerOverrides"]
    return {variable["name"]: variable["value"] for variable in container["env"]}


def broken(message: str = "Task 3 failed.") -> Exception:
    return operation_failed({"name": "o", "error": {"code": 2, "message": message}})


RECIPE = example((ROOT / "docs/engines.md").read_text(), "Cloud Workflows", "yaml")


@pytest.mark.parametrize("source", [SOURCE, RECIPE], ids=["rendered", "recipe"])
def test_a_workflow_is_valid_for_the_schema_of_workflows(source: str) -> None:
    schema = json.loads((Path(__file__).parent / "schemas/workflows.json").read_text())
    assert problems(yaml.safe_load(source), schema) == []


def test_an_item_can_have_every_setting_but_the_run_id() -> None:
    document = yaml.safe_load(SOURCE)
    known = document["request_of"]["steps"][0]["begin"]["assign"][0]["variables"]
    assert known == {setting.name: setting.env for setting in SETTINGS if setting.name not in ("run_id", "to")}


def test_expressions_are_within_the_limit_of_workflows() -> None:
    # https://cloud.google.com/workflows/quotas: 400 characters an expression.
    lengths = [len(line.strip()) for line in SOURCE.splitlines()]
    assert 40 < max(lengths) <= 400


def test_each_item_runs_the_job_with_its_own_variables_tasks_and_run_id() -> None:
    api = Api()
    items = [ITEM | {"tasks": 20, "format": "parquet"}, ITEM | {"dataset": "hr", "bucket": "c", "timeout": "60s"}]
    result = run(SOURCE, {"exports": items}, api)
    assert api.urls == {"https://run.googleapis.com/v2/projects/my-project/locations/europe-west1/jobs/bqdump:run"}
    first, second = sorted(api.bodies, key=lambda body: variables(body)["BQDUMP_RUN_ID"])
    assert variables(first) == {
        "BQDUMP_RUN_ID": f"{EXECUTION}-0",
        "PROJECT_ID": "p",
        "SOURCE_DATASET": "sales",
        "DESTINATION_BUCKET": "b",
        "BQDUMP_FORMAT": "parquet",
    }
    assert first["overrides"]["taskCount"] == 20
    assert "timeout" not in first["overrides"]
    assert variables(second)["BQDUMP_RUN_ID"] == f"{EXECUTION}-1"
    assert second["overrides"]["timeout"] == "60s"
    assert "taskCount" not in second["overrides"]
    assert sorted(result["published"]) == [f"{EXECUTION}-0", f"{EXECUTION}-1"]


def test_values_of_any_type_become_strings_that_bqdump_parses() -> None:
    api = Api()
    run(SOURCE, {"exports": [ITEM | {"concurrency": 50, "allow_partial": True, "header": False}]}, api)
    given = variables(api.bodies[0])
    assert given["BQDUMP_CONCURRENCY"] == "50"
    assert given["BQDUMP_ALLOW_PARTIAL"].lower() == "true"
    assert given["BQDUMP_HEADER"].lower() == "false"


def test_failed_items_are_named_once_all_others_have_finished() -> None:
    api = Api({"bad": [broken() for _ in range(3)]})
    items = [ITEM, ITEM | {"dataset": "bad", "prefix": "x"}, ITEM | {"dataset": "other"}]
    with pytest.raises(FailedError) as caught:
        run(SOURCE, {"exports": items}, api)
    error = caught.value.payload
    assert error["message"] == f"1 of 3 items failed; p.bad to gs://b/x (run {EXECUTION}-1) Task 3 failed."
    assert sorted(error["published"]) == [f"{EXECUTION}-0", f"{EXECUTION}-2"]
    assert [failure["run"] for failure in error["failures"]] == [f"{EXECUTION}-1"]


@pytest.mark.parametrize(
    "error",
    [
        broken, lambda: refusal(503, "later"), lambda: refusal(429, "slower"), lambda: {"failedCount": 1},
        lambda: {"cancelledCount": 2},
    ],
    ids=["operation", "503", "429", "failed-tasks", "cancelled-tasks"],
)  # fmt: skip
def test_a_retried_step_resumes_its_run(error: Callable[[], Exception | dict[str, Any]]) -> None:
    api = Api({"sales": [error()]})
    pauses: list[float] = []
    result = run(SOURCE, {"exports": [ITEM]}, api, pauses)
    assert result == {"published": [f"{EXECUTION}-0"]}
    assert [variables(body)["BQDUMP_RUN_ID"] for body in api.bodies] == [f"{EXECUTION}-0"] * 2
    assert len(pauses) == 1


@pytest.mark.parametrize("code", [400, 403, 404])
def test_permanent_errors_are_not_retried(code: int) -> None:
    api = Api({"sales": [refusal(code, "no")]})
    with pytest.raises(FailedError, match=r"1 of 1 items failed; p\.sales"):
        run(SOURCE, {"exports": [ITEM]}, api)
    assert len(api.bodies) == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({}, "The input has no exports"),
        ({"exports": []}, "The input has no exports"),
        ({"exports": [ITEM, {"project": "p", "dataset": "d"}]}, "-1 has no bucket"),
        ({"exports": [ITEM, ITEM | {"datset": "d"}]}, "-1 has the unknown key datset"),
        ({"exports": [ITEM | {"run_id": "x"}]}, "-0 has the unknown key run_id"),
    ],
)
def test_an_invalid_input_is_refused_before_anything_runs(argument: Any, message: str) -> None:
    api = Api()
    with pytest.raises(FailedError) as caught:
        run(SOURCE, argument, api)
    assert message in caught.value.payload["message"]
    assert api.bodies == []


def test_at_most_five_items_run_at_once() -> None:
    api = Api()
    result = run(SOURCE, {"exports": [ITEM | {"dataset": f"d{number}"} for number in range(7)]}, api)
    assert 1 < api.most_at_once <= 5
    assert Counter(result["published"]) == Counter(f"{EXECUTION}-{number}" for number in range(7))


def test_an_earlier_execution_can_be_resumed() -> None:
    api = Api()
    run(SOURCE, {"exports": [ITEM], "resume": "earlier"}, api)
    assert variables(api.bodies[0])["BQDUMP_RUN_ID"] == "earlier-0"


def test_an_item_without_tasks_gets_the_number_that_a_plan_recommends() -> None:
    counts = (0, 1, 499, 500, 501, 1000, 1001, 9_500, 9_501, 50_000)
    api = Api(tables={f"d{count}": count for count in counts})
    run(SOURCE, {"exports": [ITEM | {"dataset": f"d{count}"} for count in counts]}, api)
    given = {variables(body)["SOURCE_DATASET"]: body["overrides"]["taskCount"] for body in api.bodies}
    assert given == {f"d{count}": recommended_tasks(count) for count in counts}


def test_the_tables_of_an_item_with_tasks_are_not_counted() -> None:
    api = Api(tables={"sales": 5_000})
    run(SOURCE, {"exports": [ITEM | {"tasks": 3}]}, api)
    assert api.bodies[0]["overrides"]["taskCount"] == 3
    assert api.counted == []


def test_the_job_keeps_its_number_of_tasks_if_the_tables_cannot_be_counted() -> None:
    api = Api(tables={"sales": refusal(403, "Access Denied")})
    assert run(SOURCE, {"exports": [ITEM]}, api) == {"published": [f"{EXECUTION}-0"]}
    assert "taskCount" not in api.bodies[0]["overrides"]
    assert api.counted == ["sales"]


COPY = "s3://second/sales"


def test_an_item_is_copied_once_it_is_published_by_the_same_job_with_the_same_variables() -> None:
    api = Api()
    result = run(SOURCE, {"exports": [ITEM | {"tasks": 2, "copy_to": COPY}, ITEM | {"dataset": "hr"}]}, api)
    [exported, copied] = [body for body in api.bodies if variables(body)["SOURCE_DATASET"] == "sales"]
    [container] = copied["overrides"]["containerOverrides"]
    assert container["args"] == ["copy", COPY]
    assert variables(copied) == variables(exported)
    assert copied["overrides"]["taskCount"] == exported["overrides"]["taskCount"] == 2
    assert "args" not in exported["overrides"]["containerOverrides"][0]
    assert len(api.bodies) == 3
    assert len(api.urls) == 1
    assert sorted(result["published"]) == [f"{EXECUTION}-0", f"{EXECUTION}-1"]


def test_an_item_that_is_not_published_is_not_copied() -> None:
    api = Api({"sales": [refusal(403, "no")]})
    with pytest.raises(FailedError, match=r"1 of 1 items failed; p\.sales"):
        run(SOURCE, {"exports": [ITEM | {"copy_to": COPY}]}, api)
    assert len(api.bodies) == 1


def test_a_failed_copy_is_named_and_its_export_counts_as_published() -> None:
    api = Api({"sales": [{"succeededCount": 1}, *(broken() for _ in range(3))]})
    with pytest.raises(FailedError) as caught:
        run(SOURCE, {"exports": [ITEM | {"copy_to": COPY}]}, api)
    error = caught.value.payload
    assert error["message"] == (
        f"1 of 1 items failed; p.sales to gs://b/ (run {EXECUTION}-0) is published, but not copied to {COPY}. "
        "Task 3 failed."
    )
    assert error["published"] == [f"{EXECUTION}-0"]
