# Alerts. `bqdump render alerts` prints the same ones for gcloud.
# Reference: https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies

locals {
  project = var.deployment.project
  prefix  = "${var.deployment.name}: "

  # The workflow repeats an export, so it alerts instead of the job.
  failures = merge(
    {
      for command, job in var.jobs : command => {
        alert    = local.rows.commands[command].failed
        failures = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = \"${local.names[command]}\" AND metric.type = \"run.googleapis.com/job/completed_execution_count\" AND metric.labels.result = \"failed\""
      }
      if !(var.workflow && command == "run")
    },
    var.workflow ? {
      workflow = {
        alert    = local.rows.workflow_failed
        failures = "resource.type = \"workflows.googleapis.com/Workflow\" AND resource.labels.workflow_id = \"${var.deployment.name}\" AND metric.type = \"workflows.googleapis.com/finished_execution_count\" AND metric.labels.status = \"FAILED\""
      }
    } : {},
  )

  # What is overdue if it was not done for too long: one alert for each export, by dataset and target.
  proofs = { for command, job in var.jobs : command => local.rows.commands[command].proof if local.rows.commands[command].proof != null }
  overdue = merge([
    for command, proof in local.proofs : {
      for export in var.jobs[command].exports :
      "${command}/${length([for one in var.jobs[command].exports : one if one.dataset == export.dataset]) < 2 ? export.dataset : "${export.dataset} in ${export.target}"}" => {
        command = command
        alert   = proof.missing
        dataset = export.dataset
        about   = length([for one in var.jobs[command].exports : one if one.dataset == export.dataset]) < 2 ? export.dataset : "${export.dataset} in ${export.target}"
        # In a string of PromQL, a backslash is written twice.
        target = replace(replace(export.target, "\\", "\\\\"), "\"", "\\\"")
      }
      if var.jobs[command].hours > 0
    }
  ]...)

  # Of every command, whether it has a job or not.
  logs = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=(${join(" OR ", [for command in local.order : "\"${local.names[command]}\""])})"
  logged = merge(
    local.rows.logged,
    var.alerts.bytes_billed > 0 ? {
      bill = merge(local.rows.billed, {
        advice = "More than ${var.alerts.bytes_billed} bytes were billed."
        filter = "jsonPayload.bytes_billed>${var.alerts.bytes_billed}"
      })
    } : {},
  )
  # As `bqdump render` names them.
  order = local.rows.order
  # Longer than one attempt of a task may take. Monitoring accepts no longer duration of a condition.
  hanging_seconds = min(60 * ceil(try(tonumber(trimsuffix(var.deployment.timeout, "s")), 0) / 60), 84600)
}

resource "google_monitoring_alert_policy" "failed" {
  for_each = local.failures

  project               = local.project
  display_name          = "${local.prefix}${each.value.alert.title}"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = var.alerts.channels
  user_labels           = var.deployment.labels

  conditions {
    display_name = "${local.prefix}${each.value.alert.title}"

    condition_threshold {
      filter                  = each.value.failures
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
    auto_close = var.alerts.auto_close
  }

  documentation {
    subject   = "${local.prefix}${each.value.alert.title}"
    mime_type = "text/markdown"
    content   = "${each.value.alert.advice} What to do: ${each.value.alert.help}"
  }
}

# An execution that takes longer than one attempt of a task may.
resource "google_monitoring_alert_policy" "hanging" {
  project               = local.project
  display_name          = "${local.prefix}${local.rows.hanging.title}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.alerts.channels
  user_labels           = var.deployment.labels

  conditions {
    display_name = "${local.prefix}${local.rows.hanging.title}"

    condition_threshold {
      filter                  = "resource.type = \"cloud_run_job\" AND resource.labels.job_name = one_of(${join(", ", [for command in local.order : "\"${local.names[command]}\""])}) AND metric.type = \"run.googleapis.com/job/running_executions\""
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
    auto_close = var.alerts.auto_close
  }

  documentation {
    subject   = "${local.prefix}${local.rows.hanging.title}"
    mime_type = "text/markdown"
    content   = "Executions have run for ${local.hanging_seconds / 60} ${local.hanging_seconds == 60 ? "minute" : "minutes"} without a break. What to do: ${local.rows.hanging.help}"
  }
}

# Log lines that need attention: one notification an hour for each event and dataset.
resource "google_monitoring_alert_policy" "logged" {
  for_each = local.logged

  project               = local.project
  display_name          = "${local.prefix}${each.value.title}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.alerts.channels
  user_labels           = var.deployment.labels

  conditions {
    display_name = "${local.prefix}${each.value.title}"

    condition_matched_log {
      filter           = "${local.logs} AND ${each.value.filter}"
      label_extractors = each.value.labels
    }
  }

  alert_strategy {
    auto_close = var.alerts.auto_close

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    subject   = "${local.prefix}${each.value.title}"
    mime_type = "text/markdown"
    content   = "${each.value.advice} What to do: ${each.value.help}"
  }
}

# Counts how often each command has done its work.
resource "google_logging_metric" "events" {
  for_each = local.proofs

  project     = local.project
  name        = "${replace(var.deployment.name, "-", "_")}_${each.value.metric}"
  description = "${each.value.counts}, by dataset and target, of the Cloud Run job ${local.names[each.key]}"
  filter = join(" AND ", [
    "resource.type=\"cloud_run_job\"",
    "resource.labels.job_name=\"${local.names[each.key]}\"",
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
  for_each = local.proofs

  triggers = { metric = "${google_logging_metric.events[each.key].name}: dataset, target" }
}

resource "google_monitoring_alert_policy" "overdue" {
  for_each = local.overdue

  project               = local.project
  display_name          = "${local.prefix}${each.value.alert.title} of ${each.value.about}"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = var.alerts.channels
  user_labels           = var.deployment.labels

  conditions {
    display_name = "${local.prefix}${each.value.alert.title} of ${each.value.about}"

    # A log-based metric has no zeros: without "or vector(0)" the alert would not fire if nothing was ever published.
    condition_prometheus_query_language {
      query = join("", [
        "(sum(increase(logging_googleapis_com:user_${google_logging_metric.events[each.value.command].name}",
        "{monitored_resource=\"cloud_run_job\",dataset=\"${each.value.dataset}\",target=\"${each.value.target}\"}",
        "[${var.jobs[each.value.command].hours}h])) or vector(0)) < 0.5",
        " and on() vector(time()) > ${time_static.counted_since[each.value.command].unix + 3600 * var.jobs[each.value.command].hours}",
      ])
      duration                  = "600s"
      evaluation_interval       = "300s"
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = var.alerts.auto_close
  }

  documentation {
    subject   = "${local.prefix}${each.value.alert.title} of ${each.value.about}"
    mime_type = "text/markdown"
    content   = "${each.value.alert.advice} It is due within ${var.jobs[each.value.command].hours} ${var.jobs[each.value.command].hours == 1 ? "hour" : "hours"}. What to do: ${each.value.alert.help}"
  }
}
