resource "google_monitoring_alert_policy" "execution_failed" {
  project               = var.project
  display_name          = "${var.name}: an export failed"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "An execution of ${var.name} failed"

    condition_threshold {
      filter = join(" AND ", [
        "resource.type = \"cloud_run_job\"",
        "resource.labels.job_name = \"${google_cloud_run_v2_job.export.name}\"",
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
    subject   = "${var.name}: an export failed"
    mime_type = "text/markdown"
    content   = "The last published export is unchanged. What to do: docs/operate.md, \"An execution failed\"."
  }

  depends_on = [google_project_service.used]
}

# Counts publications: a run logs this event once, when latest.json names it.
resource "google_logging_metric" "published" {
  project     = var.project
  name        = "${replace(var.name, "-", "_")}_published"
  description = "Exports published by the Cloud Run job ${var.name}"
  filter = join(" AND ", [
    "resource.type=\"cloud_run_job\"",
    "resource.labels.job_name=\"${google_cloud_run_v2_job.export.name}\"",
    "jsonPayload.event=\"run_published\"",
  ])

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }
}

resource "google_monitoring_alert_policy" "no_export" {
  count = var.hours_without_export > 0 ? 1 : 0

  project               = var.project
  display_name          = "${var.name}: nothing published for ${var.hours_without_export} hours"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "Nothing published for ${var.hours_without_export} hours"

    # A log-based metric has no zeros: without "or vector(0)" the alert would not fire if nothing was ever published.
    condition_prometheus_query_language {
      query = join("", [
        "(sum(increase(logging_googleapis_com:user_${google_logging_metric.published.name}",
        "{monitored_resource=\"cloud_run_job\"}[${var.hours_without_export}h])) or vector(0)) < 0.5",
      ])
      duration            = "600s"
      evaluation_interval = "300s"
    }
  }

  documentation {
    subject   = "${var.name}: nothing published for ${var.hours_without_export} hours"
    mime_type = "text/markdown"
    content   = "The published export is getting old. What to do: docs/operate.md, \"Nothing was published\"."
  }
}
