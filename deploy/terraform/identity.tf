# Accounts and their permissions. SECURITY.md has the same list as a table.

locals {
  accounts = merge(
    { job = google_service_account.job.name, build = google_service_account.build.name },
    { for command, account in google_service_account.own : local.rows.commands[command].account => account.name },
    { for account in google_service_account.scheduler : "scheduler" => account.name },
    { for account in google_service_account.workflow : "workflow" => account.name },
    { for account in google_service_account.events : "events" => account.name },
  )

  # What an append-only exporter may replace and delete: as `bqdump render iam --append-only` prints it.
  replaceable = join(" || ", [
    "resource.name.endsWith(\"/_bqdump/latest.json\")",
    "resource.name.endsWith(\"/_bqdump/newest.json\")",
    "resource.name.endsWith(\"/_bqdump/project.json\")",
    "resource.name.extract(\"/_bqdump/iceberg/{table}/metadata/version-hint.text\") != \"\"",
    "resource.name.extract(\"/_bqdump/runs/{run}/planner.json\") != \"\"",
    "resource.name.extract(\"/_bqdump/runs/{run}/publisher.json\") != \"\"",
    "resource.name.extract(\"/_bqdump/runs/{run}/claims/\") != \"\"",
    "resource.name.extract(\"/_bqdump/runs/{run}/sessions/\") != \"\"",
    "resource.name.extract(\"/_bqdump/runs/{run}/data/\") != \"\"",
    "resource.name.extract(\"/_bqdump/projects/{run}/planner.json\") != \"\"",
    "resource.name.extract(\"/_bqdump/doctor/{name}\") != \"\"",
  ])
  appending = toset(["roles/storage.objectCreator", "roles/storage.objectViewer"])
}

resource "google_service_account" "job" {
  project      = var.project
  account_id   = var.name
  display_name = substr("bqdump: exports ${var.dataset} to ${var.bucket}", 0, 100)

  lifecycle {
    precondition {
      condition     = length(local.refused) == 0
      error_message = join(" ", local.refused)
    }
  }
}

# A new account is not known everywhere at once: https://cloud.google.com/iam/docs/service-accounts-create
resource "time_sleep" "accounts_known" {
  create_duration = "30s"

  triggers = merge(
    { job = google_service_account.job.member, build = google_service_account.build.member },
    { for command, account in google_service_account.own : command => account.member },
    { for account in google_service_account.scheduler : "scheduler" => account.member },
    { for account in google_service_account.workflow : "workflow" => account.member },
    { for account in google_service_account.events : "events" => account.member },
  )
}

# Lists the tables and exports them.
resource "google_bigquery_dataset_iam_member" "read_dataset" {
  for_each = local.named_datasets

  project    = local.source_project
  dataset_id = each.value
  role       = "roles/bigquery.dataViewer"
  member     = time_sleep.accounts_known.triggers["job"]
}

# The same for every dataset of the project, where a pattern names them: also for those that are created later.
resource "google_project_iam_member" "read_datasets" {
  count = local.has_pattern ? 1 : 0

  project = local.source_project
  role    = "roles/bigquery.dataViewer"
  member  = google_service_account.job.member
}

# The same in other projects, for the workflow's items.
resource "google_bigquery_dataset_iam_member" "read_datasets_elsewhere" {
  for_each = { for key, pair in local.elsewhere : key => pair if pair.dataset != "" }

  project    = each.value.project
  dataset_id = each.value.dataset
  role       = "roles/bigquery.dataViewer"
  member     = time_sleep.accounts_known.triggers["job"]
}

resource "google_project_iam_member" "read_projects_elsewhere" {
  for_each = { for key, pair in local.elsewhere : key => pair if pair.dataset == "" }

  project = each.value.project
  role    = "roles/bigquery.dataViewer"
  member  = time_sleep.accounts_known.triggers["job"]
}

# Starts jobs in the billing project. This role cannot be granted more narrowly.
resource "google_project_iam_member" "run_jobs" {
  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = time_sleep.accounts_known.triggers["job"]
}

# Opens read sessions. Only the read route needs this.
resource "google_project_iam_member" "read_sessions" {
  count = var.read_route ? 1 : 0

  project = var.project
  role    = "roles/bigquery.readSessionUser"
  member  = time_sleep.accounts_known.triggers["job"]
}

# The accounts of commands that the export's account has no permissions for: copier, pruner, restorer.
resource "google_service_account" "own" {
  for_each = { for command in keys(local.commands) : command => local.rows.commands[command].account if local.rows.commands[command].account != "" }

  project      = var.project
  account_id   = "${var.name}-${each.value}"
  display_name = "bqdump: ${each.value}"
}

locals {
  exported_buckets = setunion(local.other_buckets, [var.bucket])
  dest_buckets     = [for found in regexall("^gs://([^/]+)", local.dest) : found[0]]
  # By command: the roles on buckets. A copier reads the exports, and writes where the copies are.
  own_on_buckets = merge(
    {
      for pair in setproduct(keys(google_service_account.own), local.exported_buckets, ["roles/storage.objectUser", "roles/storage.legacyBucketReader"]) :
      join("/", pair) => { command = pair[0], bucket = pair[1], role = pair[0] == "copy" && pair[2] == "roles/storage.objectUser" ? "roles/storage.objectViewer" : pair[2] }
    },
    {
      for pair in setproduct(local.dest_buckets, ["roles/storage.objectUser", "roles/storage.legacyBucketReader"]) :
      "copy/to/${join("/", pair)}" => { command = "copy", bucket = pair[0], role = pair[1] }
    },
  )
  # By command: a role on the project, which cannot be granted more narrowly. A drill creates its scratch dataset, which the
  # account then owns, and a restore the dataset. A prune sees whether jobs of an unfinished run are still at work.
  own_on_project = { for command, role in { drill = "roles/bigquery.user", restore = "roles/bigquery.user", prune = "roles/bigquery.resourceViewer" } : command => role if contains(keys(local.commands), command) }
}

resource "google_storage_bucket_iam_member" "own" {
  for_each = local.own_on_buckets

  bucket = var.create_bucket && each.value.bucket == var.bucket ? google_storage_bucket.exports[0].name : each.value.bucket
  role   = each.value.role
  member = time_sleep.accounts_known.triggers[each.value.command]
}

resource "google_project_iam_member" "own" {
  for_each = local.own_on_project

  project = var.project
  role    = each.value
  member  = time_sleep.accounts_known.triggers[each.key == "drill" ? "job" : each.key]
}

# Finds row access policies, which would hide rows from the export, and reads their members, which the manifest records.
# No narrower predefined role has these permissions.
resource "google_project_iam_custom_role" "row_policies" {
  count = var.detect_row_policies ? 1 : 0

  project     = local.source_project
  role_id     = "${replace(var.name, "-", "_")}_row_policies"
  title       = "bqdump: see row access policies"
  description = "Lists row access policies and their members, to detect tables whose export would lack rows."
  permissions = ["bigquery.rowAccessPolicies.list", "bigquery.rowAccessPolicies.get", "bigquery.rowAccessPolicies.getIamPolicy"]
}

resource "google_bigquery_dataset_iam_member" "see_row_policies" {
  for_each = var.detect_row_policies ? local.named_datasets : []

  project    = local.source_project
  dataset_id = each.value
  role       = google_project_iam_custom_role.row_policies[0].id
  member     = time_sleep.accounts_known.triggers["job"]
}

resource "google_project_iam_member" "see_row_policies" {
  count = var.detect_row_policies && local.has_pattern ? 1 : 0

  project = local.source_project
  role    = google_project_iam_custom_role.row_policies[0].id
  member  = google_service_account.job.member
}

resource "google_project_iam_custom_role" "row_policies_elsewhere" {
  for_each = var.detect_row_policies ? local.other_projects : []

  project     = each.value
  role_id     = "${replace(var.name, "-", "_")}_row_policies"
  title       = "bqdump: see row access policies"
  description = "Lists row access policies and their members, to detect tables whose export would lack rows."
  permissions = ["bigquery.rowAccessPolicies.list", "bigquery.rowAccessPolicies.get", "bigquery.rowAccessPolicies.getIamPolicy"]
}

resource "google_bigquery_dataset_iam_member" "see_row_policies_elsewhere" {
  for_each = { for key, pair in local.elsewhere : key => pair if var.detect_row_policies && pair.dataset != "" }

  project    = each.value.project
  dataset_id = each.value.dataset
  role       = google_project_iam_custom_role.row_policies_elsewhere[each.value.project].id
  member     = time_sleep.accounts_known.triggers["job"]
}

resource "google_project_iam_member" "see_row_policies_elsewhere" {
  for_each = { for key, pair in local.elsewhere : key => pair if var.detect_row_policies && pair.dataset == "" }

  project = each.value.project
  role    = google_project_iam_custom_role.row_policies_elsewhere[each.value.project].id
  member  = time_sleep.accounts_known.triggers["job"]
}

# Creates, reads, lists and deletes objects in this bucket. Cannot change who may read them.
# With append_only, it replaces and deletes only pointers such as latest.json, and the notes of a running export.
resource "google_storage_bucket_iam_member" "write_objects" {
  bucket = var.create_bucket ? google_storage_bucket.exports[0].name : var.bucket
  role   = "roles/storage.objectUser"
  member = time_sleep.accounts_known.triggers["job"]

  dynamic "condition" {
    for_each = var.append_only ? [local.replaceable] : []

    content {
      title      = "bqdump-append-only"
      expression = condition.value
    }
  }
}

# Creates and reads objects in this bucket, replaces and deletes none.
resource "google_storage_bucket_iam_member" "append_objects" {
  for_each = var.append_only ? local.appending : []

  bucket = var.create_bucket ? google_storage_bucket.exports[0].name : var.bucket
  role   = each.value
  member = time_sleep.accounts_known.triggers["job"]
}

# Reads the bucket's location, retention policy and soft delete setting (storage.buckets.get).
resource "google_storage_bucket_iam_member" "see_bucket" {
  bucket = var.create_bucket ? google_storage_bucket.exports[0].name : var.bucket
  role   = "roles/storage.legacyBucketReader"
  member = time_sleep.accounts_known.triggers["job"]
}

# The same in the buckets of the workflow's items, which exist already.
resource "google_storage_bucket_iam_member" "write_objects_elsewhere" {
  for_each = local.other_buckets

  bucket = each.value
  role   = "roles/storage.objectUser"
  member = google_service_account.job.member

  dynamic "condition" {
    for_each = var.append_only ? [local.replaceable] : []

    content {
      title      = "bqdump-append-only"
      expression = condition.value
    }
  }
}

resource "google_storage_bucket_iam_member" "append_objects_elsewhere" {
  for_each = { for pair in setproduct(local.other_buckets, local.appending) : join("/", pair) => pair if var.append_only }

  bucket = each.value[0]
  role   = each.value[1]
  member = google_service_account.job.member
}

resource "google_storage_bucket_iam_member" "see_buckets_elsewhere" {
  for_each = local.other_buckets

  bucket = each.value
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.job.member
}

# Copies published runs to these buckets, which exist already. A copy replaces and deletes its own notes, so append_only
# is refused with it.
resource "google_storage_bucket_iam_member" "write_copies" {
  for_each = local.copy_buckets

  bucket = each.value
  role   = "roles/storage.objectUser"
  member = google_service_account.job.member
}

resource "google_storage_bucket_iam_member" "see_buckets_of_copies" {
  for_each = local.copy_buckets

  bucket = each.value
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.job.member
}

resource "google_service_account" "scheduler" {
  count = length(compact(concat([local.by_workflow ? var.workflow_schedule : var.schedule], [for job in var.jobs : lookup(job, "schedule", "")]))) == 0 ? 0 : 1

  project      = var.project
  account_id   = "${var.name}-scheduler"
  display_name = "bqdump: starts exports on schedule"
}

# Starts the workflow. This role cannot be granted more narrowly.
resource "google_project_iam_member" "scheduler_starts_workflow" {
  count = local.by_workflow ? 1 : 0

  project = var.project
  role    = "roles/workflows.invoker"
  member  = time_sleep.accounts_known.triggers["scheduler"]
}

resource "google_service_account" "workflow" {
  count = var.workflow ? 1 : 0

  project      = var.project
  account_id   = "${var.name}-workflow"
  display_name = "bqdump: runs the job for a list of datasets"
}

# Starts this job only, with other settings and another number of tasks.
resource "google_cloud_run_v2_job_iam_member" "workflow_runs_job" {
  count = var.workflow ? 1 : 0

  project  = var.project
  location = var.region
  name     = module.jobs.names["run"]
  role     = "roles/run.jobsExecutorWithOverrides"
  member   = time_sleep.accounts_known.triggers["workflow"]
}

# Polls the job's operations, which belong to the project.
resource "google_project_iam_member" "workflow_waits" {
  count = var.workflow ? 1 : 0

  project = var.project
  role    = "roles/run.viewer"
  member  = time_sleep.accounts_known.triggers["workflow"]
}

# Counts the tables of the dataset to choose the number of tasks.
resource "google_bigquery_dataset_iam_member" "workflow_counts_tables" {
  for_each = var.workflow ? local.named_datasets : []

  project    = local.source_project
  dataset_id = each.value
  role       = "roles/bigquery.metadataViewer"
  member     = time_sleep.accounts_known.triggers["workflow"]
}

resource "google_project_iam_member" "workflow_counts_tables" {
  count = var.workflow && local.has_pattern ? 1 : 0

  project = local.source_project
  role    = "roles/bigquery.metadataViewer"
  member  = time_sleep.accounts_known.triggers["workflow"]
}

resource "google_bigquery_dataset_iam_member" "workflow_counts_tables_elsewhere" {
  for_each = { for key, pair in local.elsewhere : key => pair if var.workflow && pair.dataset != "" }

  project    = each.value.project
  dataset_id = each.value.dataset
  role       = "roles/bigquery.metadataViewer"
  member     = time_sleep.accounts_known.triggers["workflow"]
}

resource "google_project_iam_member" "workflow_counts_tables_elsewhere" {
  for_each = { for key, pair in local.elsewhere : key => pair if var.workflow && pair.dataset == "" }

  project = each.value.project
  role    = "roles/bigquery.metadataViewer"
  member  = time_sleep.accounts_known.triggers["workflow"]
}

# Writes the workflow's own log lines.
resource "google_project_iam_member" "workflow_logs" {
  count = var.workflow ? 1 : 0

  project = var.project
  role    = "roles/logging.logWriter"
  member  = time_sleep.accounts_known.triggers["workflow"]
}

# Builds the image: reads the sources that gcloud uploads, pushes to this repository, and writes its log.
resource "google_service_account" "build" {
  project      = var.project
  account_id   = "${var.name}-build"
  display_name = "bqdump: builds the image"
}

resource "google_artifact_registry_repository_iam_member" "build_pushes" {
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = time_sleep.accounts_known.triggers["build"]
}

# gcloud creates the bucket of the sources with the first build.
resource "google_project_iam_member" "build_reads_sources" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = time_sleep.accounts_known.triggers["build"]

  condition {
    title      = "sources_of_builds"
    expression = "resource.name.startsWith(\"projects/_/buckets/${reverse(split(":", var.project))[0]}_cloudbuild\")"
  }
}

resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = time_sleep.accounts_known.triggers["build"]
}

# Reads the secrets that are variables of the jobs.
resource "google_secret_manager_secret_iam_member" "read_secrets" {
  for_each = { for pair in setproduct(distinct([for secret in var.secrets : secret.secret]), concat(["job"], [for command in keys(google_service_account.own) : command if command != "prune"])) : join("/", pair) => pair }

  project   = var.project
  secret_id = each.value[0]
  role      = "roles/secretmanager.secretAccessor"
  member    = time_sleep.accounts_known.triggers[each.value[1]]
}

# Signs manifests with a key in Cloud KMS.
resource "google_kms_crypto_key_iam_member" "sign" {
  for_each = {
    for pair in setproduct([for found in regexall("^gcpkms://(.+)/cryptoKeyVersions/", lookup(var.settings, "BQDUMP_SIGN", "")) : found[0]], concat(["job"], [for command in keys(google_service_account.own) : command if command != "prune"])) : join(" ", pair) => pair
  }

  crypto_key_id = each.value[0]
  role          = "roles/cloudkms.signerVerifier"
  member        = time_sleep.accounts_known.triggers[each.value[1]]
}

# Deploys what runs as these accounts.
resource "google_service_account_iam_member" "deploys" {
  for_each = {
    for pair in setproduct(var.deployers, keys(local.accounts)) : "${pair[0]}/${pair[1]}" => { member = pair[0], account = pair[1] }
  }

  service_account_id = local.accounts[each.value.account]
  role               = "roles/iam.serviceAccountUser"
  member             = each.value.member
}
