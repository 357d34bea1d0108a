"""The pages on deploying and operating: their commands are run, and their tables are compared with the code."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from bqdump.cli import exit_codes
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.render.deployment import Deployment
from bqdump_local.cloud_data import SOFT_DELETE_SECONDS
from deploy import discovery
from deploy.terraform import load_module, named
from docs.shell import objection
from programs import python_program

ROOT = Path(__file__).parents[2]
DEPLOY = (ROOT / "docs/deploy.md").read_text()
EVENTS = (ROOT / "docs/events.md").read_text()
LIMITS = (ROOT / "docs/limits.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", DEPLOY, re.DOTALL)
NOTE = r"""#!/bin/sh
{ printf '%s\0' "${0##*/}" "$@"; echo; } >>"${0%/*}/log"
case "$* " in
  *image_summary.digest*) printf 'sha256:%064d\n' 0 ;;
  *"channels create"*) echo projects/my-project/notificationChannels/1234 ;;
  *" describe "*) exit 1 ;;
esac
"""
BQDUMP = python_program("""import sys
if sys.argv[1] == "render":
    sys.argv.pop(1)
    from bqdump.cli.setup.render import render
    render()
elif sys.argv[1] == "init":
    sys.argv.pop(1)
    from bqdump.cli.setup.init import init
    init()
""")


class Walk:
    """The page's commands, run from the first to the last with tools that only record their arguments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tools = folder / "tools"
        tools.mkdir()
        for tool in ("gcloud", "bq", "curl", "kubectl"):
            (tools / tool).write_text(NOTE)
            (tools / tool).chmod(0o755)
        (tools / "bqdump").write_text(BQDUMP)
        (tools / "bqdump").chmod(0o755)
        (folder / "deploy").mkdir()
        (folder / "deploy/teardown.sh").write_text("#!/bin/sh\n")
        (folder / "deploy/teardown.sh").chmod(0o755)
        environ = {"PATH": f"{tools}:{os.environ['PATH']}"}
        script = "set -eu\n" + "\n".join(BLOCKS)
        self.done = subprocess.run(["sh"], input=script, text=True, capture_output=True, cwd=folder, env=environ)
        recorded = (tools / "log").read_text().split("\0\n")[:-1]
        self.commands = [command.split("\0") for command in recorded]

    def asked(self, *words: str) -> list[list[str]]:
        """The commands that start with these words."""
        return [command for command in self.commands if tuple(command[: len(words)]) == words]


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    return Walk(tmp_path_factory.mktemp("walk"))


def test_every_command_of_the_page_runs(walk: Walk) -> None:
    assert (walk.done.returncode, walk.done.stderr) == (0, "")


def test_gcloud_and_bq_take_every_command_of_the_page_and_of_the_scripts_that_it_renders(walk: Walk) -> None:
    ours = [command for command in walk.commands if command[0] in ("gcloud", "bq")]
    assert len(ours) > 40
    assert [one for one in map(objection, ours) if one] == []


def test_the_files_that_the_page_creates_are_valid_for_google(walk: Walk) -> None:
    job = yaml.safe_load((walk.folder / "job.yaml").read_text())
    schedule = json.loads((walk.folder / "schedule.json").read_text())
    assert discovery.check("run.v1", "Job", job) == []
    assert discovery.check("cloudscheduler.v1", "Job", schedule) == []
    assert json.loads((walk.folder / "exports.json").read_text())["exports"][0]["dataset"] == "sales"


def test_the_job_makes_a_backup_as_bqdump_init_sets_it_up(walk: Walk) -> None:
    job = yaml.safe_load((walk.folder / "job.yaml").read_text())
    [container] = job["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert variables["BQDUMP_PATH"] == "{run}/{table}/{table}_*.{ext}"
    assert (variables["BQDUMP_FORMAT"], variables["BQDUMP_INCREMENTAL"]) == ("parquet", "true")
    assert (variables["BQDUMP_PRUNE"], variables["BQDUMP_KEEP_WITHIN"]) == ("true", "2d")


def test_the_page_builds_the_image_that_the_job_runs(walk: Walk) -> None:
    [build] = walk.asked("gcloud", "builds", "submit")
    job = yaml.safe_load((walk.folder / "job.yaml").read_text())
    [container] = job["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    image = "europe-west1-docker.pkg.dev/my-project/bqdump/bqdump"
    assert container["image"] == f"{image}@sha256:{'0' * 64}"
    assert f"--substitutions=_IMAGE={image}:latest,_ACCOUNT=bqdump-build@my-project.iam.gserviceaccount.com" in build


def test_the_build_has_an_account_with_its_grants_before_it_starts(walk: Walk) -> None:
    [build] = walk.asked("gcloud", "builds", "submit")
    account = "bqdump-build@my-project.iam.gserviceaccount.com"
    grants = [
        walk.commands.index(command) for command in walk.commands if f"--member=serviceAccount:{account}" in command
    ]
    assert len(grants) == 3
    assert max(grants) < walk.commands.index(build)


@pytest.mark.parametrize("project", ["my-project", "example.com:my-project"])
def test_images_and_accounts_are_named_as_bqdump_names_them(project: str) -> None:
    lines = [line for line in BLOCKS[0].splitlines() if line.startswith(("export REPOSITORY", "export ACCOUNTS"))]
    script = "\n".join([*lines, 'echo "$REPOSITORY" "$ACCOUNTS"'])
    environ = {"PATH": os.environ["PATH"], "PROJECT_ID": project, "REGION": "europe-west1"}
    output = subprocess.run(["sh", "-eu"], input=script, text=True, capture_output=True, env=environ, check=True).stdout
    settings = Settings(project=project, dataset="d", target=Target("gs", "b"))
    deployment = Deployment(settings=settings, region="europe-west1")
    assert output.split() == [deployment.repository.removesuffix("/bqdump"), deployment.account("x")[2:]]


def test_every_resource_that_can_have_labels_gets_the_label_of_the_teardown(walk: Walk) -> None:
    job = yaml.safe_load((walk.folder / "job.yaml").read_text())
    assert job["metadata"]["labels"]["app"] == "bqdump"
    assert "--labels=app=bqdump" in walk.asked("gcloud", "artifacts", "repositories", "create")[0]
    assert "--labels=app=bqdump" in walk.asked("gcloud", "workflows", "deploy")[0]
    assert "--update-labels=app=bqdump" in walk.asked("gcloud", "storage", "buckets", "update")[0]
    for create in walk.asked("gcloud", "iam", "service-accounts", "create"):
        assert any(word.startswith("--display-name=bqdump:") for word in create)


def test_the_job_is_created_before_grants_on_it(walk: Walk) -> None:
    replaced = walk.commands.index(walk.asked("gcloud", "run", "jobs", "replace")[0])
    granted = [walk.commands.index(grant) for grant in walk.asked("gcloud", "run", "jobs", "add-iam-policy-binding")]
    assert min(granted) > replaced


def test_the_job_has_its_grants_before_it_first_runs(walk: Walk) -> None:
    first = walk.commands.index(walk.asked("gcloud", "run", "jobs", "execute")[0])
    assert any(command[0] == "bq" for command in walk.commands[:first])
    assert any("roles/storage.objectUser" in " ".join(command) for command in walk.commands[:first])


def test_the_workflow_is_deployed_as_it_is_rendered(walk: Walk) -> None:
    [deploy] = walk.asked("gcloud", "workflows", "deploy")
    body = json.loads(
        subprocess.run(
            [walk.folder / "tools/bqdump", "render", "workflow", "--part", "body", "--region", "europe-west1",
             "--project", "my-project", "--dataset", "sales", "--bucket", "my-project-exports"],
            capture_output=True, check=True, cwd=walk.folder,
        ).stdout
    )  # fmt: skip
    assert f"--service-account={body['serviceAccount']}" in deploy
    assert deploy[3] == body["name"].rpartition("/")[2]
    assert f"--set-env-vars=BQDUMP_JOB={body['userEnvVars']['BQDUMP_JOB']}" in deploy


def test_every_exit_code_is_explained() -> None:
    section = EVENTS.partition("## Exit codes")[2].partition("\n## ")[0]
    explained = set(
        map(int, re.findall(r"\b[0-9]+\b", " ".join(re.findall(r"^\| ([0-9, ]+) \|", section, re.MULTILINE))))
    )
    assert explained == {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}


def test_every_explained_log_line_is_one_that_is_logged() -> None:
    section = EVENTS.partition("## Log lines")[2].partition("\n## ")[0]
    phrases = [
        phrase for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for phrase in re.findall("`(.*?)`", row)
    ]
    assert len(phrases) >= 12
    sources = "\n".join(path.read_text() for path in (ROOT / "src/bqdump").rglob("*.py"))
    assert [phrase for phrase in phrases if phrase not in sources] == []


def test_the_costs_add_up() -> None:
    second = 0.000018 + 0.5 * 0.000002
    assert [f"{seconds * second:.4f}" for seconds in (500, 60, 240)] == ["0.0095", "0.0011", "0.0046"]
    assert f"{50_000 * second:.2f}" == "0.95"
    assert f"{20 * 900 * (0.000018 + 1 * 0.000002):.4f}" == "0.3600"
    assert [tables * 4 * 0.005 / 1000 for tables in (10, 1_000, 50_000)] == pytest.approx([0.0002, 0.02, 1.0])
    for amount in ("$0.0095", "$0.95", "$0.0011", "$0.0046", "$0.3600", "$0.0002", "$0.02", "$1.00"):
        assert amount in LIMITS


def test_every_way_to_make_the_bucket_keeps_deleted_files_for_a_week(walk: Walk) -> None:
    (made,) = walk.asked("gcloud", "storage", "buckets", "create")
    assert "--soft-delete-duration=7d" in made
    module = load_module(ROOT / "deploy/terraform")
    assert named(module, "variable")["bucket_soft_delete_seconds"]["default"] == 7 * 86400
    assert SOFT_DELETE_SECONDS == 7 * 86400
