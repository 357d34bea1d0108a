# Accounts and their permissions. SECURITY.md has the same list as a table.

resource "google_service_account" "job" {
  project      = var.project
  account_id   = var.name
  display_name = "bqdump: exports ${var.dataset} to ${var.bucket}"
}

# Lists the tables and exports them.
resource "google_bigquery_dataset_iam_member" "read_dataset" {
  project    = local.source_project
  dataset_id = var.dataset
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.job.member
}

# Starts jobs in the billing project. This role cannot be granted more narrowly.
resource "google_project_iam_member" "run_jobs" {
  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.job.member
}

# Opens read sessions. Only the read route needs this.
resource "google_project_iam_member" "read_sessions" {
  count = var.read_route ? 1 : 0

  project = var.project
  role    = "roles/bigquery.readSessionUser"
  member  = google_service_account.job.member
}

# Creates the scratch dataset of a drill, which the account then owns. This role cannot be granted more narrowly.
resource "google_project_iam_member" "drill_creates_datasets" {
  count = var.drill_schedule == "" ? 0 : 1

  project = var.project
  role    = "roles/bigquery.user"
  member  = google_service_account.job.member
}

# Finds row access policies, which would hide rows from the export, and reads their members, which the manifest records.
# No narrower predefined role has these permissions.
resource "google_project_iam_custom_role" "row_policies" {
  count = var.detect_row_policies ? 1 : 0

  project     = local.source_project
  role_id     = "${replace(var.name, "-", "_")}_row_policies"
  title       = "bqdump: see row access policies"
  description = "Lists row access policies and their members, to detect tables whose export would lack rows."
  permissions = ["bigquery.rowAccessPolicies.list", "bigquery.rowAccessPolicies.getIamPolicy"]
}

resource "google_bigquery_dataset_iam_member" "see_row_policies" {
  count = var.detect_row_policies ? 1 : 0

  project    = local.source_project
  dataset_id = var.dataset
  role       = google_project_iam_custom_role.row_policies[0].id
  member     = google_service_account.job.member
}

# Creates, reads, lists and deletes objects in this bucket. Cannot change who may read them.
resource "google_storage_bucket_iam_member" "write_objects" {
  bucket = var.create_bucket ? google_storage_bucket.exports[0].name : var.bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.job.member
}

# Reads the bucket's location, retention policy and soft delete setting (storage.buckets.get).
resource "google_storage_bucket_iam_member" "see_bucket" {
  bucket = var.create_bucket ? google_storage_bucket.exports[0].name : var.bucket
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.job.member
}

resource "google_service_account" "scheduler" {
  count = length(local.scheduled) == 0 && !local.by_workflow ? 0 : 1

  project      = var.project
  account_id   = "${var.name}-scheduler"
  display_name = "bqdump: starts exports on schedule"
}

# Starts the workflow. This role cannot be granted more narrowly.
resource "google_project_iam_member" "scheduler_starts_workflow" {
  count = local.by_workflow ? 1 : 0

  project = var.project
  role    = "roles/workflows.invoker"
  member  = google_service_account.scheduler[0].member
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
  name     = google_cloud_run_v2_job.jobs["export"].name
  role     = "roles/run.jobsExecutorWithOverrides"
  member   = google_service_account.workflow[0].member
}

# Polls the job's operations, which belong to the project.
resource "google_project_iam_member" "workflow_waits" {
  count = var.workflow ? 1 : 0

  project = var.project
  role    = "roles/run.viewer"
  member  = google_service_account.workflow[0].member
}

# Counts the tables of the dataset to choose the number of tasks.
resource "google_bigquery_dataset_iam_member" "workflow_counts_tables" {
  count = var.workflow ? 1 : 0

  project    = local.source_project
  dataset_id = var.dataset
  role       = "roles/bigquery.metadataViewer"
  member     = google_service_account.workflow[0].member
}

# Writes the workflow's own log lines.
resource "google_project_iam_member" "workflow_logs" {
  count = var.workflow ? 1 : 0

  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.workflow[0].member
}
