# A scheduled drill: restores the published export into a scratch dataset, compares every value, and deletes the dataset.

# Creates the scratch dataset, which the account then owns. This role cannot be granted more narrowly.
resource "google_project_iam_member" "drill_creates_datasets" {
  count = local.drills

  project = var.project
  role    = "roles/bigquery.user"
  member  = google_service_account.job.member
}

resource "google_cloud_run_v2_job" "drill" {
  count = local.drills

  project             = var.project
  name                = "${var.name}-drill"
  location            = var.region
  deletion_protection = var.deletion_protection
  labels              = local.labels

  template {
    task_count = 1
    labels     = local.labels

    # A drill that failed is not repeated: it would fail again, and its comparison is billed each time.
    template {
      service_account = google_service_account.job.email
      max_retries     = 0
      timeout         = var.timeout
      encryption_key  = var.job_kms_key == "" ? null : var.job_kms_key

      containers {
        image = var.drill_image == "" ? local.image : var.drill_image
        args  = ["drill"]

        dynamic "env" {
          for_each = merge(
            local.environment,
            { BQDUMP_DRILL_PROJECT = var.project },
            var.drill_sample == "" ? {} : { BQDUMP_DRILL_SAMPLE = var.drill_sample },
          )

          content {
            name  = env.key
            value = env.value
          }
        }

        resources {
          limits = {
            cpu    = var.cpu
            memory = var.drill_memory
          }
        }
      }
    }
  }

  depends_on = [
    google_project_service.used,
    google_project_iam_member.drill_creates_datasets,
    google_project_iam_member.run_jobs,
    google_storage_bucket_iam_member.write_objects,
    google_storage_bucket_iam_member.see_bucket,
  ]
}

# Starts this job only, without overrides.
resource "google_cloud_run_v2_job_iam_member" "scheduler_runs_drill" {
  count = local.drills

  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_job.drill[0].name
  role     = "roles/run.invoker"
  member   = google_service_account.scheduler[0].member
}

resource "google_cloud_scheduler_job" "drill" {
  count = local.drills

  project          = var.project
  region           = var.region
  name             = "${var.name}-drill"
  description      = "Runs the Cloud Run job ${var.name}-drill"
  schedule         = var.drill_schedule
  time_zone        = var.time_zone
  attempt_deadline = "180s"

  # A trigger that is delivered twice starts two drills. Each has a dataset of its own.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "30s"
  }

  http_target {
    uri         = "https://run.googleapis.com/v2/projects/${var.project}/locations/${var.region}/jobs/${google_cloud_run_v2_job.drill[0].name}:run"
    http_method = "POST"
    body        = base64encode("{}")
    headers     = { "Content-Type" = "application/json" }

    oauth_token {
      service_account_email = google_service_account.scheduler[0].email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_project_service.used, google_cloud_run_v2_job_iam_member.scheduler_runs_drill]
}

resource "google_monitoring_alert_policy" "drill_failed" {
  count = local.drills

  project               = var.project
  display_name          = "${var.name}: a drill failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "An execution of ${var.name}-drill failed"

    condition_threshold {
      filter = join(" AND ", [
        "resource.type = \"cloud_run_job\"",
        "resource.labels.job_name = \"${google_cloud_run_v2_job.drill[0].name}\"",
        "metric.type = \"run.googleapis.com/job/completed_execution_count\"",
        "metric.labels.result = \"failed\"",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }

      trigger {
        count = 1
      }
    }
  }

  documentation {
    subject   = "${var.name}: a drill failed"
    mime_type = "text/markdown"
    content   = "The export may not be restorable; log lines with the event drill_failed name each difference. What to do: docs/restore.md, \"When a drill fails\"."
  }

  depends_on = [google_project_service.used]
}

# Counts proofs: a drill logs this event once, when everything that it restored came back.
resource "google_logging_metric" "proven" {
  count = local.drills

  project     = var.project
  name        = "${replace(var.name, "-", "_")}_proven"
  description = "Drills of the Cloud Run job ${var.name}-drill that proved the export restorable"
  filter = join(" AND ", [
    "resource.type=\"cloud_run_job\"",
    "resource.labels.job_name=\"${google_cloud_run_v2_job.drill[0].name}\"",
    "jsonPayload.event=\"drill_proven\"",
  ])

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }
}

resource "google_monitoring_alert_policy" "no_proof" {
  count = var.days_without_proof > 0 ? local.drills : 0

  project               = var.project
  display_name          = "${var.name}: no drill proved the export for ${var.days_without_proof} days"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "No drill proved the export for ${var.days_without_proof} days"

    condition_prometheus_query_language {
      query = join("", [
        "(sum(increase(logging_googleapis_com:user_${google_logging_metric.proven[0].name}",
        "{monitored_resource=\"cloud_run_job\"}[${var.days_without_proof}d])) or vector(0)) < 0.5",
      ])
      duration            = "600s"
      evaluation_interval = "300s"
    }
  }

  documentation {
    subject   = "${var.name}: no drill proved the export for ${var.days_without_proof} days"
    mime_type = "text/markdown"
    content   = "Nothing shows that the export can be restored. What to do: docs/operate.md, \"No drill proved the export\"."
  }
}
