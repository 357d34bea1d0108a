"""A deployment: the settings of an export, and where and how its job runs."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from bqdump.core.errors import UsageError
from bqdump.core.plan.routes import asks_for_reads
from bqdump.core.settings.file import setting_text
from bqdump.core.settings.settings import OF_ONE_RUN, SETTINGS, Settings
from bqdump.core.settings.target import record_of
from bqdump.render.cron import longest_pause

# Run id and snapshot time belong to one run, not to a deployment, and a job cannot export to a folder of this machine.
# The address of notices may be a secret, which would be readable in the job.
NOT_DEPLOYED = (*OF_ONE_RUN, "to", "endpoint", "notify")
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


class Secret(NamedTuple):
    """A version of a secret of Secret Manager, and the variable of the job that has its value."""

    variable: str
    name: str
    version: str


def secret_of(text: str) -> Secret:
    """A secret as VARIABLE=SECRET:VERSION. Raises UsageError; a version is a number, so that it never changes."""
    found = re.fullmatch(r"([A-Z][A-Z0-9_]*)=([A-Za-z0-9_-]{1,255}):([1-9][0-9]*)", text)
    if found is None:
        hint = "Write VARIABLE=SECRET:VERSION, with the number of a version: `gcloud secrets versions list SECRET`."
        raise UsageError("render", "--secret", f"invalid value {text!r}", hint)
    return Secret(*found.groups())


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how the job runs. Empty strings stand for defaults, which the properties return."""

    settings: Settings
    region: str
    name: str = "bqdump"
    image: str = ""
    service_account: str = ""
    tasks: int = 10
    cpu: str = "1"
    memory: str = "512Mi"
    timeout_seconds: int = 14_400
    max_retries: int = 3
    schedule: str = "0 3 * * *"
    time_zone: str = "Etc/UTC"
    job_kms_key: str = ""
    read_route: bool = False
    append_only: bool = False
    secrets: tuple[Secret, ...] = ()

    @property
    def project(self) -> str:
        """The project that holds the job, runs the BigQuery jobs, and pays."""
        return self.settings.jobs_in

    @property
    def reads(self) -> bool:
        """Whether the job's account may open read sessions."""
        return self.read_route or asks_for_reads(self.settings)

    @property
    def parent(self) -> str:
        """The parent resource of job, schedule and workflow."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def job_image(self) -> str:
        """The image that the job runs."""
        # The domain of a domain-scoped project, example.com:name, is a path component of an image's name.
        project = self.project.replace(":", "/")
        return self.image or f"{self.region}-docker.pkg.dev/{project}/{self.name}/bqdump:latest"

    @property
    def job_account(self) -> str:
        """The account that the job runs as."""
        return self.service_account or self.account(self.name)

    @property
    def scheduler_account(self) -> str:
        """The account that starts the job or the workflow on schedule."""
        return self.account(f"{self.name}-scheduler")

    @property
    def workflow_account(self) -> str:
        """The account that the workflow runs as."""
        return self.account(f"{self.name}-workflow")

    def account(self, name: str) -> str:
        """The email address of a service account of this project."""
        # A domain-scoped project, example.com:name, is name.example.com in email addresses.
        domain, _, project = self.project.rpartition(":")
        return f"{name}@{project}{'.' if domain else ''}{domain}.iam.gserviceaccount.com"


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give a task these settings: required ones, and those that differ from their defaults."""
    plain = Settings(project=settings.project, dataset=settings.dataset, target=settings.target)
    values = {}
    target = record_of(settings.target)
    for setting in SETTINGS:
        value = target.get(setting.name) or getattr(settings, setting.name, "")
        changed = value != getattr(plain, setting.name, "") or setting.name in ("project", "dataset")
        if changed and setting.name not in NOT_DEPLOYED:
            values[setting.env] = setting_text(setting.name, value)
    return values


def check_schedule(flag: str, schedule: str) -> None:
    """Raises UsageError for a schedule that never starts anything, or that cron does not know."""
    try:
        longest_pause(schedule)
    except ValueError as error:
        raise UsageError("render", flag, f"invalid value {schedule!r}: {error}") from None


def check(deployment: Deployment) -> Deployment:
    """Return the deployment if Google's APIs would accept its values. Raises UsageError."""
    named = "6 to 20 lowercase letters, digits and hyphens, since service accounts are named after it"
    rules = (
        ("--region", deployment.region, r"[a-z]+-[a-z]+[0-9]+", "a region such as europe-west1"),
        ("--name", deployment.name, r"[a-z][a-z0-9-]{4,18}[a-z0-9]", named),
        ("--memory", deployment.memory, r"[0-9]+(Mi|Gi)", "a size such as 512Mi"),
        ("--cpu", deployment.cpu, r"[0-9]+|[0-9]+m", "a number of CPUs such as 1 or 500m"),
        ("--service-account", deployment.job_account, r"\S+@\S+", "the email address of a service account"),
    )
    if deployment.settings.target.folder:
        cause = "a Cloud Run job cannot export to a folder of this machine"
        raise UsageError("render", "", cause, "Use a bucket.", setting="to")
    if deployment.settings.notify:
        cause, hint = "anybody who sees the job could read it", "Use --secret BQDUMP_NOTIFY=SECRET:VERSION instead."
        raise UsageError("render", "", cause, hint, setting="notify")
    if deployment.append_only and not deployment.settings.template.keeps:
        cause = "without {run} in the path, each run replaces the files of the last one"
        raise UsageError("render", "--append-only", cause, "Add {run} to it.", setting="path")
    for flag, value, pattern, expected in rules:
        if not re.fullmatch(pattern, value):
            raise UsageError("render", flag, f"invalid value {value!r}; expected {expected}")
    check_schedule("--schedule", deployment.schedule)
    return deployment
