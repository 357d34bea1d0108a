# Alerts. `bqdump render alerts` prints the same ones for gcloud.
# Reference: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies

locals {
  # What fails and is not repeated by anything. The workflow repeats an export, so it alerts instead of the job.
  all_failures = {
    export = {
      on       = !local.by_workflow
      title    = "an export failed"
      resource = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${var.name}\""
      failures = "metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\""
      advice   = "The last published export is unchanged, unless the run stopped while it replaced files: `bqdump status` says so."
      section  = "An execution failed"
    }
    workflow = {
      on       = local.by_workflow
      title    = "the workflow failed"
      resource = "resource.type = \"workflows.googleapis.com/Workflow\" AND resource.labels.workflow_id = \"${var.name}\""
      failures = "metric.type = \"workflows.googleapis.com/finished_execution_count\" AND metric.labels.status = \"FAILED\""
      advice   = "Its exports were repeated, and some failed each time."
      section  = "The workflow failed"
    }
    drill = {
      on       = var.drill_schedule != ""
      title    = "a drill failed"
      resource = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${var.name}-drill\""
      failures = "metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\""
      advice   = "The export may not be restorable."
      section  = "A drill failed"
    }
    verify = {
      on       = var.verify_schedule != ""
      title    = "a check failed"
      resource = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${var.name}-verify\""
      failures = "metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\""
      advice   = "A check of the published files failed."
      section  = "A check failed"
    }
  }
  failures = { for kind, failure in local.all_failures : kind => failure if failure.on }

  # The longest time between two runs of a schedule, with 2 hours for the run itself. An export every Sunday alerts after
  # a week and 2 hours. Fields: minute, hour, day of the month, month, day of the week.
  schedules = {
    published = local.by_workflow ? var.workflow_schedule : var.schedule
    proven    = var.drill_schedule
  }
  fields  = { for kind, schedule in local.schedules : kind => regexall("\\S+", schedule) if schedule != "" }
  derived = { for kind, at in local.fields : kind => 2 + 24 * (at[3] != "*" ? 366 : at[2] != "*" ? 31 : at[4] != "*" ? 7 : 1) }
  hours = {
    published = coalesce(var.hours_without_export, lookup(local.derived, "published", 0))
    proven    = coalesce(var.hours_without_proof, lookup(local.derived, "proven", 0))
  }

  datasets = local.by_workflow ? distinct([for item in var.exports : item.dataset]) : [var.dataset]
  all_events = {
    published = {
      on       = true
      event    = "run_published"
      job      = var.name
      counts   = "Exports published by the Cloud Run job ${var.name}, by dataset"
      missing  = "no recent export"
      datasets = local.datasets
      advice   = "The published export is getting old."
      section  = "Nothing was published"
    }
    proven = {
      on       = var.drill_schedule != ""
      event    = "drill_proven"
      job      = "${var.name}-drill"
      counts   = "Drills of the Cloud Run job ${var.name}-drill that proved the export restorable, by dataset"
      missing  = "no recent proof"
      datasets = [var.dataset]
      advice   = "Nothing shows that the export can be restored."
      section  = "No drill proved the export"
    }
  }
  events = { for kind, event in local.all_events : kind => event if event.on }
  overdue = merge([
    for kind, event in local.events : {
      for dataset in event.datasets : "${kind}/${dataset}" => { kind = kind, dataset = dataset, event = event }
      if local.hours[kind] > 0
    }
  ]...)
}

resource "google_monitoring_alert_policy" "failed" {
  for_each = local.failures

  project               = var.project
  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "${var.name}: ${each.value.title}"

    condition_threshold {
      filter                  = "${each.value.resource} AND ${each.value.failures}"
      comparison              = "COMPARISON_GT"
      threshold_value         = 0
      duration                = "60s"
      evaluation_missing_data = "EVALUATION_MISSING_DATA_INACTIVE"

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

  alert_strategy {
    auto_close = var.auto_close
  }

  documentation {
    subject   = "${var.name}: ${each.value.title}"
    mime_type = "text/markdown"
    content   = "${each.value.advice} What to do: docs/operate.md, \"${each.value.section}\"."
  }

  depends_on = [google_project_service.used]
}

# Counts what went well: a run logs its event once, when latest.json names it; a drill, when everything came back.
resource "google_logging_metric" "events" {
  for_each = local.events

  project     = var.project
  name        = "${replace(var.name, "-", "_")}_${each.key}"
  description = each.value.counts
  filter = join(" AND ", [
    "resource.type=\"cloud_run_job\"",
    "resource.labels.job_name=\"${each.value.job}\"",
    "jsonPayload.event=\"${each.value.event}\"",
  ])

  label_extractors = {
    dataset = "EXTRACT(labels.dataset)"
  }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "dataset"
      value_type  = "STRING"
      description = "The exported dataset"
    }
  }
}

resource "google_monitoring_alert_policy" "overdue" {
  for_each = local.overdue

  project               = var.project
  display_name          = "${var.name}: ${each.value.event.missing} of ${each.value.dataset}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "${var.name}: ${each.value.event.missing} of ${each.value.dataset}"

    # A log-based metric has no zeros: without "or vector(0)" the alert would not fire if nothing was ever published.
    condition_prometheus_query_language {
      query = join("", [
        "(sum(increase(logging_googleapis_com:user_${google_logging_metric.events[each.value.kind].name}",
        "{monitored_resource=\"cloud_run_job\",dataset=\"${each.value.dataset}\"}",
        "[${local.hours[each.value.kind]}h])) or vector(0)) < 0.5",
      ])
      duration                  = "600s"
      evaluation_interval       = "300s"
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = var.auto_close
  }

  documentation {
    subject   = "${var.name}: ${each.value.event.missing} of ${each.value.dataset}"
    mime_type = "text/markdown"
    content   = "${each.value.event.advice} It is due within ${local.hours[each.value.kind]} hours. What to do: docs/operate.md, \"${each.value.event.section}\"."
  }
}

moved {
  from = google_logging_metric.published
  to   = google_logging_metric.events["published"]
}

moved {
  from = google_monitoring_alert_policy.execution_failed
  to   = google_monitoring_alert_policy.failed["export"]
}
