resource "google_workflows_workflow" "exports" {
  count = var.workflow ? 1 : 0

  project             = var.project
  region              = var.region
  name                = var.name
  description         = "Exports a list of datasets with the Cloud Run job ${var.name}"
  service_account     = google_service_account.workflow[0].email
  source_contents     = file("${path.module}/workflow.yaml")
  call_log_level      = "LOG_ERRORS_ONLY"
  deletion_protection = var.deletion_protection
  labels              = local.labels

  user_env_vars = {
    BQDUMP_JOB = module.jobs.names["run"]
  }

  depends_on = [google_project_service.used]
}

resource "google_cloud_scheduler_job" "workflow" {
  count = local.by_workflow ? 1 : 0

  project          = var.project
  region           = var.region
  name             = "${var.name}-workflow"
  description      = "Starts the workflow ${var.name}"
  schedule         = var.workflow_schedule
  time_zone        = var.time_zone
  attempt_deadline = "180s"

  retry_config {
    retry_count          = 3
    min_backoff_duration = "30s"
  }

  http_target {
    uri         = "https://workflowexecutions.googleapis.com/v1/${google_workflows_workflow.exports[0].id}/executions"
    http_method = "POST"
    body        = base64encode(jsonencode({ argument = jsonencode({ exports = var.exports }) }))
    headers     = { "Content-Type" = "application/json" }

    oauth_token {
      service_account_email = google_service_account.scheduler[0].email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_project_service.used, google_project_iam_member.scheduler_starts_workflow]
}
