"""Which task of how many this process is, under every engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.errors import UsageError
from bqdump.core.settings.task_identity import ENGINES, Engine, Identity, identify

KNOWN: list[tuple[dict[str, str], Identity]] = [
    ({}, Identity("", 0, 1, 0, "")),
    (
        {"CLOUD_RUN_TASK_INDEX": "3", "CLOUD_RUN_TASK_COUNT": "10", "CLOUD_RUN_TASK_ATTEMPT": "2",
         "CLOUD_RUN_EXECUTION": "job-x7"},
        Identity("Cloud Run", 3, 10, 2, "job-x7"),
    ),
    (
        {"BATCH_TASK_INDEX": "0", "BATCH_TASK_COUNT": "4", "BATCH_TASK_RETRY_ATTEMPT": "1", "BATCH_JOB_UID": "j-1"},
        Identity("Google Batch", 0, 4, 1, "j-1"),
    ),
    (
        {"AWS_BATCH_JOB_ARRAY_INDEX": "7", "AWS_BATCH_JOB_ARRAY_SIZE": "8", "AWS_BATCH_JOB_ATTEMPT": "1",
         "AWS_BATCH_JOB_ID": "abc-def:7"},
        Identity("AWS Batch", 7, 8, 0, "abc-def"),
    ),
    ({"JOB_COMPLETION_INDEX": "2", "JOB_COMPLETIONS": "3"}, Identity("Kubernetes", 2, 3, 0, "")),
    ({"JOB_COMPLETION_INDEX": "2", "BQDUMP_TASK_COUNT": "5"}, Identity("Kubernetes", 2, 5, 0, "")),
]  # fmt: skip


@pytest.mark.parametrize(("environ", "required"), KNOWN, ids=lambda value: getattr(value, "engine", None) or "")
def test_reads_the_variables_of_every_engine(environ: dict[str, str], required: Identity) -> None:
    assert identify(environ | {"PATH": "/bin", "BATCH_OTHER": "x"}) == required


def test_every_engine_is_tried_here() -> None:
    assert {required.engine for _, required in KNOWN} == {"", *(engine.name for engine in ENGINES)}


BY_ENGINE = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)


@BY_ENGINE
@pytest.mark.parametrize("bad", ["-1", "x", "1.5", " 1", "1e3", "9" * 5000])
def test_an_index_that_is_no_number_names_its_variable(engine: Engine, bad: str) -> None:
    with pytest.raises(UsageError, match=rf"^{engine.task}: .*expected an integer from 0"):
        identify({engine.task: bad, engine.tasks[0]: "5"})


@BY_ENGINE
@pytest.mark.parametrize("bad", ["0", "-3", "x"])
def test_a_number_of_tasks_that_cannot_be_names_its_variable(engine: Engine, bad: str) -> None:
    with pytest.raises(UsageError, match=rf"^{engine.tasks[0]}: .*expected an integer from 1"):
        identify({engine.task: "0", engine.tasks[0]: bad})


@BY_ENGINE
def test_an_index_beyond_the_number_of_tasks_is_refused(engine: Engine) -> None:
    with pytest.raises(UsageError, match=f"^{engine.task}: 5 is not less than {engine.tasks[0]}=5"):
        identify({engine.task: "5", engine.tasks[0]: "5"})


@BY_ENGINE
def test_an_index_without_the_number_of_tasks_names_what_to_set(engine: Engine) -> None:
    with pytest.raises(UsageError, match=f"Set {' or '.join(engine.tasks)}"):
        identify({engine.task: "0"})


def test_an_attempt_that_is_no_number_names_its_variable() -> None:
    with pytest.raises(UsageError, match=r"^CLOUD_RUN_TASK_ATTEMPT: "):
        identify({"CLOUD_RUN_TASK_INDEX": "0", "CLOUD_RUN_TASK_COUNT": "1", "CLOUD_RUN_TASK_ATTEMPT": "x"})


def test_a_number_of_tasks_without_an_index_is_one_task_alone() -> None:
    assert identify({"BQDUMP_TASK_COUNT": "9", "CLOUD_RUN_EXECUTION": "x"}) == Identity("", 0, 1, 0, "")


@given(st.sampled_from(ENGINES), st.text(max_size=6), st.text(max_size=6))
def test_any_text_is_an_identity_or_a_usage_error(engine: Engine, index: str, count: str) -> None:
    found, problem = None, ""
    try:
        found = identify({engine.task: index, engine.tasks[0]: count})
    except UsageError as error:
        problem = str(error)
    named = engine.task in problem or engine.tasks[0] in problem
    assert named or (found and 0 <= found.task < found.tasks)


NAMED = [engine for engine in ENGINES if engine.executions]


@pytest.mark.parametrize("engine", NAMED, ids=lambda engine: engine.name)
@pytest.mark.parametrize("bad", ["a/b", "../x", "-a", "a b", "a\n", "é", "x" * 101, "/"])
def test_an_execution_that_cannot_name_a_run_names_its_variable(engine: Engine, bad: str) -> None:
    environ = {engine.task: "0", engine.tasks[0]: "1", engine.executions[0]: bad}
    with pytest.raises(UsageError, match=rf"^{engine.executions[0]}: .*cannot be a run id.*{engine.name}") as caught:
        identify(environ)
    assert len(str(caught.value)) < 300
