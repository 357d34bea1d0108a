"""`bqdump render`: every document is valid for Google's API and contains the settings."""

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

from bqdump.cli.setup.render import render
from bqdump.core.errors import UsageError
from bqdump.core.settings.resolve import environment as given_environment
from bqdump.core.settings.resolve import flags, resolve
from bqdump.core.settings.settings import SETTINGS, Settings
from bqdump.core.settings.target import Target
from bqdump.render.append_only import TITLE, expression
from bqdump.render.commands import COMMANDS
from bqdump.render.deployment import NOT_DEPLOYED, Deployment, Secret, check, environment
from bqdump.render.iam import SEE_ROW_POLICIES, accounts, acting_as, build_account
from bqdump.render.job import NOTHING_ASKED, container_of, to_yaml, workflow_input
from bqdump.render.scripts import grants_script
from bqdump.render.terraform import module_call
from core.test_settings import VALUES
from deploy import discovery
from deploy.terraform import check_call, check_references, load, load_module, named
from programs import python_program

ROOT = Path(__file__).parents[2]
SETTINGS_FLAGS = ["--project", "my-data", "--dataset", "sales", "--bucket", "my-exports"]
IMAGE = "registry/bqdump@sha256:1"
FLAGS = [*SETTINGS_FLAGS, "--region", "europe-west1", "--image", IMAGE]
# A value of every setting, where formats do not exclude each other.
VALUES_OF_ALL = {name: good for name, (good, _, _) in VALUES.items() if name not in (*NOT_DEPLOYED, "to", "iceberg")}
SECTIONS = {"a*": {"where": "x > 1", "format": "csv"}, "b*": {"format": "parquet"}}
EVERYTHING = resolve(
    flags(
        {
            **VALUES_OF_ALL,
            "project": "my-data",
            "job_project": "my-jobs",
            "location": "EU",
            "bucket": "my-exports",
            "tables": SECTIONS,
            "keep_yearly": "3",
            # A container has no file of a key.
            "sign": "env:SIGNING_KEY",
            "trust": ("env:TRUSTED_KEY",),
        }
    )
)


def invoke(*words: str) -> Result:
    # As below `bqdump`: a command keeps the names of its option for help.
    return CliRunner().invoke(render, list(words), catch_exceptions=False, help_option_names=["-h", "--help"])


def printed(*words: str) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.output


def deployment(**values: Any) -> Deployment:
    return check(Deployment(settings=values.pop("settings", EVERYTHING), region="europe-west1", **values))


@pytest.mark.parametrize("extra", [[], ["--job-kms-key", "projects/p/locations/l/keyRings/r/cryptoKeys/k"]])
def test_the_job_is_valid_for_cloud_run(extra: list[str]) -> None:
    document = yaml.safe_load(printed("job", *FLAGS, "--tasks", "30", "--labels", "team=data", *extra))
    assert discovery.check("run.v1", "Job", document) == []
    execution = document["spec"]["template"]["spec"]
    assert execution["taskCount"] == 30
    assert "parallelism" not in execution
    [container] = execution["template"]["spec"]["containers"]
    assert container["args"] == ["run"]
    assert {variable["name"]: variable["value"] for variable in container["env"]} == {
        "PROJECT_ID": "my-data",
        "SOURCE_DATASET": "sales",
        "DESTINATION_BUCKET": "my-exports",
        "BQDUMP_LABELS": "team=data",
    }


def test_the_job_of_a_restore_is_valid_and_names_its_dataset() -> None:
    document = yaml.safe_load(printed("job", *FLAGS, "--command", "restore", "--into", "restored"))
    assert discovery.check("run.v1", "Job", document) == []
    [container] = document["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["restore", "--into=my-data.restored"]


def test_the_job_of_a_drill_is_one_task_that_is_not_retried() -> None:
    document = yaml.safe_load(printed("job", *FLAGS, "--command", "drill", "--sample", "10%", "--tasks", "30"))
    assert discovery.check("run.v1", "Job", document) == []
    execution = document["spec"]["template"]["spec"]
    task = execution["template"]["spec"]
    args = ["drill", "--sample=10%"]
    assert (execution["taskCount"], task["maxRetries"], task["containers"][0]["args"]) == (1, 0, args)
    environ = {one["name"]: one["value"] for one in task["containers"][0]["env"]}
    assert environ["BQDUMP_DRILL_PROJECT"] == "my-data"


@pytest.mark.parametrize(("words", "share"), [([], "10%"), (["--sample", "25%"], "25%")])
def test_the_job_of_a_check_is_one_task_that_reads_a_share(words: list[str], share: str) -> None:
    document = yaml.safe_load(printed("job", *FLAGS, "--command", "verify", *words))
    execution = document["spec"]["template"]["spec"]
    task = execution["template"]["spec"]
    assert discovery.check("run.v1", "Job", document) == []
    args = ["verify", f"--read={share}"]
    assert (execution["taskCount"], task["maxRetries"], task["containers"][0]["args"]) == (1, 0, args)


def test_the_job_of_a_prune_has_the_rules_and_an_account_of_its_own() -> None:
    words = ["--command", "prune", "--keep-daily", "7", "--prune"]
    document = yaml.safe_load(printed("job", *FLAGS, *words))
    assert discovery.check("run.v1", "Job", document) == []
    execution = document["spec"]["template"]["spec"]
    task = execution["template"]["spec"]
    assert (execution["taskCount"], task["maxRetries"]) == (1, 0)
    assert task["containers"][0]["args"] == ["prune", "--yes"]
    variables = {one["name"]: one["value"] for one in task["containers"][0]["env"]}
    assert variables["BQDUMP_KEEP_DAILY"] == "7"
    assert "BQDUMP_PRUNE" not in variables
    assert task["serviceAccountName"] == "bqdump-pruner@my-data.iam.gserviceaccount.com"
    with pytest.raises(UsageError, match="keep"):
        invoke("job", *FLAGS, "--command", "prune")


@pytest.mark.parametrize("command", COMMANDS)
def test_job_schedule_and_grants_of_a_command_have_the_same_names(command: str) -> None:
    more = {"copy": ["--dest", "gs://my-copies/x"], "prune": ["--keep-last", "3"], "restore": ["--into", "x"]}
    words = [*FLAGS, "--command", command, *more.get(command, [])]
    job = yaml.safe_load(printed("job", *words))
    name = job["metadata"]["name"]
    assert name == ("bqdump" if command == "run" else f"bqdump-{command}")
    assert json.loads(printed("scheduler", *FLAGS, "--command", command))["httpTarget"]["uri"].endswith(
        f"/jobs/{name}:run"
    )
    account = job["spec"]["template"]["spec"]["template"]["spec"]["serviceAccountName"]
    grants = printed("iam", *words)
    assert f"service-accounts create {account.partition('@')[0]} " in grants
    assert f"jobs add-iam-policy-binding {name} " in grants
    assert "buckets add-iam-policy-binding gs://my-exports " in grants
    alerts = printed("alerts", *words, "--notification-channel", "projects/p/notificationChannels/1")
    assert f'resource.labels.job_name = \\"{name}\\"' in alerts
    pods = yaml.safe_load(printed("kubernetes", *words))["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = job["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    assert pods["containers"][0]["args"] == container["args"]
    account = yaml.safe_load(printed("kubernetes", *words, "--part", "account"))
    assert pods["serviceAccountName"] == account["metadata"]["name"]


@pytest.mark.parametrize("image", ["", "registry/bqdump", "registry/bqdump:latest", "localhost:5000/bqdump"])
def test_an_image_that_may_change_between_two_tasks_is_refused(image: str) -> None:
    words = [*SETTINGS_FLAGS, "--region", "europe-west1", *(["--image", image] if image else [])]
    for part in ("job", "kubernetes"):
        with pytest.raises(UsageError, match=r"^--image: .*Name one by its digest"):
            invoke(part, *words)
    assert "0.1.0" in printed("job", *words, "--image", "localhost:5000/bqdump:0.1.0")


@pytest.mark.parametrize(("env", "words"), [("PROJECT_ID", []), ("BQDUMP_FORMAT", ["--format", "json"])])
def test_a_secret_that_is_a_setting_as_well_is_refused(env: str, words: list[str]) -> None:
    with pytest.raises(UsageError, match=f"{env} is a setting as well"):
        invoke("job", *FLAGS, *words, "--secret", f"{env}=my-secret:1")
    with pytest.raises(UsageError, match="it is given twice"):
        invoke("job", *FLAGS, "--secret", "SALT=a:1", "--secret", "SALT=b:1")


def test_the_copier_reads_the_exports_and_writes_the_copies_only() -> None:
    words = [*FLAGS, "--command", "copy", "--dest", "gs://my-copies/x"]
    for locked, roles in (([], ["objectUser"]), (["--lock", "35d"], ["bqdump_copier"])):
        script = printed("iam", *words, *locked)
        granted = re.findall(r"add-iam-policy-binding gs://([\w-]+) .*--role=\S*?[./](\w+) ", script)
        exports = [("my-exports", "objectViewer"), ("my-exports", "legacyBucketReader")]
        copies = [("my-copies", role) for role in roles]
        assert [one for one in granted if one != ("my-copies", "legacyBucketReader")] == [*exports, *copies]
    assert "my-copies" not in printed("iam", *FLAGS, "--command", "copy", "--dest", "s3://my-copies/x")


def test_the_job_of_a_copy_has_tasks_that_share_the_files_and_are_retried() -> None:
    dest = "s3://my-copies/sales"
    document = yaml.safe_load(printed("job", *FLAGS, "--command", "copy", "--dest", dest, "--tasks", "4"))
    assert discovery.check("run.v1", "Job", document) == []
    execution = document["spec"]["template"]["spec"]
    task = execution["template"]["spec"]
    assert (execution["taskCount"], task["maxRetries"]) == (4, 3)
    assert task["containers"][0]["args"] == ["copy", "s3://my-copies/sales/"]


def test_the_job_of_a_copy_locks_signs_and_chooses_as_it_is_told() -> None:
    dest = ["--command", "copy", "--dest", "gs://vault/sales"]
    sign = ["--sign", "env:KEY", "--secret", "KEY=copier:1", "--trust", "env:EXPORTER"]
    lock = ["--lock", "35d", "--lock-mode", "compliance"]
    given = {
        "BQDUMP_KEEP_WEEKLY": "5",
        "BQDUMP_KEEP_TAG": "audit",
        "BQDUMP_PRUNE": "true",
        "BQDUMP_ABANDONED_AFTER": "3d",
    }
    for words, args in (
        ((), []),
        (("--all", *lock), ["--all", "--lock=35d", "--lock-mode=compliance"]),
        (("--keep-daily", "7", "--keep-within", "30d", "--lock", "35d"), [
            "--keep-daily=7", "--keep-within=30d", "--lock=35d",
        ]),
        (("--dest", "s3://vault/sales", "--limit", "50MB"), ["--limit=50MB"]),
    ):  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            # Rules of the source's own prune, which a copy does not take for its own.
            for name, value in given.items():
                patch.setenv(name, value)
            document = yaml.safe_load(printed("job", *FLAGS, *dest, *sign, *words))
        assert discovery.check("run.v1", "Job", document) == []
        execution = document["spec"]["template"]["spec"]
        (container,) = execution["template"]["spec"]["containers"]
        assert container["args"] == ["copy", f"{'s3' if '--limit' in words else 'gs'}://vault/sales/", *args]
        # Its tasks would have to share by what they may not replace.
        assert execution["taskCount"] == (1 if "--lock" in words else 10)
        variables = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert (variables["BQDUMP_SIGN"], variables["BQDUMP_TRUST"]) == ("env:KEY", "env:EXPORTER")
        assert variables["KEY"] is None
        assert [
            name for name in variables if name.startswith(("BQDUMP_KEEP", "BQDUMP_PRUNE", "BQDUMP_ABANDONED"))
        ] == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--lock", "35d"], "only valid with --command copy"),
        (["--all"], "only valid with --command copy"),
        (["--limit", "50MB"], "only valid with --command copy"),
        (["--command", "copy", "--dest", "gs://vault/c", "--limit", "50MB"], "the service moves the bytes"),
        (["--command", "copy", "--dest", "s3://vault/c", "--limit", "fast"], "expected bytes per second"),
        (["--command", "copy", "--dest", "gs://vault/c", "--lock", "1h"], "within a day"),
        (["--command", "copy", "--dest", "gs://vault/c", "--lock", "35d", "--tasks", "8"], "has one task"),
        (["--command", "copy", "--dest", "gs://vault/c", "--sign", "/home/x/key.pem"], "no file /home/x/key.pem"),
        (["--command", "copy", "--dest", "gs://vault/c", "--trust", "env:A,signing.pub"], "no file signing.pub"),
        (["--command", "copy", "--dest", "gs://vault/c", "--lock-mode", "compliance"], "for how long"),
        (["--command", "copy", "--dest", "gs://vault/c", "--all", "--keep-daily", "7"], "Use one of them"),
        (["--dest", "gs://bucket/c"], "only valid with --command copy"),
        (["--command", "copy"], "--command copy needs it"),
        (["--command", "copy", "--dest", "./copies"], "the tasks of a job share no folder"),
        (["--command", "copy", "--dest", "ftp://b"], "ftp"),
    ],
)
def test_a_job_whose_copy_has_no_place_is_refused(words: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        invoke("job", *FLAGS, *words)


@pytest.mark.parametrize(
    "words",
    [["job"], ["workflow", "--part", "input"], ["kubernetes"], ["terraform"], ["scheduler", "--target", "workflow"]],
)
def test_a_key_in_a_file_of_this_machine_is_refused_with_the_way_that_a_container_has(words: list[str]) -> None:
    for flag, setting in (("--sign", "sign"), ("--trust", "trust")):
        with pytest.raises(UsageError) as caught:
            invoke(*words, *FLAGS, flag, "signing.pem")
        assert (caught.value.setting, caught.value.cause) == (setting, "the container has no file signing.pem")
        assert "env:VARIABLE" in caught.value.hint
        assert "--secret" in caught.value.hint
        # A manifest of Kubernetes gets its reference to a secret by hand.
        secret = [] if words == ["kubernetes"] else ["--secret", "KEY=signing:1"]
        printed(*words, *FLAGS, flag, "env:KEY", *secret)


def test_a_secret_is_a_version_that_never_changes() -> None:
    document = yaml.safe_load(printed("job", *FLAGS, "--secret", "SALT=my-salt:3"))
    assert discovery.check("run.v1", "Job", document) == []
    variables = document["spec"]["template"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variables[-1] == {"name": "SALT", "valueFrom": {"secretKeyRef": {"name": "my-salt", "key": "3"}}}
    with pytest.raises(UsageError, match="SALT=my-salt:latest"):
        invoke("job", *FLAGS, "--secret", "SALT=my-salt:latest")


def test_a_grant_to_a_new_account_is_repeated_until_it_is_known(tmp_path: Path) -> None:
    stub = python_program("""import pathlib, sys
here = pathlib.Path(__file__).parent
if "describe" in sys.argv:
    sys.exit(1)
with (here / "log").open("a") as log:
    log.write("x")
sys.exit("--role=roles/run.invoker" in sys.argv and len((here / "log").read_text()) < 5)
""")
    for tool, text in (("gcloud", stub), ("bq", stub), ("sleep", "#!/bin/sh\n")):
        (tmp_path / tool).write_text(text)
        (tmp_path / tool).chmod(0o755)
    text = grants_script(accounts(deployment())[1:], "my-data")
    done = subprocess.run(["sh"], input=text, text=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    # The account, then its grant, until the fifth call.
    assert (done.returncode, len((tmp_path / "log").read_text())) == (0, 5)


def test_an_address_of_notices_is_a_secret_of_the_job() -> None:
    with pytest.raises(UsageError, match="--secret BQDUMP_NOTIFY=SECRET:VERSION"):
        invoke("job", *FLAGS, "--notify", "https://hooks.slack.com/services/s3cret")
    assert "BQDUMP_NOTIFY" in printed("job", *FLAGS, "--secret", "BQDUMP_NOTIFY=slack-url:1")


def test_whoever_deploys_may_act_as_every_account() -> None:
    message = printed("iam", *FLAGS, "--workflow", "--deployer", "group:data@example.com")
    emails = re.findall(r"^# (\S+@\S+)$", message, re.MULTILINE)
    granted = re.findall(r"service-accounts add-iam-policy-binding (\S+) .*--member=group:data@example.com", message)
    assert granted == emails
    assert len(emails) == 3
    with pytest.raises(UsageError, match="--deployer: invalid value 'me'"):
        invoke("iam", *FLAGS, "--deployer", "me")


@pytest.mark.parametrize("words", [["--sample", "10%"], ["--command", "drill", "--sample", "ten"]])
def test_a_sample_that_no_drill_can_have_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError, match=r"sample|share"):
        invoke("job", *FLAGS, *words)


def test_only_a_restore_has_a_dataset_to_restore_into() -> None:
    with pytest.raises(UsageError, match="only valid with --command restore"):
        invoke("job", *FLAGS, "--into", "restored")


@pytest.mark.parametrize("target", ["job", "workflow"])
def test_the_schedule_is_valid_for_cloud_scheduler(target: str) -> None:
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
    expected = {"job": "projects.locations.jobs.run", "workflow": "projects.locations.workflows.executions.create"}
    found = discovery.document(api)
    method: dict[str, Any] = found
    *path, name = expected[target].split(".")
    for part in path:
        method = method["resources"][part]
    method = method["methods"][name]
    assert method["httpMethod"] == "POST"
    pattern = found["rootUrl"] + method["flatPath"]
    assert re.fullmatch(re.sub(r"\{\w+}", "[^/:]+", pattern), uri)


def test_the_workflow_is_valid_for_workflows() -> None:
    document = json.loads(printed("workflow", "--part", "body", *FLAGS))
    assert discovery.check("workflows.v1", "Workflow", document) == []
    assert document["sourceContents"] == printed("workflow", *FLAGS)


def test_the_input_of_the_workflow_resolves_to_the_settings() -> None:
    [item] = workflow_input(deployment(tasks=7))["exports"]
    assert item.pop("tasks") == 7
    assert resolve(flags(item)) == EVERYTHING


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
def test_the_check_of_bodies_reports_what_the_api_would_refuse(value: Any, error: str) -> None:
    [found] = discovery.check("run.v1", "Job", value)
    assert error in found


def test_the_check_of_bodies_validates_enums_and_durations() -> None:
    assert discovery.check("workflows.v1", "Workflow", {"callLogLevel": "LOUD"})
    assert discovery.check("cloudscheduler.v1", "Job", {"attemptDeadline": "180"})


def test_the_environment_resolves_to_the_settings() -> None:
    assert resolve(given_environment(environment(EVERYTHING))) == EVERYTHING


@pytest.mark.parametrize(("name", "value"), [("delimiter", "/"), ("null_marker", "N/"), ("null_marker", "\x0b")])
def test_the_environment_keeps_every_character_of_strings(name: str, value: str) -> None:
    settings = msgspec.structs.replace(EVERYTHING, format="csv", **{name: value})
    assert resolve(given_environment(environment(settings))) == settings


def test_settings_of_one_run_are_not_deployed() -> None:
    settings = Settings(
        project="p1", dataset="d", target=Target("gs", "bbb"), run_id="r", snapshot_time="2026-01-01T00:00:00Z"
    )
    assert set(environment(settings)) == {"PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET"}


def test_settings_are_also_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(EVERYTHING).items():
        monkeypatch.setenv(name, value)
    document = yaml.safe_load(printed("job", "--region", "us-central1", "--image", IMAGE))
    [container] = document["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    assert {variable["name"]: variable["value"] for variable in container["env"]} == environment(EVERYTHING)
    assert container["image"] == IMAGE


def test_the_terraform_call_matches_the_variables_of_the_module() -> None:
    module = load_module(ROOT / "deploy/terraform")
    call = named(load(call_of(deployment(read_route=True, job_kms_key="k"))), "module")["bqdump"]
    assert check_call(call, module) == []
    assert call["project"] == '"my-jobs"'
    assert call["bucket_location"] == '"EU"'
    assert call["source_project"] == '"my-data"'
    assert call["kms_key"] == f'"{EVERYTHING.kms_key}"'
    own = {"PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET", "BQDUMP_JOB_PROJECT", "BQDUMP_KMS_KEY"}
    given = {name: json.loads(value) for name, value in call["settings"].items() if not name.startswith("__")}
    assert given == {name: value for name, value in environment(EVERYTHING).items() if name not in own}


def call_of(made: Deployment) -> str:
    return module_call(container_of(made), NOTHING_ASKED, "./m")


@pytest.mark.parametrize(
    ("words", "entry"),
    [
        (["drill", "--sample", "10%"], {"schedule": "0 3 * * *", "image": IMAGE, "sample": "10%"}),
        (["copy", "--dest", "gs://my-copies/x", "--keep-daily", "7", "--tasks", "4"],
         {"schedule": "0 3 * * *", "image": IMAGE, "tasks": "4", "dest": "gs://my-copies/x/", "keep-daily": "7"}),
        (["prune", "--keep-last", "3"], {"schedule": "0 3 * * *", "image": IMAGE}),
        (["restore", "--into", "x"], {"schedule": "0 3 * * *", "image": IMAGE, "into": "my-data.x"}),
    ],
)  # fmt: skip
def test_the_terraform_call_has_the_job_of_another_command(words: list[str], entry: dict[str, str]) -> None:
    text = printed("terraform", *FLAGS, "--command", *words)
    call = named(load(text), "module")["bqdump"]
    assert check_call(call, load_module(ROOT / "deploy/terraform")) == []
    (job,) = [job for name, job in call["jobs"].items() if name == words[0]]
    assert {name.strip('"'): json.loads(value) for name, value in job.items() if not name.startswith("__")} == entry


def test_terraform_is_written_with_its_module_where_there_is_no_clone(tmp_path: Path) -> None:
    folder = tmp_path / "my infra"
    said = printed("terraform", *FLAGS, "--output", str(folder))
    assert said.endswith(f"Continue with: terraform -chdir='{folder}' init\n")
    call = named(load((folder / "main.tf").read_text()), "module")["bqdump"]
    assert call["source"] == '"./bqdump"'
    assert check_call(call, load_module(folder / "bqdump")) == []
    assert check_references(load_module(folder / "bqdump")) == []
    written = {path.relative_to(folder / "bqdump") for path in (folder / "bqdump").rglob("*") if path.is_file()}
    module = {path.relative_to(ROOT / "deploy/terraform") for path in (ROOT / "deploy/terraform").rglob("*.*")}
    assert module - written == {Path("example/main.tf")}
    # What the module calls and reads is written, too.
    for name in written:
        text = (folder / "bqdump" / name).read_text()
        for file in re.findall(r'(?:source\s+= "|file\("\$\{path\.module\}/)(\.?[^"]+/?[^"]*)"', text):
            if not file.startswith("hashicorp/"):
                assert (folder / "bqdump" / name.parent / file).resolve().is_relative_to(folder / "bqdump"), file
                assert (folder / "bqdump" / name.parent / file).exists(), file


def test_files_of_terraform_that_differ_are_overwritten_only_by_force(tmp_path: Path) -> None:
    printed("terraform", *FLAGS, "--output", str(tmp_path))
    printed("terraform", *FLAGS, "--output", str(tmp_path))
    changed = tmp_path / "bqdump/jobs/main.tf"
    wanted = changed.read_text()
    changed.write_text("# mine")
    (tmp_path / "main.tf").unlink()
    with pytest.raises(UsageError, match=f"{changed}: the file exists, with other content. Overwrite it with"):
        printed("terraform", *FLAGS, "--output", str(tmp_path))
    assert not (tmp_path / "main.tf").exists()
    printed("terraform", *FLAGS, "--output", str(tmp_path), "--force")
    assert changed.read_text() == wanted


def test_each_dataset_and_bucket_has_its_grants() -> None:
    several = Settings(project="p1", dataset="sales,ops", target=Target("gs", "bbb"))
    granted = [(one.role, one.on) for one in accounts(deployment(settings=several), schedule=False)[0].grants]
    for dataset in ("sales", "ops"):
        assert ("roles/bigquery.dataViewer", f"dataset p1.{dataset}") in granted
    assert ("roles/storage.objectUser", "bucket bbb") in granted


def test_a_pattern_of_datasets_is_granted_on_the_project() -> None:
    every = Settings(project="p1", dataset="ops_*", target=Target("gs", "bbb"))
    granted = [(one.role, one.on) for one in accounts(deployment(settings=every), schedule=False)[0].grants]
    assert ("roles/bigquery.dataViewer", "project p1") in granted
    assert not [on for _, on in granted if on.startswith("dataset")]


def test_terraform_refuses_an_account_since_the_module_creates_one() -> None:
    with pytest.raises(UsageError, match="--service-account"):
        call_of(deployment(service_account="a@b.iam.gserviceaccount.com"))


def test_a_job_cannot_export_to_a_folder() -> None:
    with pytest.raises(UsageError, match="Use a bucket"):
        deployment(settings=Settings(project="p1", dataset="d", target=Target("file", "./here")))


def test_terraform_does_not_expand_templates_in_values() -> None:
    settings = Settings(project="p1", dataset="d", target=Target("gs", "bbb"), path="${run}/%{table}_*.{ext}")
    assert '"$${run}/%%{table}_*.{ext}"' in call_of(deployment(settings=settings))


def test_terraform_values_use_only_escapes_of_hcl() -> None:
    settings = Settings(project="p1", dataset="d", target=Target("gs", "bbb"), include=("a\b\f\\b\\\f\t\x00",))
    assert r'"a\u0008\u000c\\b\\\u000c\t\u0000"' in call_of(deployment(settings=settings))


def _words(script: str) -> list[list[str]]:
    return [shlex.split(line) for line in script.splitlines() if re.match(r"(gcloud|bq) ", line.strip())]


@pytest.mark.parametrize("extra", [[], ["--workflow"], ["--no-schedule-account"], ["--read-route"]])
def test_each_grant_is_a_command_with_its_reason(extra: list[str]) -> None:
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


def test_the_commands_can_be_repeated(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for tool in ("gcloud", "bq"):
        # A role that is not deleted cannot be undeleted.
        (tmp_path / tool).write_text(f'#!/bin/sh\necho "$0 $*" >> {log}\ncase "$*" in *undelete*) exit 1 ;; esac\n')
        (tmp_path / tool).chmod(0o755)
    script = printed("iam", *FLAGS, "--workflow")
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh"], input=script, text=True, check=True, env={"PATH": path})
    # An account that exists is not created again.
    assert "service-accounts create" not in log.read_text()
    assert log.read_text().count("service-accounts describe") == 3
    assert "roles create" not in log.read_text()
    assert log.read_text().count("roles update bqdump_row_policies") == 1


def test_a_deleted_role_is_undeleted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for tool in ("gcloud", "bq"):
        (tmp_path / tool).write_text(f'#!/bin/sh\necho "$*" >> {log}\n')
        (tmp_path / tool).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["sh"], input=printed("iam", *FLAGS), text=True, check=True, env={"PATH": path})
    assert "iam roles undelete bqdump_row_policies --project=my-data\n" in log.read_text()
    assert f"--permissions={','.join(SEE_ROW_POLICIES)}\n" in log.read_text()
    assert "roles create" not in log.read_text()


def test_terraform_and_commands_grant_the_same_roles() -> None:
    text = "".join((ROOT / f"deploy/terraform/{name}.tf").read_text() for name in ("identity", "jobs/main"))
    module = set(re.findall(r'"(roles/[\w.]+)"', text))
    reads = deployment(read_route=True)
    secret = deployment(secrets=(Secret("SALT", "salt", "3"),))
    key = "gcpkms://projects/vault/locations/us/keyRings/ring/cryptoKeys/signs/cryptoKeyVersions/3"
    signs = deployment(settings=msgspec.structs.replace(EVERYTHING, sign=key))
    appends = deployment(
        append_only=True, settings=msgspec.structs.replace(EVERYTHING, path="{run}/{table}_*", prune=False)
    )
    made = [
        *accounts(appends),
        *accounts(reads),
        *accounts(reads, workflow=True),
        build_account(reads),
        *accounts(secret),
    ]
    for command in COMMANDS:
        of_command = msgspec.structs.replace(reads, command=command)
        made += accounts(of_command, copies=Target("gs", "copies") if command == "copy" else None)
    made = [*made, *accounts(signs), *acting_as(made, "my-jobs", "user:me@example.com")]
    granted = {grant.role for account in made for grant in account.grants}
    (own,) = (role for role in granted if role.startswith("projects/"))
    assert granted - {own} == module
    assert own.endswith("/bqdump_row_policies")
    assert '${replace(var.name, "-", "_")}_row_policies' in text
    permissions = set(re.findall(r"permissions = (\[.*\])", text))
    assert [tuple(json.loads(one)) for one in permissions] == [SEE_ROW_POLICIES]


@pytest.mark.parametrize(
    ("words", "reads"),
    [
        ([], False),
        (["--read-route"], True),
        (["--route", "read"], True),
        (["--route", "query"], False),
        (["--file-size", "256MB"], True),
        (["--null-marker", "-"], True),
        (["--format", "json"], False),
        (["--format", "json", "--null-marker", "-", "--tables", '{"a": {"format": "csv"}}'], True),
        (["--tables", '{"a": {"route": "read"}}'], True),
        (["--row-group-rows", "9", "--tables", '{"a": {"format": "parquet"}}'], True),
    ],
)
def test_read_sessions_are_granted_if_the_settings_need_the_read_route(words: list[str], reads: bool) -> None:
    assert ("roles/bigquery.readSessionUser" in printed("iam", *FLAGS, *words)) is reads
    assert re.search(rf"read_route\s*= {str(reads).lower()}\n", printed("terraform", *FLAGS, *words))


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ({"region": "EU"}, "--region"),
        ({"name": "x"}, "--name"),
        ({"name": "Upper-case"}, "--name"),
        ({"memory": "512"}, "--memory"),
        ({"cpu": "one"}, "--cpu"),
        ({"cpu": "0"}, "--cpu"),
        ({"image": "My Image"}, "--image"),
        ({"time_zone": "Mars/Phobos"}, "--time-zone"),
        ({"schedule": "daily"}, "--schedule"),
        ({"service_account": "bqdump"}, "--service-account"),
    ],
)
def test_values_that_google_would_refuse_later_are_refused_at_once(values: dict[str, Any], flag: str) -> None:
    with pytest.raises(UsageError, match=flag):
        check(msgspec.structs.replace(deployment(), **values))


def test_accounts_and_images_of_a_domain_scoped_project_have_its_address() -> None:
    made = deployment(settings=Settings(project="example.com:data", dataset="d", target=Target("gs", "bbb")))
    email = "data.example.com.iam.gserviceaccount.com"
    names = [account.email.removesuffix(f"@{email}") for account in accounts(made, workflow=True)]
    assert names == ["bqdump", "bqdump-scheduler", "bqdump-workflow"]
    assert made.repository == "europe-west1-docker.pkg.dev/example.com/data/bqdump/bqdump"
    jobs_in = deployment(
        settings=Settings(project="p", job_project="example.com:jobs", dataset="d", target=Target("gs", "bbb"))
    )
    assert jobs_in.repository == "europe-west1-docker.pkg.dev/example.com/jobs/bqdump/bqdump"


def test_the_region_is_required() -> None:
    result = invoke("job", *SETTINGS_FLAGS)
    assert result.exit_code == 2
    assert "--region" in result.output


TEXTS = st.text(st.characters(codec="utf-8"))
# YAML allows keys of up to 1,024 characters, and an escaped one takes ten.
KEYS = st.text(st.characters(codec="utf-8"), max_size=64)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(DOCUMENTS)
def test_any_document_is_parsed_back_to_the_same_value(value: Any) -> None:
    assert yaml.safe_load(to_yaml(value)) == value


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "null", "true", "1", "1.5", "", "~", "a: b", "- a", "0x1f"])
def test_strings_that_look_like_another_type_stay_strings(word: str) -> None:
    assert yaml.safe_load(to_yaml([word, {word: word}])) == [word, {word: word}]


@pytest.mark.parametrize("key", ["apiVersion", "serviceAccountName", "maxRetries"])
def test_a_key_in_camel_case_has_no_quotes(key: str) -> None:
    assert to_yaml({key: [{key: 1}]}) == f"{key}:\n- {key}: 1\n"


@pytest.mark.parametrize("key", ["yEs", "nO", "tRue", "nUll", "oN"])
def test_a_key_that_looks_like_another_type_stays_a_string(key: str) -> None:
    assert yaml.safe_load(to_yaml({key: 1})) == {key: 1}


def test_every_setting_is_part_of_a_deployment() -> None:
    left_out = (*NOT_DEPLOYED, "iceberg")
    names = {setting.env for setting in SETTINGS if setting.name not in left_out}
    assert set(environment(EVERYTHING)) == names


def test_an_append_only_account_loses_what_it_could_delete_before() -> None:
    path = "{run}/{table}/{table}_*.{ext}"
    made = accounts(deployment(settings=msgspec.structs.replace(EVERYTHING, path=path, prune=False), append_only=True))[
        0
    ]
    on_bucket = {grant.role: grant for grant in made.grants if grant.on == "bucket my-exports"}
    roles = ("objectUser", "objectCreator", "objectViewer", "legacyBucketReader")
    assert sorted(on_bucket) == sorted(f"roles/storage.{role}" for role in roles)
    text = grants_script([made], "my-jobs")
    lines = [line for line in text.splitlines() if "roles/storage.objectUser" in line and "gcloud" in line]
    assert "remove-iam-policy-binding gs://my-exports" in lines[0]
    assert lines[0].endswith("--condition=None >/dev/null 2>&1 || :")
    assert shlex.split(lines[1])[-1] == f"--condition=expression={expression()},title={TITLE}"
    # Without a condition, gcloud asks which is meant where the bucket has grants with one.
    assert all(any("--condition=" in word for word in grant.command) for grant in on_bucket.values())
    # gcloud's flag is a list of KEY=VALUE with commas between.
    assert "," not in expression()


def test_a_key_in_cloud_kms_is_granted_to_the_account_of_the_job() -> None:
    key = "projects/vault/locations/europe-west1/keyRings/ring/cryptoKeys/signs"
    for sign, expected in ((f"gcpkms://{key}/cryptoKeyVersions/3", [f"key {key}"]), ("env:SIGNING_KEY", []), ("", [])):
        (job, *_) = accounts(deployment(settings=msgspec.structs.replace(EVERYTHING, sign=sign)))
        grants = [grant for grant in job.grants if grant.role == "roles/cloudkms.signerVerifier"]
        assert [grant.on for grant in grants] == expected
        for grant in grants:
            assert grant.command[:6] == ["gcloud", "kms", "keys", "add-iam-policy-binding", "signs", "--project=vault"]
            assert {"--location=europe-west1", "--keyring=ring"} <= set(grant.command)


def test_an_append_only_account_needs_a_folder_for_each_run_and_prunes_apart() -> None:
    with pytest.raises(UsageError, match="each run replaces the files of the last one"):
        deployment(append_only=True)
    path = "{run}/{table}/{table}_*.{ext}"
    settings = msgspec.structs.replace(EVERYTHING, path=path, prune=True)
    with pytest.raises(UsageError, match=r"a run that prunes deletes earlier runs\. .*--command prune"):
        deployment(append_only=True, settings=settings)
    assert deployment(append_only=True, settings=settings, command="prune")
