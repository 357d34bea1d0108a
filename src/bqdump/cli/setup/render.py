"""bqdump render: prints deployment files made from the settings. Changes nothing."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from click.core import ParameterSource

from bqdump.cli.options import ALL, Command, Subcommands, flags_given, load_settings, settings_options
from bqdump.cli.output import unwritten
from bqdump.core.copy.plan import RULES
from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import REQUIRED
from bqdump.render.commands import COMMANDS
from bqdump.render.deployment import Deployment, check, secret_of
from bqdump.render.iam import accounts, acting_as, build_account
from bqdump.render.job import (
    Work,
    container_of,
    scheduler_job,
    to_yaml,
    workflow_input,
    workflow_source,
)
from bqdump.render.job import job as cloud_run_job
from bqdump.render.job import workflow as workflow_body
from bqdump.render.kubernetes import cron_job, service_account
from bqdump.render.kubernetes import job as kubernetes_job
from bqdump.render.scripts import alerts_script, grants_script
from bqdump.render.terraform import module_call, module_files
from bqdump.render.watched import watched_by

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Deployment)}
# Their names are the fields of Deployment.
OPTIONS: dict[str, dict[str, Any]] = {
    "region": {"metavar": "REGION", "required": True, "help": "Region of the job, e.g. europe-west1."},
    "command": {
        "type": click.Choice(list(COMMANDS)),
        "help": "What the job does. The name of the job is NAME, or NAME-COMMAND.",
    },
    "name": {"metavar": "NAME", "help": "Name of the deployment, and prefix of all names."},
    "image": {"metavar": "IMAGE", "help": "Container image, by its digest or version."},
    "service_account": {"metavar": "EMAIL", "help": "Service account of the job (default: derived from the name)."},
    "tasks": {"metavar": "N", "type": click.IntRange(1, 10_000), "help": "Tasks per execution."},
    "cpu": {"metavar": "N", "help": "CPUs per task."},
    "memory": {"metavar": "SIZE", "help": "Memory per task (default: 512Mi; of a drill or a check 2Gi)."},
    "timeout_seconds": {
        "metavar": "SECONDS",
        "type": click.IntRange(1, 604_800),
        "help": "Timeout of one attempt of a task, in seconds.",
    },
    "max_retries": {"metavar": "N", "type": click.IntRange(0, 10), "help": "Retries of a failed task."},
    "schedule": {"metavar": "CRON", "help": "Schedule in cron format."},
    "time_zone": {"metavar": "ZONE", "help": "Time zone of the schedule."},
    "job_kms_key": {"metavar": "KEY", "help": "Cloud KMS key of the job."},
    "secrets": {
        "metavar": "VARIABLE=SECRET:VERSION",
        "multiple": True,
        "help": "Variable with a version of a secret of Secret Manager. Can be repeated.",
    },
    "read_route": {"is_flag": True, "help": "Grant the permissions of the read route even if no setting requires it."},
    "append_only": {
        "is_flag": True,
        "help": "Grant no permission to replace or delete files. Requires {run} in --path.",
    },
}


def deployment_options(command: Decorated) -> Decorated:
    """Give a command the options of a deployment and every setting."""
    command = settings_options(*ALL)(command)
    for name, option in reversed(OPTIONS.items()):
        default = DEFAULTS[name]
        shown = {"default": default, "show_default": default not in ("", False, ())} if "required" not in option else {}
        flag = "--secret" if name == "secrets" else f"--{name.replace('_', '-')}"
        command = click.option(flag, name, **shown, **option)(command)
    return command


WORK = (
    click.option(
        "--into", metavar="[PROJECT.]DATASET", default="", help="With --command restore: the dataset to restore into."
    ),
    click.option("--dest", metavar="DEST", default="", help="With --command copy: where to."),
    click.option("--all", "every", is_flag=True, help="With --command copy: copy all complete runs."),
    click.option("--lock", metavar="DURATION", default="", help="With --command copy: lock them, such as for 35d."),
    click.option("--lock-mode", metavar="MODE", default="", help="governance (default) or compliance."),
    click.option("--limit", metavar="SIZE", default="", help="With --command copy: bytes per second, such as 50MB."),
    click.option(
        "--sample", metavar="SHARE", default="", help="Share of each drill (tables) or verify (files), such as 10%."
    ),
)


def work_options(command: Decorated) -> Decorated:
    """Give a command the options of a deployment, and those of the command that its job runs."""
    command = deployment_options(command)
    for option in reversed(WORK):
        command = option(command)
    return command


def _deployment(options: dict[str, Any]) -> Deployment:
    own = {name: options.pop(name) for name in OPTIONS}
    own["secrets"] = tuple(map(secret_of, own["secrets"]))
    return check(Deployment(settings=load_settings(options), **own))


def _work(options: dict[str, Any]) -> tuple[Deployment, Work]:
    asked = {name: options.pop(name) for name in ("into", "dest", "every", "lock", "lock_mode", "limit", "sample")}
    rules = [name for name in flags_given(options) if name in RULES]
    typed = click.get_current_context().get_parameter_source("tasks") is ParameterSource.COMMANDLINE
    work = Work(**asked, rules=rules, tasks=options["tasks"] if typed else 0)
    return _deployment(options), work


@click.group(cls=Subcommands)
def render() -> None:
    """Generate deployment files from your settings.

    \b
    Examples:
      bqdump render job --region europe-west1 > job.yaml && gcloud run jobs replace job.yaml
      bqdump render iam --region europe-west1 > grants.sh
    """


@render.command(cls=Command, needs=REQUIRED)
@work_options
def job(**options: Any) -> None:
    """Print the Cloud Run job, for `gcloud run jobs replace`.

    \b
    Examples:
      bqdump render job --region europe-west1 --image "$IMAGE" > job.yaml
      bqdump render job --region europe-west1 --image "$IMAGE" --command copy --dest gs://my-copies/sales > copy.yaml
      bqdump render job --region europe-west1 --image "$IMAGE" --command restore --into restored > restore.yaml
    """
    click.echo(to_yaml(cloud_run_job(container_of(*_work(options)))), nl=False)


@render.command(cls=Command, needs=REQUIRED)
@click.option("--target", type=click.Choice(["job", "workflow"]), default="job", help="Start the job, or the workflow.")
@deployment_options
def scheduler(target: str, **options: Any) -> None:
    """Print the Cloud Scheduler job, as its API expects it.

    \b
    Examples:
      bqdump render scheduler --region europe-west1 --schedule '0 3 * * *' > schedule.json
      bqdump render scheduler --region europe-west1 --command prune --schedule '0 5 * * *' > prune.json
    """
    _print_json(scheduler_job(_deployment(options), target))


@render.command(cls=Command, needs=REQUIRED)
@click.option("--schedule-account/--no-schedule-account", default=True, help="Include the account of the schedule.")
@click.option("--workflow", is_flag=True, help="Include the account of the workflow.")
@click.option("--build", is_flag=True, help="Print only the account that builds the image.")
@click.option(
    "--deployer", metavar="MEMBER", help="Let a member, such as user:me@example.com, deploy with each account."
)
@work_options
def iam(schedule_account: bool, workflow: bool, build: bool, deployer: str | None, **options: Any) -> None:
    """Print service accounts and grants as a shell script, with the reason for each.

    \b
    Examples:
      bqdump render iam --region europe-west1 > grants.sh
      bqdump render iam --region europe-west1 --command copy --dest gs://my-copies/sales > grants.sh
    """
    deployment, work = _work(options)
    container_of(deployment, work)
    all_accounts = accounts(
        deployment, schedule=schedule_account, workflow=workflow, copies=work.copies, locked=bool(work.lock)
    )
    printed = [build_account(deployment)] if build else all_accounts
    if deployer:
        if not re.fullmatch(r"(user|group|serviceAccount|principal|principalSet):\S+", deployer):
            hint = "Write user:EMAIL, group:EMAIL or serviceAccount:EMAIL."
            raise UsageError("render", "--deployer", f"invalid value {deployer!r}", hint)
        printed = acting_as(printed, deployment.project, deployer)
    click.echo(grants_script(printed, deployment.project), nl=False)


@render.command(cls=Command, needs=REQUIRED)
@click.option(
    "--notification-channel",
    "channels",
    metavar="CHANNEL",
    multiple=True,
    required=True,
    help="Channel of notifications, projects/P/notificationChannels/N. Can be repeated.",
)
@click.option("--workflow", is_flag=True, help="The workflow starts the exports, and alerts once it gives up.")
@click.option(
    "--exports",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False),
    help="Input of the workflow whose exports are watched (default: the export of the settings).",
)
@click.option("--billed", metavar="SIZE", default="", help="Also alert when a run or a drill bills more, such as 1TB.")
@work_options
def alerts(channels: tuple[str, ...], workflow: bool, exports: str | None, billed: str, **options: Any) -> None:
    """Print alerts on failed and overdue executions as a shell script.

    What --command does is overdue 2 hours after the longest time between two starts of --schedule.

    \b
    Examples:
      bqdump render alerts --region europe-west1 --notification-channel projects/p/notificationChannels/1 > alerts.sh
    """
    deployment, work = _work(options)
    watched = watched_by(
        deployment, channels, by_workflow=workflow, items=exports or "", copies=work.copies, billed=billed
    )
    click.echo(alerts_script(deployment, watched), nl=False)


@render.command(cls=Command, needs=REQUIRED)
@click.option(
    "--part",
    type=click.Choice(["source", "body", "input"]),
    default="source",
    help="Print the workflow, the request body that creates it, or an input for it.",
)
@deployment_options
def workflow(part: str, **options: Any) -> None:
    """Print the workflow that exports a list of datasets.

    \b
    Examples:
      bqdump render workflow --region europe-west1 --part input > exports.json
    """
    deployment = _deployment(options)
    if part == "source":
        click.echo(workflow_source(), nl=False)
    else:
        _print_json(workflow_body(deployment) if part == "body" else workflow_input(deployment))


@render.command(cls=Command, needs=REQUIRED)
@click.option(
    "--part",
    type=click.Choice(["cronjob", "job", "account"]),
    default="cronjob",
    show_default=True,
    help="Print the CronJob, the Job of a single execution, or the service account of both.",
)
@work_options
def kubernetes(part: str, **options: Any) -> None:
    """Print a CronJob, a Job or their service account, for kubectl.

    \b
    Examples:
      bqdump render kubernetes --region europe-west1 --part account | kubectl apply --filename -
      bqdump render kubernetes --region europe-west1 --image "$IMAGE" | kubectl apply --filename -
      bqdump render kubernetes --region europe-west1 --image "$IMAGE" --part job | kubectl create --filename -
    """
    parts = {"cronjob": cron_job, "job": kubernetes_job, "account": service_account}
    click.echo(to_yaml(parts[part](container_of(*_work(options)))), nl=False)


@render.command(cls=Command, needs=REQUIRED)
@click.option("--source", metavar="PATH", default="./deploy/terraform", show_default=True, help="Path of the module.")
@click.option(
    "--output",
    "-o",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write main.tf and the module.",
)
@click.option("--force", is_flag=True, help="Overwrite files.")
@click.option("--notification-channel", "channels", metavar="CHANNEL", multiple=True, help="Channel of notifications.")
@work_options
def terraform(source: str, output: Path | None, force: bool, channels: tuple[str, ...], **options: Any) -> None:
    """Print a call of the Terraform module; with --command also the job of that command.

    \b
    Examples:
      bqdump render terraform --region europe-west1 --output infra
      bqdump render terraform --region europe-west1 --command drill --schedule '0 6 * * 0' > main.tf
    """
    deployment, work = _work(options)
    made = container_of(deployment, work)
    if output is None:
        click.echo(module_call(made, work, source, channels), nl=False)
        return
    if click.get_current_context().get_parameter_source("source") is not ParameterSource.DEFAULT:
        raise UsageError("write", str(output), "its call is of the module next to it", "Remove --source or --output.")
    files = {f"bqdump/{name}": text for name, text in module_files().items()}
    _write(output, files | {"main.tf": module_call(made, work, "./bqdump", channels)}, force=force)
    first = f"Wrote {output / 'main.tf'} and the module in {output / 'bqdump'}."
    click.echo(f"{first}\nContinue with: terraform -chdir={shlex.quote(str(output))} init")


def _write(folder: Path, files: Mapping[str, str], *, force: bool) -> None:
    """Write the files. Raises UsageError, having written nothing, if one is there with other content."""
    paths = {folder / name: text for name, text in files.items()}
    path = folder
    try:
        for path, text in paths.items():
            if not force and path.exists() and path.read_text(encoding="utf-8") != text:
                cause = "the file exists, with other content"
                raise UsageError("write", str(path), cause, "Overwrite it with {setting:force}.")
        for path, text in paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritten(path, error) from None


def _print_json(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
