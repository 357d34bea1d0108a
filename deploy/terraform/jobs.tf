# The Cloud Run jobs: the export; on a schedule also a drill, which restores the published export into a scratch dataset,
# and verify, which reads a share of its files.

locals {
  # The workflow has a schedule of its own, and starts the export with other settings.
  by_workflow = var.workflow && var.workflow_schedule != ""

  all_jobs = {
    export = {
      name        = var.name
      args        = ["run"]
      schedule    = local.by_workflow ? "" : var.schedule
      image       = local.image
      tasks       = var.tasks
      max_retries = var.max_retries
      memory      = var.memory
      variables   = {}
    }
    # One task. It is not retried: it would fail again, and its comparison is billed each time.
    drill = {
      name        = "${var.name}-drill"
      args        = ["drill"]
      schedule    = var.drill_schedule
      image       = var.verify_image == "" ? local.image : var.verify_image
      tasks       = 1
      max_retries = 0
      memory      = var.verify_memory
      variables = merge(
        { BQDUMP_DRILL_PROJECT = var.project },
        var.drill_sample == "" ? {} : { BQDUMP_DRILL_SAMPLE = var.drill_sample },
      )
    }
    verify = {
      name        = "${var.name}-verify"
      args        = ["verify", "--read=${var.verify_share}"]
      schedule    = var.verify_schedule
      image       = var.verify_image == "" ? local.image : var.verify_image
      tasks       = 1
      max_retries = 0
      memory      = var.verify_memory
      variables   = {}
    }
  }

  jobs      = { for kind, job in local.all_jobs : kind => job if kind == "export" || job.schedule != "" }
  scheduled = { for kind, job in local.jobs : kind => job if job.schedule != "" }
}

resource "google_cloud_run_v2_job" "jobs" {
  for_each = local.jobs

  project             = var.project
  name                = each.value.name
  location            = var.region
  deletion_protection = var.deletion_protection
  labels              = local.labels

  template {
    task_count = each.value.tasks
    labels     = local.labels

    # Parallelism is unset: Cloud Run starts as many tasks at once as it can, and accepts overrides with fewer tasks.
    template {
      service_account = google_service_account.job.email
      max_retries     = each.value.max_retries
      timeout         = var.timeout
      encryption_key  = var.job_kms_key == "" ? null : var.job_kms_key

      containers {
        image = each.value.image
        args  = each.value.args

        dynamic "env" {
          for_each = merge(local.environment, each.value.variables)

          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = var.secrets

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
            cpu    = var.cpu
            memory = each.value.memory
          }
        }
      }
    }
  }

  depends_on = [
    google_project_service.used,
    google_bigquery_dataset_iam_member.read_dataset,
    google_project_iam_member.run_jobs,
    google_project_iam_member.drill_creates_datasets,
    google_storage_bucket_iam_member.write_objects,
    google_storage_bucket_iam_member.see_bucket,
    google_secret_manager_secret_iam_member.read_secrets,
    google_kms_crypto_key_iam_member.sign,
  ]
}

# Starts these jobs only, without overrides.
resource "google_cloud_run_v2_job_iam_member" "scheduler_runs_job" {
  for_each = local.scheduled

  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_job.jobs[each.key].name
  role     = "roles/run.invoker"
  member   = time_sleep.accounts_known.triggers["scheduler"]
}

resource "google_cloud_scheduler_job" "jobs" {
  for_each = local.scheduled

  project          = var.project
  region           = var.region
  name             = each.value.name
  description      = "Runs the Cloud Run job ${each.value.name}"
  schedule         = each.value.schedule
  time_zone        = var.time_zone
  attempt_deadline = "180s"

  # A trigger that is delivered twice starts two executions. That is safe: of two exports, the one with the later
  # snapshot time wins, and every drill has a dataset of its own.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "30s"
  }

  http_target {
    uri         = "https://run.googleapis.com/v2/projects/${var.project}/locations/${var.region}/jobs/${each.value.name}:run"
    http_method = "POST"
    body        = base64encode("{}")
    headers     = { "Content-Type" = "application/json" }

    oauth_token {
      service_account_email = google_service_account.scheduler[0].email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_project_service.used, google_cloud_run_v2_job_iam_member.scheduler_runs_job]
}

moved {
  from = google_cloud_run_v2_job.export
  to   = google_cloud_run_v2_job.jobs["export"]
}

moved {
  from = google_cloud_run_v2_job_iam_member.scheduler_runs_job[0]
  to   = google_cloud_run_v2_job_iam_member.scheduler_runs_job["export"]
}

moved {
  from = google_cloud_scheduler_job.export[0]
  to   = google_cloud_scheduler_job.jobs["export"]
}
