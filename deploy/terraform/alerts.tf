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

  # Alerts on what is overdue: one for each export, by dataset and target.
  all_events = {
    published = {
      on      = true
      event   = "run_published"
      job     = var.name
      counts  = "Exports published by the Cloud Run job ${var.name}, by dataset and target"
      missing = "no recent export"
      exports = local.watched
      advice  = "The published export is getting old."
      section = "Nothing was published"
    }
    proven = {
      on      = var.drill_schedule != ""
      event   = "drill_proven"
      job     = "${var.name}-drill"
      counts  = "Drills of the Cloud Run job ${var.name}-drill that proved the export restorable, by dataset and target"
      missing = "no recent proof"
      exports = [local.job_export]
      advice  = "Nothing shows that the export can be restored."
      section = "No drill proved the export"
    }
  }
  events = { for kind, event in local.all_events : kind => event if event.on }
  overdue = merge([
    for kind, event in local.events : {
      for export in event.exports :
      "${kind}/${length([for one in local.watched : one if one.dataset == export.dataset]) < 2 ? export.dataset : "${export.dataset} in ${export.targets[0]}/"}" => {
        kind    = kind
        event   = event
        dataset = export.dataset
        about   = length([for one in local.watched : one if one.dataset == export.dataset]) < 2 ? export.dataset : "${export.dataset} in ${export.targets[0]}/"
        # In a string of PromQL, a backslash is written twice.
        target = join("", [
          length(export.targets) > 1 ? "target=~\"" : "target=\"",
          replace(replace(
            length(export.targets) > 1 ? join("|", [for target in export.targets : replace("${target}/", "/[\\\\.+()|^$]/", "\\$0")]) : "${export.targets[0]}/",
          "\\", "\\\\"), "\"", "\\\""),
          "\"",
        ])
      }
      if local.hours[kind] > 0
    }
  ]...)

  alert_jobs = [for kind in ["export", "drill", "verify"] : local.jobs[kind].name if contains(keys(local.jobs), kind)]
  log_of     = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=${length(local.alert_jobs) == 1 ? "\"${var.name}\"" : "(${join(" OR ", formatlist("\"%s\"", local.alert_jobs))})"}"
  # Warnings that ask an operator to do something.
  warnings = [
    "table_missing",
    "table_given_up",
    "dataset_skipped",
    "run_superseded",
    "nothing_exported",
    "manifest_missing",
    "latest_unreadable",
    "object_hidden",
    "iceberg_metadata_lost",
    "prune_failed",
    "cleanup_failed",
    "drill_dataset_left",
    "notify_failed",
    "setting_unknown",
  ]
  all_logged = {
    cancelled = {
      on      = true
      title   = "an execution was cancelled"
      filter  = "(jsonPayload.event=\"task_stopped\" OR protoPayload.methodName=~\"\\.CancelExecution$\")"
      labels  = {}
      advice  = "What it was doing is not done."
      section = "An execution was cancelled"
    }
    warning = {
      on      = true
      title   = "a warning"
      filter  = "jsonPayload.event=(${join(" OR ", formatlist("\"%s\"", local.warnings))})"
      labels  = { event = "EXTRACT(jsonPayload.event)", dataset = "EXTRACT(labels.dataset)" }
      advice  = "The export is published or proven, and something needs attention."
      section = "A run logged a warning"
    }
    bill = {
      on      = var.alert_bytes_billed > 0
      title   = "a large bill"
      filter  = "jsonPayload.bytes_billed>${var.alert_bytes_billed}"
      labels  = { event = "EXTRACT(jsonPayload.event)", dataset = "EXTRACT(labels.dataset)" }
      advice  = "More than ${var.alert_bytes_billed} bytes were billed."
      section = "A run billed too much"
    }
  }
  logged = { for kind, alert in local.all_logged : kind => alert if alert.on }
  # Longer than one attempt of a task may take. Monitoring accepts no longer duration of a condition.
  hanging_seconds = min(60 * ceil(tonumber(trimsuffix(var.timeout, "s")) / 60), 84600)
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

# An execution that takes longer than one attempt of a task may.
resource "google_monitoring_alert_policy" "hanging" {
  project               = var.project
  display_name          = "${var.name}: an execution takes too long"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "${var.name}: an execution takes too long"

    condition_threshold {
      filter                  = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = one_of(${join(", ", formatlist("\"%s\"", local.alert_jobs))}) AND metric.type = \"run.googleapis.com/job/running_executions\""
      comparison              = "COMPARISON_GT"
      threshold_value         = 0
      duration                = "${local.hanging_seconds}s"
      evaluation_missing_data = "EVALUATION_MISSING_DATA_INACTIVE"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_MAX"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.labels.job_name"]
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
    subject   = "${var.name}: an execution takes too long"
    mime_type = "text/markdown"
    content   = "Executions have run for ${local.hanging_seconds / 60} minutes without a break. What to do: docs/operate.md, \"An execution takes too long\"."
  }

  depends_on = [google_project_service.used]
}

# Log lines that need attention: one notification an hour for each event and dataset.
resource "google_monitoring_alert_policy" "logged" {
  for_each = local.logged

  project               = var.project
  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "${var.name}: ${each.value.title}"

    condition_matched_log {
      filter           = "${local.log_of} AND ${each.value.filter}"
      label_extractors = each.value.labels
    }
  }

  alert_strategy {
    auto_close = var.auto_close

    notification_rate_limit {
      period = "3600s"
    }
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
    target  = "EXTRACT(labels.target)"
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

    labels {
      key         = "target"
      value_type  = "STRING"
      description = "Where it is exported to"
    }
  }
}

# Nothing is overdue before the first one is due: a metric counts only what is logged after its creation.
resource "time_static" "counted_since" {
  for_each = local.events

  triggers = { metric = "${google_logging_metric.events[each.key].name}: dataset, target" }
}

resource "google_monitoring_alert_policy" "overdue" {
  for_each = local.overdue

  project               = var.project
  display_name          = "${var.name}: ${each.value.event.missing} of ${each.value.about}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = "${var.name}: ${each.value.event.missing} of ${each.value.about}"

    # A log-based metric has no zeros: without "or vector(0)" the alert would not fire if nothing was ever published.
    condition_prometheus_query_language {
      query = join("", [
        "(sum(increase(logging_googleapis_com:user_${google_logging_metric.events[each.value.kind].name}",
        "{monitored_resource=\"cloud_run_job\",dataset=\"${each.value.dataset}\",${each.value.target}}",
        "[${local.hours[each.value.kind]}h])) or vector(0)) < 0.5",
        " and on() vector(time()) > ${time_static.counted_since[each.value.kind].unix + 3600 * local.hours[each.value.kind]}",
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
    subject   = "${var.name}: ${each.value.event.missing} of ${each.value.about}"
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
