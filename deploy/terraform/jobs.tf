# The jobs: the export, and one for each command in var.jobs. The module jobs makes them, with schedules and alerts.

locals {
  # The workflow has a schedule of its own, and starts the export with other settings.
  by_workflow = var.workflow && var.workflow_schedule != ""
  # Keys of an entry that are no flags of its command.
  of_job = ["schedule", "hours", "image", "memory", "tasks", "dest"]
  commands = { for command, job in var.jobs : command => job if contains(keys(local.rows.commands), command) && command != "run" }
  # Where copies go, as far as that is in Cloud Storage.
  dest = lookup(lookup(local.commands, "copy", {}), "dest", "")

  arguments = {
    for command, job in local.commands : command => concat(
      command == "copy" ? ["${trimsuffix(local.dest, "/")}/"] : [],
      command == "prune" ? ["--yes"] : [],
      command == "verify" && !contains(keys(job), "read") ? ["--read=10%"] : [],
      [
        for flag, value in job : lookup(local.rows.commands[command].flags, flag, false) ? "--${flag}" : "--${flag}=${value}"
        if !contains(local.of_job, flag) && !(lookup(local.rows.commands[command].flags, flag, false) && value != "true")
      ],
    )
  }
  # Rules of retention are for runs and prunes; a copy takes those that it is given.
  unpruned = { for name, value in local.environment : name => value if length(regexall("^BQDUMP_(PRUNE$|KEEP_(LAST|HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY|WITHIN|TAG)|ABANDONED_AFTER)", name)) == 0 }
  variables = {
    for command, job in local.commands : command => merge(
      # A pruner signs nothing, and has no secrets.
      command == "prune" ? { for name, value in local.environment : name => value if !contains(["BQDUMP_PRUNE", "BQDUMP_SIGN"], name) } : local.unpruned,
      command == "drill" ? { BQDUMP_DRILL_PROJECT = var.project } : {},
    )
  }
  accounts_of = merge(
    { for command, row in local.rows.commands : command => google_service_account.job.email if row.account == "" },
    { for command, account in google_service_account.own : command => account.email },
  )

  # A recovery point objective in hours, less one for the run itself, as `bqdump render alerts` has it.
  rpo       = try(regex("^\\s*([0-9]+)\\s*([smhdSMHD])\\s*$", lookup(var.settings, "BQDUMP_RPO", "")), null)
  rpo_hours = local.rpo == null ? null : max(1, floor(tonumber(local.rpo[0]) * { s = 1, m = 60, h = 3600, d = 86400 }[lower(local.rpo[1])] / 3600) - 1)

  jobs = merge(
    {
      run = {
        arguments   = []
        variables   = local.environment
        secrets     = var.secrets
        image       = local.image
        tasks       = var.tasks
        max_retries = var.max_retries
        memory      = var.memory
        account     = google_service_account.job.email
        schedule    = local.by_workflow ? "" : var.schedule
        hours       = coalesce(var.hours_without_export, local.rpo_hours, lookup(module.cron.hours, local.by_workflow ? var.workflow_schedule : var.schedule, 0))
        exports     = local.watched
      }
    },
    {
      for command, job in local.commands : command => {
        arguments   = local.arguments[command]
        variables   = local.variables[command]
        secrets     = { for name, secret in var.secrets : name => secret if command != "prune" }
        image       = lookup(job, "image", "") == "" ? local.image : job.image
        tasks       = tonumber(lookup(job, "tasks", var.tasks))
        max_retries = var.max_retries
        memory      = lookup(job, "memory", "")
        account     = local.accounts_of[command]
        schedule    = lookup(job, "schedule", "")
        hours       = tonumber(lookup(job, "hours", command == "drill" && local.rpo != null ? local.rpo_hours : lookup(module.cron.hours, lookup(job, "schedule", ""), 0)))
        exports     = command == "copy" ? [merge(local.job_export, { target = "${trimsuffix(local.dest, "/")}/" })] : [local.job_export]
      }
    },
  )
}

module "cron" {
  source = "./cron"

  schedules = concat([var.schedule, var.workflow_schedule], [for job in var.jobs : lookup(job, "schedule", "")])
}

module "jobs" {
  source = "./jobs"

  deployment = {
    project             = var.project
    region              = var.region
    name                = var.name
    labels              = local.labels
    time_zone           = var.time_zone
    timeout             = var.timeout
    cpu                 = var.cpu
    job_kms_key         = var.job_kms_key
    deletion_protection = var.deletion_protection
  }
  jobs     = local.jobs
  workflow = local.by_workflow
  scheduler = length(google_service_account.scheduler) == 0 ? null : {
    email  = google_service_account.scheduler[0].email
    member = time_sleep.accounts_known.triggers["scheduler"]
  }
  alerts = {
    channels     = var.notification_channels
    auto_close   = var.auto_close
    bytes_billed = var.alert_bytes_billed
  }

  depends_on = [
    google_project_service.used,
    google_bigquery_dataset_iam_member.read_dataset,
    google_project_iam_member.run_jobs,
    google_project_iam_member.own,
    google_storage_bucket_iam_member.write_objects,
    google_storage_bucket_iam_member.see_bucket,
    google_storage_bucket_iam_member.own,
    google_secret_manager_secret_iam_member.read_secrets,
    google_kms_crypto_key_iam_member.sign,
  ]
}
