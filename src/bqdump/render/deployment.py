"""A deployment: the settings of an export, and where and how its job runs.

How often a cron schedule starts something.

Source: https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import available_timezones

import msgspec

from bqdump.core.copy.plan import requested_copy
from bqdump.core.errors import UsageError
from bqdump.core.pages import page
from bqdump.core.plan.routes import asks_for_reads
from bqdump.core.settings.file import OF_ONE_RUN, setting_text
from bqdump.core.settings.settings import BY_NAME, RETENTION, SETTINGS, Settings
from bqdump.core.settings.target import record_of
from bqdump.core.settings.values import KMS_KEY, VARIABLE
from bqdump.render.commands import COMMANDS, PRUNE, RUN, Row, job_name

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
PART = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/([0-9]+))?")
# Every date pattern repeats within 8 years: there may be that many between two leap years.
FIRST, DAYS_LOOKED_AT = date(2096, 1, 1), 366 * 9
DAY_MINUTES = 24 * 60


def longest_pause(schedule: str) -> int:
    """The longest time between two starts, in minutes, without changes of daylight saving time.

    Raises ValueError for an invalid schedule.
    """
    fields = schedule.split()
    if len(fields) != len(FIELDS):
        raise ValueError("expected a cron schedule of five fields, such as '0 3 * * *'")
    parts = [_values(text, *field) for text, field in zip(fields, FIELDS, strict=True)]
    times = sorted(hour * 60 + minute for hour in parts[1] for minute in parts[0])
    days = list(_days(fields, parts))
    if len(days) < len(FIELDS[:2]):
        raise ValueError("the schedule has no such day")
    within = max((later - earlier for earlier, later in pairwise(times)), default=0)
    between = max((later - earlier).days for earlier, later in pairwise(days)) * DAY_MINUTES - (times[-1] - times[0])
    return max(within, between)


def _days(fields: list[str], parts: list[set[int]]) -> Iterator[date]:
    """The days on which it starts. Where both kinds of days are given, either will do."""
    of_month, months, of_week = parts[2], parts[3], {number % 7 for number in parts[4]}
    any_month_day, any_week_day = (fields[at].startswith("*") for at in (2, 4))
    for number in range(DAYS_LOOKED_AT):
        day = FIRST + timedelta(days=number)
        by_month, by_week = day.day in of_month, day.isoweekday() % 7 in of_week
        fits = (by_month and by_week) if any_month_day or any_week_day else (by_month or by_week)
        if day.month in months and fits:
            yield day


def _values(text: str, name: str, least: int, most: int) -> set[int]:
    values = set[int]()
    for part in text.split(","):
        match = PART.fullmatch(part)
        if match is None:
            raise ValueError(f"{part!r} is not a valid {name}")
        first, last, step = match.groups()
        if first == "*":
            start, end = least, most
        else:
            start = _number(first, name)
            end = _number(last, name) if last else most if step else start
        if not (least <= start <= end <= most) or (step and int(step) < 1):
            raise ValueError(f"{part!r} is not a valid {name}")
        values |= set(range(start, end + 1, int(step or 1)))
    return values


def _number(word: str, name: str) -> int:
    names: tuple[str, ...] = {"month": MONTHS, "day of the week": DAYS}.get(name, ())
    if word.lower() in names:
        return names.index(word.lower()) + (name == "month")
    if not word.isdecimal():
        raise ValueError(f"{word!r} is not a valid {name}")
    return int(word)


# Run id and snapshot time belong to one run, not to a deployment, and a job cannot export to a folder of this machine.
# The addresses of notices and pings may be secrets, which would be readable in the job.
ADDRESSES = ("notify", "ping")
NOT_DEPLOYED = (*OF_ONE_RUN, "to", "endpoint", *ADDRESSES)
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


class Secret(NamedTuple):
    """A version of a secret of Secret Manager, and the variable of the job that has its value."""

    variable: str
    name: str
    version: str


def secret_of(text: str) -> Secret:
    """A secret as VARIABLE=SECRET:VERSION. Raises UsageError; a version is a number, so that it never changes."""
    match = re.fullmatch(r"([A-Z][A-Z0-9_]*)=([A-Za-z0-9_-]{1,255}):([1-9][0-9]*)", text)
    if match is None:
        hint = "Write VARIABLE=SECRET:VERSION, with the number of a version: `gcloud secrets versions list SECRET`."
        raise UsageError("render", "--secret", f"invalid value {text!r}", hint)
    return Secret(*match.groups())


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """Where and how the job runs. Empty strings stand for defaults, which the properties return."""

    settings: Settings
    region: str
    command: str = RUN
    name: str = "bqdump"
    image: str = ""
    service_account: str = ""
    tasks: int = 10
    cpu: str = "1"
    memory: str = ""
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
    def row(self) -> Row:
        """What is known of its command."""
        return COMMANDS[self.command]

    @property
    def job(self) -> str:
        """The name of the job."""
        return job_name(self.name, self.command)

    @property
    def job_memory(self) -> str:
        """The memory of a task."""
        return self.memory or self.row.memory

    @property
    def repository(self) -> str:
        """Where the images of the deployment are, without a tag."""
        # The domain of a domain-scoped project, example.com:name, is a path component of an image's name.
        return f"{self.region}-docker.pkg.dev/{self.project.replace(':', '/')}/{self.name}/bqdump"

    @property
    def job_image(self) -> str:
        """The image that the job runs. Raises UsageError for none, and for one that may change between two tasks."""
        tag = self.image.rpartition("/")[2].partition(":")[2]
        if "@" in self.image or tag not in ("", "latest"):
            return self.image
        cause = f"{self.image} may change between two tasks" if self.image else "the job needs an image"
        built = f", built with REQUIREMENTS={self.row.extra}" if self.row.extra else ""
        hint = f"Name one by its digest, such as {self.repository}@sha256:…{built}: {page('deploy.md')}"
        raise UsageError("render", "--image", cause, f"{hint}.")

    @property
    def job_account(self) -> str:
        """The account that the job runs as."""
        own = f"{self.name}-{self.row.account}" if self.row.account else self.name
        return self.service_account or self.account(own)

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


def container_environment(settings: Settings) -> dict[str, str]:
    """The same for a container, which has no file of this machine. Raises UsageError for a key in a file."""
    for setting, keys in (("sign", (settings.sign,)), ("trust", settings.trust)):
        if files := [key for key in keys if key and not key.startswith((VARIABLE, KMS_KEY))]:
            hint = "Use env:VARIABLE, and --secret VARIABLE=SECRET:VERSION, or in Kubernetes a secretKeyRef."
            raise UsageError("render", "", f"the container has no file {files[0]}", hint, setting=setting)
    return environment(settings)


def copying(
    deployment: Deployment,
    dest: str,
    rules: Sequence[str],
    *,
    every: bool,
    lock: str,
    lock_mode: str,
    limit: str,
    tasks: int,
) -> tuple[Deployment, list[str]]:
    """The deployment of a job that copies to this place, and its arguments. rules: names of settings.

    tasks: how many were asked for, 0 for none. One that locks has one task: the others would have nothing to do.
    Raises UsageError like the copy itself.
    """
    settings = deployment.settings
    requested_copy(
        settings,
        dest,
        (),
        rules,
        every=every,
        storage_class="",
        digests=False,
        dry=False,
        lock=lock,
        lock_mode=lock_mode,
        limit=limit,
    )
    if lock and tasks > 1:
        raise UsageError("render", f"--tasks {tasks}", "a copy with --lock has one task", "Leave it out.")
    flags = [f"{BY_NAME[name].flag}={setting_text(name, getattr(settings, name))}" for name in rules]
    given = {"--lock": lock, "--lock-mode": lock_mode, "--limit": limit}
    flags += [*(["--all"] if every else []), *(f"{flag}={value}" for flag, value in given.items() if value)]
    return (msgspec.structs.replace(deployment, tasks=1) if lock else deployment), [dest, *flags]


def of_command(deployment: Deployment) -> Settings:
    """The settings that its job has: without those of another command's prune."""
    plain = {field.name: field.default for field in msgspec.structs.fields(Settings)}
    ignored = {RUN: (), PRUNE: ("prune",)}.get(deployment.command, ("prune", *RETENTION))
    return msgspec.structs.replace(deployment.settings, **{name: plain[name] for name in ignored})


def check_schedule(flag: str, schedule: str) -> None:
    """Raises UsageError for a schedule that never starts anything, or that cron does not know."""
    try:
        longest_pause(schedule)
    except ValueError as error:
        raise UsageError("render", flag, f"invalid value {schedule!r}: {error}") from None


PRUNES = "a run that prunes deletes earlier runs"
PRUNE_APART = "Set {setting:prune} to false, and prune with a job and an account of its own: --command prune."


def refuse_append_only(deployment: Deployment) -> None:
    """Raise UsageError where an append-only account could not do what its job does."""
    if deployment.append_only and not deployment.settings.template.keeps:
        cause = "without {run} in the path, each run replaces the files of the last one"
        raise UsageError("render", "--append-only", cause, "Add {run} to it.", setting="path")
    if deployment.append_only and deployment.command == RUN and deployment.settings.prune:
        raise UsageError("render", "--append-only", PRUNES, PRUNE_APART, setting="prune")


def refuse_twice(deployment: Deployment) -> None:
    """Raise UsageError for a variable that two values would have."""
    given = {setting.env for setting in SETTINGS if setting.name in ("project", "dataset", "bucket")}
    given |= environment(deployment.settings).keys()
    names = [secret.variable for secret in deployment.secrets]
    for name in names:
        if name in given:
            cause = f"{name} is a setting as well"
            raise UsageError("render", f"--secret {name}=…", cause, "Leave out one of them.")
        if names.count(name) > 1:
            raise UsageError("render", f"--secret {name}=…", "it is given twice", "Leave out one of them.")


def check(deployment: Deployment) -> Deployment:
    """Return the deployment if Google's APIs would accept its values. Raises UsageError."""
    named = "6 to 20 lowercase letters, digits and hyphens, since service accounts are named after it"
    rules = (
        ("--region", deployment.region, r"[a-z]+-[a-z]+[0-9]+", "a region such as europe-west1"),
        ("--name", deployment.name, r"[a-z][a-z0-9-]{4,18}[a-z0-9]", named),
        ("--memory", deployment.job_memory, r"[0-9]+(Mi|Gi)", "a size such as 512Mi"),
        ("--cpu", deployment.cpu, r"[1-9][0-9]*m?", "a number of CPUs such as 1 or 500m"),
        (
            "--image",
            deployment.image,
            r"\S*",
            "an image such as europe-west1-docker.pkg.dev/my-project/bqdump/bqdump:0.2.0",
        ),
        ("--service-account", deployment.job_account, r"\S+@\S+", "the email address of a service account"),
    )
    if deployment.settings.target.folder:
        cause = "a Cloud Run job cannot export to a folder of this machine"
        raise UsageError("render", "", cause, "Use a bucket.", setting="to")
    for name in ADDRESSES:
        if getattr(deployment.settings, name):
            hint = f"Use --secret {BY_NAME[name].env}=SECRET:VERSION instead."
            raise UsageError("render", "", "anybody who sees the job could read it", hint, setting=name)
    refuse_append_only(deployment)
    refuse_twice(deployment)
    for flag, value, pattern, expected in rules:
        if not re.fullmatch(pattern, value):
            raise UsageError("render", flag, f"invalid value {value!r}; expected {expected}")
    check_schedule("--schedule", deployment.schedule)
    if deployment.time_zone not in (zones := available_timezones()) and zones:
        cause = f"invalid value {deployment.time_zone!r}; expected a time zone such as Europe/Berlin"
        raise UsageError("render", "--time-zone", cause)
    return deployment
