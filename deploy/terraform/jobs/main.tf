# The Cloud Run jobs of a deployment, with their schedules and alerts: one for each command that it is given. What a command
# is called, how it runs and what alerts say about it comes from rows.json, which `python -m bqdump_reference` writes.

locals {
  rows  = jsondecode(file("${path.module}/rows.json"))
  names = { for command, row in local.rows.commands : command => "${var.deployment.name}${row.job}" }

  scheduled = { for command, job in var.jobs : command => job if job.schedule != "" }
}

resource "google_cloud_run_v2_job" "jobs" {
  for_each = var.jobs

  project             = var.deployment.project
  name                = local.names[each.key]
  location            = var.deployment.region
  deletion_protection = var.deployment.deletion_protection
  labels              = var.deployment.labels

  template {
    task_count = local.rows.commands[each.key].alone ? 1 : each.value.tasks
    labels     = var.deployment.labels

    # Parallelism is unset: Cloud Run starts as many tasks at once as it can, and accepts overrides with fewer tasks.
    template {
      service_account = each.value.account
      max_retries     = local.rows.commands[each.key].alone ? 0 : each.value.max_retries
      timeout         = var.deployment.timeout
      encryption_key  = var.deployment.job_kms_key == "" ? null : var.deployment.job_kms_key

      containers {
        image = each.value.image
        args  = concat([each.key], each.value.arguments)

        dynamic "env" {
          for_each = each.value.variables

          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = each.value.secrets

          content {
            name = env.key

            value_source {
              secret_key_ref {
                secret  = env.value.secret
                version = env.value.version
              }
            }
          }
        }

        resources {
          limits = {
            cpu    = var.deployment.cpu
            memory = each.value.memory == "" ? local.rows.commands[each.key].memory : each.value.memory
          }
        }
      }
    }
  }
}

# Starts these jobs only, without overrides.
resource "google_cloud_run_v2_job_iam_member" "scheduler_runs_job" {
  for_each = local.scheduled

  project  = var.deployment.project
  location = var.deployment.region
  name     = google_cloud_run_v2_job.jobs[each.key].name
  role     = "roles/run.invoker"
  member   = var.scheduler.member
}

resource "google_cloud_scheduler_job" "jobs" {
  for_each = local.scheduled

  project          = var.deployment.project
  region           = var.deployment.region
  name             = local.names[each.key]
  description      = "Starts the Cloud Run job ${local.names[each.key]}"
  schedule         = each.value.schedule
  time_zone        = var.deployment.time_zone
  attempt_deadline = "180s"

  # A trigger that is delivered twice starts two executions. That is safe: of two exports, the one with the later
  # snapshot time wins, every drill has a dataset of its own, and copies and prunes finish each other's work.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "30s"
  }

  http_target {
    uri         = "https://run.googleapis.com/v2/projects/${var.deployment.project}/locations/${var.deployment.region}/jobs/${local.names[each.key]}:run"
    http_method = "POST"
    body        = base64encode("{}")
    headers     = { "Content-Type" = "application/json" }

    oauth_token {
      service_account_email = var.scheduler.email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.scheduler_runs_job]
}
