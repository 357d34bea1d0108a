"""Service accounts and grants, as commands with the reason of each. Every command may be repeated."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from bqdump.core.sets.selection import names_of
from bqdump.core.settings.target import BUCKET, Target
from bqdump.core.settings.values import KMS_KEY
from bqdump.render import append_only
from bqdump.render.commands import COPY, DRILL, PRUNE, RESTORE, RUN
from bqdump.render.deployment import Deployment

# What accounts are called, by the command that they run.
TITLES = {RUN: "bqdump: exports", COPY: "bqdump: copies exports", PRUNE: "bqdump: prunes", RESTORE: "bqdump: restores"}
WHY_NO_LESS = "it cannot be granted more narrowly"


class Grant(NamedTuple):
    """A role, the resource it is granted on, the reason, and the command that grants it.

    made_by: commands that make a custom role: undelete, which may fail; update; create, if the update fails.
    instead_of: a command that removes a wider grant first, which may not be there.
    """

    role: str
    on: str
    why: str
    command: list[str]
    made_by: tuple[list[str], ...] = ()
    instead_of: tuple[str, ...] = ()


class Account(NamedTuple):
    """A service account and its grants."""

    email: str
    title: str
    grants: list[Grant]


def build_account(deployment: Deployment) -> Account:
    """The account that builds the image, with the fewest permissions that suffice."""
    project, email = deployment.project, deployment.account(f"{deployment.name}-build")
    # Cloud Build reads the sources from the bucket that `gcloud builds submit` creates for a project.
    bucket = f"{project.rpartition(':')[2]}_cloudbuild"
    reads = _on_project(project, email, "roles/storage.objectViewer", f"reads the sources in bucket {bucket} only")
    only = f'expression=resource.name.startsWith("projects/_/buckets/{bucket}"),title={bucket}'
    reads.command[reads.command.index("--condition=None")] = f"--condition={only}"
    grants = [
        _on_repository(deployment, email, "roles/artifactregistry.writer", "pushes images to this repository"),
        reads,
        _on_project(project, email, "roles/logging.logWriter", "writes the log of the build"),
    ]
    return Account(email, "bqdump: builds the image", grants)


def acting_as(accounts: Sequence[Account], project: str, member: str) -> list[Account]:
    """The accounts that a member may deploy with. member: such as user:me@example.com."""
    why = "lets this member deploy what runs as the account"
    return [
        account._replace(grants=[*account.grants, _on_account(project, account.email, member, why)])
        for account in accounts
    ]


def accounts(
    deployment: Deployment,
    *,
    schedule: bool = True,
    workflow: bool = False,
    copies: Target | None = None,
    locked: bool = False,
) -> list[Account]:
    """Every account that the job needs, with the fewest permissions that suffice.

    copies: where a copy writes to.
    locked: copies are locked.
    """
    title = TITLES.get(deployment.command, TITLES[RUN])
    if deployment.command == COPY:
        grants = _copier_grants(deployment, copies, locked=locked)
    elif deployment.command == PRUNE:
        grants = _pruner_grants(deployment)
    elif deployment.command == RESTORE:
        grants = _restorer_grants(deployment)
    else:
        drills = [_creates_datasets(deployment)] if deployment.command == DRILL else []
        grants = [*_job_grants(deployment), *drills]
    needed = [Account(deployment.job_account, title, grants)]
    if schedule:
        start = _starts_workflow(deployment) if workflow else _starts_job(deployment)
        needed.append(Account(deployment.scheduler_account, "bqdump: starts exports on schedule", [start]))
    if workflow:
        title = "bqdump: runs the job for a list of datasets"
        needed.append(Account(deployment.workflow_account, title, _workflow_grants(deployment)))
    return needed


def _job_grants(deployment: Deployment) -> list[Grant]:
    email = deployment.job_account
    pays = f"starts jobs in the project that pays; {WHY_NO_LESS}"
    grants = [
        *_on_datasets(deployment, email, "roles/bigquery.dataViewer", "lists the tables and exports them"),
        *see_row_policies(deployment),
        _on_project(deployment.project, email, "roles/bigquery.jobUser", pays),
    ]
    bucket = deployment.settings.target.bucket
    grants.extend(_appends(bucket, email) if deployment.append_only else _writes(bucket, email))
    grants.extend(_uses(deployment))
    if deployment.reads:
        reads = "opens read sessions, for the read route"
        grants.append(_on_project(deployment.project, email, "roles/bigquery.readSessionUser", reads))
    return grants


def _uses(deployment: Deployment) -> list[Grant]:
    """The secrets that are variables of the job, and the key that it signs with."""
    email, sign = deployment.job_account, deployment.settings.sign
    secrets = dict.fromkeys(secret.name for secret in deployment.secrets)
    keys = [_on_key(sign.removeprefix(KMS_KEY), email)] if sign.startswith(KMS_KEY) else []
    return [*(_on_secret(deployment, secret, email) for secret in secrets), *keys]


def _copier_grants(deployment: Deployment, copies: Target | None, *, locked: bool) -> list[Grant]:
    """Reads the exports, and writes where the copies are; in S3, with the credentials of AWS that the job has."""
    email, exports = deployment.job_account, deployment.settings.target.bucket
    grants = [_on_bucket(exports, email, append_only.READS, "reads the exports, and changes none")]
    grants.append(_on_bucket(exports, email, *LOOKS))
    if copies and copies.scheme == BUCKET and locked:
        role, title = f"{deployment.name.replace('-', '_')}_copier", "bqdump: copy to a vault"
        why = "creates, reads and locks copies; cannot delete or replace any, nor end a lock"
        made_by = _custom_role(deployment.project, role, title, append_only.COPIER)
        granted = _on_bucket(copies.bucket, email, f"projects/{deployment.project}/roles/{role}", why)
        grants.append(granted._replace(made_by=made_by))
    elif copies and copies.scheme == BUCKET:
        grants.extend(_writes(copies.bucket, email))
    return [*grants, *_uses(deployment)]


def _pruner_grants(deployment: Deployment) -> list[Grant]:
    """Deletes runs, where none of their jobs is at work."""
    email = deployment.job_account
    grants = _writes(deployment.settings.target.bucket, email)
    why = f"sees whether jobs of an unfinished run are still at work; {WHY_NO_LESS}"
    return [*grants, _on_project(deployment.project, email, "roles/bigquery.resourceViewer", why), *_uses(deployment)]


def _restorer_grants(deployment: Deployment) -> list[Grant]:
    """Reads the export, notes there how far the restore is, and makes the dataset."""
    email = deployment.job_account
    grants = _writes(deployment.settings.target.bucket, email)
    why = f"creates the restored dataset, which it then owns; into another one, grant dataOwner there; {WHY_NO_LESS}"
    return [*grants, _on_project(deployment.project, email, "roles/bigquery.user", why), *_uses(deployment)]


def _custom_role(project: str, role: str, title: str, permissions: Sequence[str]) -> tuple[list[str], ...]:
    """Commands that make a custom role: see Grant.

    A deleted role keeps its name for some days, and cannot be granted until it is undeleted. One that exists may lack
    permissions that an earlier version did not need.
    """
    roles, where = ["gcloud", "iam", "roles"], [role, f"--project={project}"]
    content = [f"--title={title}", f"--permissions={','.join(permissions)}"]
    return [*roles, "undelete", *where], [*roles, "update", *where, *content], [*roles, "create", *where, *content]


def _writes(bucket: str, email: str) -> list[Grant]:
    writes = "creates, reads, lists and deletes objects of this bucket; cannot change who may read them"
    return [_on_bucket(bucket, email, "roles/storage.objectUser", writes), _on_bucket(bucket, email, *LOOKS)]


def _appends(bucket: str, email: str) -> list[Grant]:
    """Creates and reads objects, and replaces or deletes pointers and notes only."""
    replaces = "replaces pointers such as latest.json, and the notes of a running export; no file of an earlier run"
    some = _on_bucket(bucket, email, append_only.REPLACES, replaces)
    wide = [*some.command, "--condition=None"]
    wide[wide.index("add-iam-policy-binding")] = "remove-iam-policy-binding"
    condition = f"--condition=expression={append_only.expression()},title={append_only.TITLE}"
    grants = [
        _on_bucket(bucket, email, append_only.CREATES, "creates objects of this bucket; cannot replace or delete any"),
        _on_bucket(bucket, email, append_only.READS, "reads and lists objects of this bucket"),
        _on_bucket(bucket, email, *LOOKS),
    ]
    return [
        some._replace(command=[*some.command, condition], instead_of=tuple(wide)),
        *(grant._replace(command=[*grant.command, "--condition=None"]) for grant in grants),
    ]


def _creates_datasets(deployment: Deployment) -> Grant:
    why = f"creates the scratch dataset of a drill, which it then owns; {WHY_NO_LESS}"
    return _on_project(deployment.project, deployment.job_account, "roles/bigquery.user", why)


def _starts_job(deployment: Deployment) -> Grant:
    return _on_job(deployment, deployment.scheduler_account, "roles/run.invoker", "starts this job, without overrides")


def _starts_workflow(deployment: Deployment) -> Grant:
    why = f"starts workflows; {WHY_NO_LESS}"
    return _on_project(deployment.project, deployment.scheduler_account, "roles/workflows.invoker", why)


def _workflow_grants(deployment: Deployment) -> list[Grant]:
    project, email = deployment.project, deployment.workflow_account
    starts = "starts this job with other settings and another number of tasks"
    waits = "waits for the job: the operations that it polls belong to the project, not to the job"
    counts = "counts the tables, to choose the number of tasks"
    return [
        _on_job(deployment, email, "roles/run.jobsExecutorWithOverrides", starts),
        _on_project(project, email, "roles/run.viewer", waits),
        *_on_datasets(deployment, email, "roles/bigquery.metadataViewer", counts),
        _on_project(project, email, "roles/logging.logWriter", "writes the workflow's log lines"),
    ]


LOOKS = ("roles/storage.legacyBucketReader", "reads the bucket's location, retention policy and soft delete policy")
# The permissions that each role is granted for. https://cloud.google.com/iam/docs/roles-permissions
PERMISSIONS = {
    "roles/bigquery.dataViewer": (
        "bigquery.datasets.get",
        "bigquery.datasets.getIamPolicy",
        "bigquery.tables.list",
        "bigquery.tables.get",
        "bigquery.tables.getData",
        "bigquery.tables.export",
        "bigquery.routines.list",
        "bigquery.routines.get",
        "bigquery.models.list",
    ),
    "roles/bigquery.jobUser": ("bigquery.jobs.create",),
    "roles/bigquery.readSessionUser": ("bigquery.readsessions.create", "bigquery.readsessions.getData"),
    "roles/storage.objectUser": (
        "storage.objects.create",
        "storage.objects.get",
        "storage.objects.list",
        "storage.objects.update",
        "storage.objects.delete",
    ),
    "roles/storage.objectCreator": ("storage.objects.create",),
    "roles/storage.objectViewer": ("storage.objects.get", "storage.objects.list"),
    "roles/storage.legacyBucketReader": ("storage.buckets.get",),
}
# Of the custom role: to find row access policies, and to record their members.
SEE_ROW_POLICIES = (
    "bigquery.rowAccessPolicies.list",
    "bigquery.rowAccessPolicies.get",
    "bigquery.rowAccessPolicies.getIamPolicy",
)


def grant_of(deployment: Deployment, permission: str) -> Grant | None:
    """The grant that gives the job's account this permission, None for one that no export needs."""
    if permission in SEE_ROW_POLICIES:
        return see_row_policies(deployment)[0]
    return next((grant for grant in _job_grants(deployment) if permission in PERMISSIONS.get(grant.role, ())), None)


def commands(grant: Grant) -> list[str]:
    """The grant as lines of a shell script."""
    if not grant.made_by:
        first = [f"{shlex.join(grant.instead_of)} >/dev/null 2>&1 || :"] if grant.instead_of else []
        return [*first, shlex.join(grant.command)]
    undelete, update, create = map(shlex.join, grant.made_by)
    lines = [f"{undelete} >/dev/null 2>&1 || :", f"{update} >/dev/null 2>&1 ||", f"  {create}"]
    return [*lines, shlex.join(grant.command)]


def see_row_policies(deployment: Deployment) -> list[Grant]:
    """A custom role on each dataset: the smallest predefined role with these permissions is bigquery.dataOwner."""
    project, role = deployment.settings.project, f"{deployment.name.replace('-', '_')}_row_policies"
    why = "detects row access policies, which hide rows, and records their members; without it, runs need --allow "
    why += "unseen-row-policies"
    granted = _on_datasets(deployment, deployment.job_account, f"projects/{project}/roles/{role}", why)
    made_by = _custom_role(project, role, "bqdump: see row access policies", SEE_ROW_POLICIES)
    return [grant._replace(made_by=made_by) for grant in granted]


def _member(email: str) -> str:
    return f"serviceAccount:{email}"


def _on_datasets(deployment: Deployment, email: str, role: str, why: str) -> list[Grant]:
    """Grants on each dataset; on the project where a pattern names them, also for those that are created later."""
    project = deployment.settings.project
    names, patterns = names_of(deployment.settings)
    if patterns:
        return [_on_project(project, email, role, f"{why}; on the project, as a pattern names the datasets")]
    return [_on_dataset(deployment, name, email, role, why) for name in names]


def _on_dataset(deployment: Deployment, dataset: str, email: str, role: str, why: str) -> Grant:
    project = deployment.settings.project
    statement = f'GRANT `{role}` ON SCHEMA `{project}`.`{dataset}` TO "{_member(email)}"'
    command = ["bq", f"--project_id={deployment.project}", "query", "--use_legacy_sql=false", statement]
    return Grant(role, f"dataset {project}.{dataset}", why, command)


def _on_project(project: str, email: str, role: str, why: str) -> Grant:
    bind = ["gcloud", "projects", "add-iam-policy-binding", project]
    command = [*bind, f"--member={_member(email)}", f"--role={role}", "--condition=None", "--format=none"]
    return Grant(role, f"project {project}", why, command)


def _on_bucket(bucket: str, email: str, role: str, why: str) -> Grant:
    bind = ["gcloud", "storage", "buckets", "add-iam-policy-binding", f"gs://{bucket}"]
    command = [*bind, f"--member={_member(email)}", f"--role={role}", "--format=none"]
    return Grant(role, f"bucket {bucket}", why, command)


def _on_repository(deployment: Deployment, email: str, role: str, why: str) -> Grant:
    bind = ["gcloud", "artifacts", "repositories", "add-iam-policy-binding", deployment.name]
    where = [f"--project={deployment.project}", f"--location={deployment.region}"]
    return Grant(role, f"repository {deployment.name}", why, [*bind, *where, *_grant_of(email, role)])


def _on_secret(deployment: Deployment, secret: str, email: str) -> Grant:
    role, why = "roles/secretmanager.secretAccessor", "reads this secret, which is a variable of the job"
    bind = ["gcloud", "secrets", "add-iam-policy-binding", secret, f"--project={deployment.project}"]
    return Grant(role, f"secret {secret}", why, [*bind, *_grant_of(email, role)])


def _on_key(version: str, email: str) -> Grant:
    role, why = (
        "roles/cloudkms.signerVerifier",
        "signs manifests with this key, which never leaves Cloud KMS",
    )
    _, project, _, location, _, ring, _, key, *_ = version.split("/")
    bind = ["gcloud", "kms", "keys", "add-iam-policy-binding", key]
    where = [f"--project={project}", f"--location={location}", f"--keyring={ring}"]
    return Grant(
        role, f"key {version.partition('/cryptoKeyVersions/')[0]}", why, [*bind, *where, *_grant_of(email, role)]
    )


def _on_account(project: str, email: str, member: str, why: str) -> Grant:
    role = "roles/iam.serviceAccountUser"
    bind = ["gcloud", "iam", "service-accounts", "add-iam-policy-binding", email, f"--project={project}"]
    return Grant(role, f"account {email}", why, [*bind, f"--member={member}", f"--role={role}", "--format=none"])


def _grant_of(email: str, role: str) -> list[str]:
    return [f"--member={_member(email)}", f"--role={role}", "--format=none"]


def _on_job(deployment: Deployment, email: str, role: str, why: str) -> Grant:
    bind = ["gcloud", "run", "jobs", "add-iam-policy-binding", deployment.job]
    where = [f"--project={deployment.project}", f"--region={deployment.region}"]
    command = [*bind, *where, f"--member={_member(email)}", f"--role={role}", "--format=none"]
    return Grant(role, f"job {deployment.job}", why, command)
