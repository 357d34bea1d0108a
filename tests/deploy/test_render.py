"""`bqdump render`: every document fits what Google's API takes, and says what the settings say."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from bqdump.cli.render import render
from bqdump.core.errors import UsageError
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import SETTINGS, Settings, resolve
from bqdump.core.settings.table_settings import TableSettings
from bqdump.render.deployment import Deployment, check, environment
from bqdump.render.iam import accounts
from bqdump.render.terraform import module_call
from bqdump.render.workflow import workflow_input
from bqdump.render.yaml import to_yaml
from deploy import discovery
from deploy.terraform import check_call, load, load_module, named

ROOT = Path(__file__).parents[2]
SETTINGS_FLAGS = ["--project", "my-data", "--dataset", "sales", "--bucket", "my-exports"]
FLAGS = [*SETTINGS_FLAGS, "--region", "europe-west1"]
EVERYTHING = Settings(
    project="my-data", dataset="sales", bucket="my-exports", prefix="a/b/", include=("x*", "y"), exclude=("z",),
    keep_others=True,
    format="json", compression="gzip", header=False, delimiter="\t", path="{run}/{table}_*.{ext}",
    job_project="my-jobs", location="EU", concurrency=50, labels={"team": "data", "cost": "1"}, allow_partial=True,
    route=("*=query", "a=extract"), max_bytes_billed=5, on_unsupported="skip",
    allow=(Risk.ROW_POLICIES, Risk.SKIPPED), null_marker="-", file_size=256_000_000, row_group_rows=1000,
    read_memory=64_000_000, read_split=5_000_000, kms_key="projects/p/locations/eu/keyRings/r/cryptoKeys/k",
    tables=(TableSettings("a*", where="x > 1", format="csv"), TableSettings("b*", format="parquet")),
)  # fmt: skip


def invoke(*words: str) -> Result:
    return CliRunner().invoke(render, list(words), catch_exceptions=False)


def printed(*words: str) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.output


def deployment(**values: Any) -> Deployment:
    return check(Deployment(settings=values.pop("settings", EVERYTHING), region="europe-west1", **values))


@pytest.mark.parametrize("extra", [[], ["--job-kms-key", "projects/p/locations/l/keyRings/r/cryptoKeys/k"]])
def test_the_job_fits_cloud_run(extra: list[str]) -> None:
    document = yaml.safe_load(printed("job", *FLAGS, "--tasks", "30", "--labels", "team=data", *extra))
    assert discovery.check("run.v1", "Job", document) == []
    execution = document["spec"]["template"]["spec"]
    assert execution["taskCount"] == 30
    assert "parallelism" not in execution
    [container] = execution["template"]["spec"]["containers"]
    assert container["args"] == ["run"]
    assert {variable["name"]: variable["value"] for variable in container["env"]} == {
        "PROJECT_ID": "my-data", "SOURCE_DATASET": "sales", "DESTINATION_BUCKET": "my-exports",
        "BQDUMP_LABELS": "team=data",
    }  # fmt: skip


@pytest.mark.parametrize("target", ["job", "workflow"])
def test_the_schedule_fits_cloud_scheduler(target: str) -> None:
    document = json.loads(printed("scheduler", "--target", target, *FLAGS, "--time-zone", "Europe/Berlin"))
    assert discovery.check("cloudscheduler.v1", "Job", document) == []
    assert document["timeZone"] == "Europe/Berlin"
    assert "oauthToken" in document["httpTarget"]
    body = json.loads(base64.b64decode(document["httpTarget"]["body"]))
    if target == "job":
        assert discovery.check("run.v2", "GoogleCloudRunV2RunJobRequest", body) == []
    else:
        assert discovery.check("workflowexecutions.v1", "Execution", body) == []
        assert json.loads(body["argument"])["exports"][0]["dataset"] == "sales"


@pytest.mark.parametrize(("target", "api"), [("job", "run.v2"), ("workflow", "workflowexecutions.v1")])
def test_the_schedule_calls_a_method_that_exists(target: str, api: str) -> None:
    uri = json.loads(printed("scheduler", "--target", target, *FLAGS))["httpTarget"]["uri"]
    wanted = {"job": "projects.locations.jobs.run", "workflow": "projects.locations.workflows.executions.create"}
    found = discovery.document(api)
    method: dict[str, Any] = found
    *path, name = wanted[target].split(".")
    for part in path:
        method = method["resources"][part]
    method = method["methods"][name]
    assert method["httpMethod"] == "POST"
    pattern = found["rootUrl"] + method["flatPath"]
    assert re.fullmatch(re.sub(r"\{\w+}", "[^/:]+", pattern), uri)


def test_the_workflow_fits_workflows() -> None:
    document = json.loads(printed("workflow", "--part", "body", *FLAGS))
    assert discovery.check("workflows.v1", "Workflow", document) == []
    assert document["sourceContents"] == printed("workflow", *FLAGS)


def test_the_input_of_the_workflow_says_what_the_settings_say() -> None:
    [item] = workflow_input(deployment(tasks=7))["exports"]
    assert item.pop("tasks") == 7
    assert resolve(item, {}, {}, "") == EVERYTHING


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({"spec": {"templat": {}}}, "Job.spec: there is no field 'templat'"),
        ({"spec": {"template": {"spec": {"taskCount": "3"}}}}, "integer is wanted, not '3'"),
        ({"spec": {"template": {"spec": {"taskCount": True}}}}, "integer is wanted, not True"),
        ({"spec": {"template": {"spec": {"template": {"spec": {"timeoutSeconds": "1h"}}}}}}, "int64 is wanted"),
        ({"metadata": {"labels": {"a": 1}}}, "Job.metadata.labels.a: string is wanted"),
        ({"spec": {"template": {"spec": {"template": {"spec": {"containers": [{"imag": ""}]}}}}}}, "containers[0]"),
    ],
)
def test_the_check_of_bodies_finds_what_the_api_would_refuse(value: Any, error: str) -> None:
    [found] = discovery.check("run.v1", "Job", value)
    assert error in found


def test_the_check_of_bodies_knows_words_and_durations() -> None:
    assert discovery.check("workflows.v1", "Workflow", {"callLogLevel": "LOUD"})
    assert discovery.check("cloudscheduler.v1", "Job", {"attemptDeadline": "180"})


def test_variables_give_a_task_the_very_settings() -> None:
    assert resolve({}, environment(EVERYTHING), {}, "") == EVERYTHING


@pytest.mark.parametrize(("name", "value"), [("delimiter", "/"), ("null_marker", "N/"), ("null_marker", "\x0b")])
def test_variables_keep_texts_to_the_last_character(name: str, value: str) -> None:
    settings = msgspec.structs.replace(EVERYTHING, format="csv", **{name: value})
    assert resolve({}, environment(settings), {}, "") == settings


def test_what_belongs_to_one_run_is_not_deployed() -> None:
    settings = Settings(project="p1", dataset="d", bucket="bbb", run_id="r", snapshot_time="2026-01-01T00:00:00Z")
    assert set(environment(settings)) == {"PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET"}


def test_settings_come_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(EVERYTHING).items():
        monkeypatch.setenv(name, value)
    document = yaml.safe_load(printed("job", "--region", "us-central1"))
    [container] = document["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    assert {variable["name"]: variable["value"] for variable in container["env"]} == environment(EVERYTHING)
    assert container["image"] == "us-central1-docker.pkg.dev/my-jobs/bqdump/bqdump:latest"


def test_the_call_of_the_terraform_module_fits_the_module() -> None:
    module = load_module(ROOT / "deploy/terraform")
    call = named(load(module_call(deployment(read_route=True, job_kms_key="k"), "./m")), "module")["bqdump"]
    assert check_call(call, module) == []
    assert call["project"] == '"my-jobs"'
    assert call["bucket_location"] == '"EU"'
    assert call["source_project"] == '"my-data"'
    assert call["kms_key"] == f'"{EVERYTHING.kms_key}"'
    own = {"PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET", "BQDUMP_JOB_PROJECT", "BQDUMP_KMS_KEY"}
    given = {name: json.loads(value) for name, value in call["settings"].items() if not name.startswith("__")}
    assert given == {name: value for name, value in environment(EVERYTHING).items() if name not in own}


def test_terraform_makes_the_account_itself() -> None:
    with pytest.raises(UsageError, match="--service-account"):
        module_call(deployment(service_account="a@b.iam.gserviceaccount.com"), "./m")


def test_a_job_exports_to_no_folder() -> None:
    with pytest.raises(UsageError, match="Name a bucket"):
        deployment(settings=Settings(project="p1", dataset="d", bucket="", to="./here"))


def test_terraform_reads_templates_in_values_as_text() -> None:
    settings = Settings(project="p1", dataset="d", bucket="bbb", path="${run}/%{table}_*.{ext}")
    assert '"$${run}/%%{table}_*.{ext}"' in module_call(deployment(settings=settings), "./m")


def test_terraform_gets_no_escape_that_its_language_does_not_have() -> None:
    settings = Settings(project="p1", dataset="d", bucket="bbb", include=("a\b\f\\b\\\f\t\x00",))
    assert r'"a\u0008\u000c\\b\\\u000c\t\u0000"' in module_call(deployment(settings=settings), "./m")


def _words(script: str) -> list[list[str]]:
    return [shlex.split(line) for line in script.splitlines() if re.match(r"(gcloud|bq) ", line.strip())]


@pytest.mark.parametrize("extra", [[], ["--workflow"], ["--no-schedule-account"], ["--read-route"]])
def test_grants_are_commands_with_a_reason_each(extra: list[str]) -> None:
    script = printed("iam", *FLAGS, *extra)
    lines = script.splitlines()
    grants = [number for number, line in enumerate(lines) if "add-iam-policy-binding" in line or "GRANT" in line]
    assert len(grants) >= 4
    for number in grants:
        assert lines[number - 1].startswith("# ")
        assert re.match(r"# (roles|projects/my-data/roles)/\S+ on (dataset|project|bucket|job) ", lines[number - 2])
    assert subprocess.run(["sh", "-n"], input=script, text=True).returncode == 0
    assert "bigquery.admin" not in script
    assert "storage.admin" not in script


def test_grants_can_be_made_again_and_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for tool in ("gcloud", "bq"):
        # What is not deleted cannot be brought back.
        (tmp_path / tool).write_text(f'#!/bin/sh\necho "$0 $*" >> {log}\ncase "$*" in *undelete*) exit 1 ;; esac\n')
        (tmp_path / tool).chmod(0o755)
    script = printed("iam", *FLAGS, "--workflow")
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh"], input=script, text=True, check=True, env={"PATH": path})
    # An account that exists is not created again.
    assert "service-accounts create" not in log.read_text()
    assert log.read_text().count("service-accounts describe") == 3
    assert "roles create" not in log.read_text()
    assert log.read_text().count("roles describe bqdump_row_policies") == 1


def test_a_role_that_was_deleted_is_brought_back(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for tool in ("gcloud", "bq"):
        (tmp_path / tool).write_text(f'#!/bin/sh\necho "$*" >> {log}\n')
        (tmp_path / tool).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh"], input=printed("iam", *FLAGS), text=True, check=True, env={"PATH": path})
    assert "iam roles undelete bqdump_row_policies --project=my-data\n" in log.read_text()
    assert "roles create" not in log.read_text()


def test_terraform_and_commands_grant_the_same() -> None:
    text = (ROOT / "deploy/terraform/identity.tf").read_text()
    module = set(re.findall(r'role\s*= "(roles/[\w.]+)"', text))
    made = [
        account
        for workflow in (False, True)
        for account in accounts(deployment(read_route=True), workflow=workflow)
    ]  # fmt: skip
    granted = {grant.role for account in made for grant in account.grants}
    (own,) = (role for role in granted if role.startswith("projects/"))
    assert granted - {own} == module
    assert own.endswith("/bqdump_row_policies")
    assert '${replace(var.name, "-", "_")}_row_policies' in text


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        ([], False), (["--read-route"], True), (["--route", "a=query,b=read"], True), (["--route", "a=query"], False),
        (["--file-size", "256MB"], True), (["--null-marker", "-"], True), (["--format", "json"], False),
        (["--format", "json", "--null-marker", "-", "--tables", '{"a": {"format": "csv"}}'], True),
        (["--tables", '{"a": {"route": "read"}}'], True),
        (["--row-group-rows", "9", "--tables", '{"a": {"format": "parquet"}}'], True),
    ],
)  # fmt: skip
def test_read_sessions_are_granted_where_the_settings_ask_for_the_read_route(words: list[str], reads: bool) -> None:
    assert ("roles/bigquery.readSessionUser" in printed("iam", *FLAGS, *words)) is reads
    assert re.search(rf"read_route\s*= {str(reads).lower()}\n", printed("terraform", *FLAGS, *words))


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"region": "EU"}, "--region"), ({"name": "x"}, "--name"), ({"name": "Upper-case"}, "--name"),
        ({"memory": "512"}, "--memory"), ({"cpu": "one"}, "--cpu"), ({"schedule": "daily"}, "--schedule"),
        ({"service_account": "bqdump"}, "--service-account"),
    ],
)  # fmt: skip
def test_what_google_would_refuse_later_is_refused_at_once(values: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError, match=flag):
        check(msgspec.structs.replace(deployment(), **values))


def test_accounts_and_images_of_a_project_with_a_domain_have_their_address() -> None:
    made = deployment(settings=Settings(project="example.com:data", dataset="d", bucket="bbb"))
    email = "data.example.com.iam.gserviceaccount.com"
    assert [account.email for account in accounts(made, workflow=True)] == [
        f"bqdump@{email}", f"bqdump-scheduler@{email}", f"bqdump-workflow@{email}"
    ]  # fmt: skip
    assert made.job_image == "europe-west1-docker.pkg.dev/example.com/data/bqdump/bqdump:latest"
    jobs_in = deployment(settings=Settings(project="p", job_project="example.com:jobs", dataset="d", bucket="bbb"))
    assert jobs_in.job_image == "europe-west1-docker.pkg.dev/example.com/jobs/bqdump/bqdump:latest"


def test_the_region_is_asked_for() -> None:
    result = invoke("job", *SETTINGS_FLAGS)
    assert result.exit_code == 2
    assert "--region" in result.output


TEXTS = st.text(st.characters(codec="utf-8"))
# YAML takes keys of 1,024 characters at most, and one of these may be written as ten.
KEYS = st.text(st.characters(codec="utf-8"), max_size=64)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(VALUES)
def test_any_document_is_read_back_as_it_was_written(value: Any) -> None:
    assert yaml.safe_load(to_yaml(value)) == value


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "null", "true", "1", "1.5", "", "~", "a: b", "- a", "0x1f"])
def test_texts_that_look_like_something_else_stay_texts(word: str) -> None:
    assert yaml.safe_load(to_yaml([word, {word: word}])) == [word, {word: word}]


def test_every_setting_has_a_place_in_the_deployment() -> None:
    names = {setting.env for setting in SETTINGS if setting.name not in ("run_id", "snapshot_time", "to")}
    assert set(environment(EVERYTHING)) == names
