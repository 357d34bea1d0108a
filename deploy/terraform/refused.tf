# What is refused before anything is created, in a sentence each: values that fail at night otherwise. What a setting may be
# comes from jobs/rows.json, which `python -m bqdump_reference` writes.

locals {
  # Settings that have a variable of their own.
  own_variables = {
    PROJECT_ID         = "source_project"
    SOURCE_DATASET     = "dataset"
    DESTINATION_BUCKET = "bucket"
    BQDUMP_JOB_PROJECT = "project"
    BQDUMP_KMS_KEY     = "kms_key"
  }
  envs = { for env, row in local.rows.settings : row.name => env }

  # Values of settings, wherever they are given.
  valued = concat(
    [
      { where = "project", env = "PROJECT_ID", value = var.project },
      { where = "dataset", env = "SOURCE_DATASET", value = var.dataset },
      { where = "bucket", env = "DESTINATION_BUCKET", value = var.bucket },
      { where = "bucket_location", env = "BQDUMP_LOCATION", value = var.bucket_location },
      { where = "kms_key", env = "BQDUMP_KMS_KEY", value = var.kms_key },
      { where = "job_kms_key", env = "BQDUMP_KMS_KEY", value = var.job_kms_key },
    ],
    [for project in compact([var.source_project]) : { where = "source_project", env = "PROJECT_ID", value = project }],
    [for env, value in var.settings : { where = "settings: ${env}", env = env, value = value } if contains(keys(local.rows.settings), env) && !contains(keys(local.own_variables), env)],
    flatten([
      for at, item in var.exports : [
        for name, value in item : { where = "exports[${at}]: ${name}", env = local.envs[name], value = value } if contains(keys(local.envs), name)
      ]
    ]),
  )

  # Values that no setting has: what they must match, and what is expected.
  matched = concat(
    [
      { where = "region", value = var.region, pattern = "[a-z]+-[a-z]+[0-9]+", expected = "a region such as europe-west1" },
      { where = "time_zone", value = var.time_zone, pattern = "UTC|GMT|[A-Z][A-Za-z]+(/[A-Za-z0-9_+-]+)+", expected = "a time zone such as Europe/Berlin" },
      { where = "image", value = var.image, pattern = local.an_image, expected = local.image_expected },
      { where = "cpu", value = var.cpu, pattern = "[1-9][0-9]*m?", expected = "a number of CPUs such as 1 or 500m" },
      { where = "memory", value = var.memory, pattern = "[1-9][0-9]*(Mi|Gi)", expected = "a size such as 512Mi" },
      { where = "timeout", value = var.timeout, pattern = "[1-9][0-9]{0,4}s|[1-5][0-9]{5}s|60[0-3][0-9]{3}s|604[0-7][0-9]{2}s|604800s", expected = "a number of seconds up to 604800s" },
      { where = "auto_close", value = var.auto_close, pattern = "1[89][0-9]{2}s|[2-9][0-9]{3}s|[1-9][0-9]{4,}s", expected = "a number of seconds from 1800s" },
      { where = "tasks", value = tostring(var.tasks), pattern = local.a_task_count, expected = "an integer from 1 to 10000" },
      { where = "max_retries", value = tostring(var.max_retries), pattern = "[0-9]|10", expected = "an integer from 0 to 10" },
      { where = "alert_bytes_billed", value = tostring(var.alert_bytes_billed), pattern = "[0-9]+", expected = "a number of bytes" },
      { where = "hours_without_export", value = tostring(coalesce(var.hours_without_export, 0)), pattern = "[0-9]+", expected = "an integer number of hours" },
      { where = "bucket_soft_delete_seconds", value = tostring(var.bucket_soft_delete_seconds), pattern = "0|60480[0-9]|6048[1-9][0-9]|604[9][0-9]{2}|60[5-9][0-9]{3}|6[1-9][0-9]{4}|[7-9][0-9]{5}|[1-6][0-9]{6}|7[0-6][0-9]{5}|77[0-6][0-9]{4}|7776000|777[0-5][0-9]{3}", expected = "0, or from 604800 to 7776000 seconds" },
      { where = "events_service", value = var.events_service, pattern = "([a-z]([a-z0-9-]{0,61}[a-z0-9])?)?", expected = "the name of a Cloud Run service" },
    ],
    [for channel in var.notification_channels : { where = "notification_channels", value = channel, pattern = "projects/[^/\\s]+/notificationChannels/[^/\\s]+", expected = "projects/P/notificationChannels/N" }],
    [for member in var.deployers : { where = "deployers", value = member, pattern = "(user|group|serviceAccount|principal|principalSet):\\S+", expected = "user:EMAIL, group:EMAIL or serviceAccount:EMAIL" }],
    [for key in keys(var.labels) : { where = "labels", value = key, pattern = "[a-z][a-z0-9_-]{0,62}", expected = "keys that start with a lowercase letter, then lowercase letters, digits, _ and -" }],
    [for key, value in var.labels : { where = "labels: ${key}", value = value, pattern = "[a-z0-9_-]{0,63}", expected = "lowercase letters, digits, _ and -" }],
    [for name in keys(var.settings) : { where = "settings", value = name, pattern = "[A-Za-z_][A-Za-z0-9_]*", expected = "the name of a variable" }],
    [for name in keys(var.secrets) : { where = "secrets", value = name, pattern = "[A-Z][A-Z0-9_]*", expected = "the name of a variable, in capitals" }],
    [for name, secret in var.secrets : { where = "secrets: ${name}", value = secret.secret, pattern = "[A-Za-z0-9_-]{1,255}", expected = "the name of a secret, without its project" }],
    flatten([
      for at, item in var.exports : [
        for name, value in item : {
          where    = "exports[${at}]: ${name}"
          value    = value
          pattern  = { tasks = local.a_task_count, timeout = "[1-9][0-9]*s", copy_to = "((gs|s3)://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?)?" }[name]
          expected = { tasks = "an integer from 1 to 10000", timeout = "a number of seconds such as 3600s", copy_to = "gs://BUCKET/PREFIX or s3://BUCKET/PREFIX" }[name]
        } if contains(["tasks", "timeout", "copy_to"], name)
      ]
    ]),
    flatten([
      for command, job in var.jobs : [
        for name, value in job : {
          where    = "jobs: ${command}: ${name}"
          value    = value
          pattern  = { schedule = "[\\s\\S]*", hours = "[0-9]+", image = local.an_image, memory = "[1-9][0-9]*(Mi|Gi)", tasks = local.a_task_count, dest = "(gs|s3)://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?" }[name]
          expected = { schedule = "", hours = "an integer number of hours", image = local.image_expected, memory = "a size such as 2Gi", tasks = "an integer from 1 to 10000", dest = "gs://BUCKET/PREFIX or s3://BUCKET/PREFIX" }[name]
        } if contains(local.of_job, name)
      ]
    ]),
    flatten([
      for command, job in local.commands : [
        for flag, value in job : { where = "jobs: ${command}: ${flag}", value = value, pattern = "true|false", expected = "true or false" }
        if lookup(local.rows.commands[command].flags, flag, false)
      ]
    ]),
  )
  an_image       = "([^\\s@]+@sha256:[0-9a-f]+|[^\\s@]+:[^\\s@:/]+)?"
  image_expected = "an image by its digest, or by a version"
  a_task_count   = "[1-9][0-9]{0,3}|10000"
  prunes         = can(regex("^\\s*(?i:1|true|yes|on)\\s*$", lookup(var.settings, "BQDUMP_PRUNE", "")))
  rules          = [for name in keys(var.settings) : name if length(regexall("^BQDUMP_(KEEP)_(LAST|HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY|WITHIN)", name)) > 0]

  refused = concat(
    [
      for one in local.valued : "${one.where}: invalid value \"${one.value}\"; expected ${local.rows.settings[one.env].expected}."
      if !can(regex("^\\s*(?:${local.rows.settings[one.env].pattern})\\s*$", one.value))
    ],
    [for one in local.matched : "${one.where}: invalid value \"${one.value}\"; expected ${one.expected}." if !can(regex("^(?:${one.pattern})$", one.value))],
    [for one in concat([var.image], [for job in values(var.jobs) : lookup(job, "image", "")]) : "image: ${one} may change between two tasks. Name it by its digest." if length(regexall(":latest$", one)) > 0],
    module.cron.refused,
    # The hours of a schedule have 2 more than its longest pause. A run counts once a drill has proven it.
    [
      for what, schedule in {
        runs   = local.by_workflow ? var.workflow_schedule : var.schedule
        drills = lookup(lookup(local.commands, "drill", {}), "schedule", "")
      } : "settings: BQDUMP_RPO ${var.settings["BQDUMP_RPO"]} cannot be met: the schedule leaves ${lookup(module.cron.hours, schedule, 0) - 2} hours between two ${what}."
      if coalesce(local.rpo_hours, 1000000) < lookup(module.cron.hours, schedule, 0) - 2
    ],
    # Settings.
    [for name in keys(var.settings) : "settings: ${name} has a variable of its own: ${local.own_variables[name]}." if contains(keys(local.own_variables), name)],
    [
      for name in keys(var.settings) : contains(["BQDUMP_NOTIFY", "BQDUMP_PING"], name) ? "settings: anybody who sees the job could read ${name}. Use secrets." : "settings: ${name} is not a setting of a job."
      if length(regexall("^BQDUMP_", name)) > 0 && !contains(local.rows.variables, name)
    ],
    [for name in keys(var.secrets) : "secrets: ${name} is in settings as well. Leave out one of them." if contains(concat(keys(var.settings), keys(local.own_variables)), name)],
    # An account that may replace and delete nothing.
    !var.append_only ? [] : concat(
      length(regexall("[{]run[}]", lookup(var.settings, "BQDUMP_PATH", ""))) > 0 ? [] : ["append_only: without {run} in BQDUMP_PATH, each run replaces the files of the last one. Add it in settings."],
      !local.prunes ? [] : ["append_only: a run that prunes deletes earlier runs. Remove BQDUMP_PRUNE from settings, and add prune to jobs."],
      # A copy replaces and deletes its own notes. Whoever may do that may delete the copy as well.
      [for at, item in var.exports : "append_only: exports[${at}] cannot have copy_to: the exporter's account could delete the copies. Add copy to jobs, or use a vault: docs/vault.md." if lookup(item, "copy_to", "") != ""],
    ),
    # The workflow.
    var.workflow_schedule != "" && !var.workflow ? ["workflow_schedule: there is no workflow. Set workflow = true."] : [],
    var.workflow && var.workflow_schedule != "" && length(var.exports) == 0 ? ["workflow_schedule: exports is empty, so that the workflow would fail."] : [],
    length(var.exports) > 0 && !var.workflow ? ["exports: there is no workflow. Set workflow = true."] : [],
    flatten([
      for at, item in var.exports : concat(
        [for key in ["project", "dataset", "bucket"] : "exports[${at}]: ${key} is missing." if lookup(item, key, "") == ""],
        [for key in keys(item) : "exports[${at}]: ${key} is not a key of an export." if !contains(concat(keys(local.envs), ["tasks", "timeout", "copy_to"]), key)],
      )
    ]),
    var.events_service != "" && !var.events ? ["events_service: there are no events. Set events = true."] : [],
    # The jobs of other commands.
    [for command in keys(var.jobs) : "jobs: ${command} is not a command of a job: expected ${join(", ", [for known in local.rows.order : known if known != "run"])}." if !contains(keys(local.commands), command)],
    flatten([
      for command, job in local.commands : [
        for key in keys(job) : "jobs: ${command}: ${key} is not a flag of the command."
        if !contains(local.of_job, key) && !contains(keys(local.rows.commands[command].flags), key) || (key == "dest" && command != "copy")
      ]
    ]),
    [for command, job in local.commands : "jobs: copy: dest is missing: where copies go, such as gs://BUCKET/PREFIX." if command == "copy" && lookup(job, "dest", "") == ""],
    [for command, job in local.commands : "jobs: copy: locked copies are for the module deploy/terraform/vault." if command == "copy" && lookup(job, "lock", "") != ""],
    contains(keys(local.commands), "prune") && length(local.rules) == 0 ? ["jobs: prune: settings have no rule of what to keep, such as BQDUMP_KEEP_DAILY."] : [],
    contains(keys(local.commands), "restore") && lookup(lookup(local.commands, "restore", {}), "into", "") == "" ? ["jobs: restore: into is missing: the dataset to restore into."] : [],
  )
}
