# The jobs of the vault, with schedules and alerts: copy, which brings the exports, prune, which deletes what is free again,
# and verify, which shows that what is there is trusted.

locals {
  rows      = jsondecode(file("${path.module}/../jobs/rows.json"))
  labels    = merge({ app = "bqdump" }, var.labels)
  accounts  = { copy = google_service_account.copier.email, prune = google_service_account.pruner.email, verify = google_service_account.copier.email }
  of_job    = ["schedule", "hours", "image", "memory"]
  commands  = { for command, job in var.jobs : command => job if contains(["copy", "prune", "verify"], command) }
  dest      = "gs://${trimsuffix("${var.bucket}/${trim(var.prefix, "/")}", "/")}"
  variables = { PROJECT_ID = var.source_project == "" ? var.project : var.source_project, SOURCE_DATASET = var.dataset }
  trust     = lookup(var.settings, "BQDUMP_TRUST", "") != "" || contains(keys(var.secrets), "BQDUMP_TRUST")

  arguments = {
    for command, job in local.commands : command => concat(
      command == "copy" ? ["${local.dest}/"] : [],
      command == "prune" ? ["--yes"] : [],
      command == "verify" && !contains(keys(job), "read") ? ["--read=10%"] : [],
      command == "copy" && !contains(keys(job), "lock") ? ["--lock=35d"] : [],
      [
        for flag, value in job : lookup(local.rows.commands[command].flags, flag, false) ? "--${flag}" : "--${flag}=${value}"
        if !contains(local.of_job, flag)
      ],
    )
  }

  refused = concat(
    [for command in keys(var.jobs) : "jobs: ${command} is not a job of a vault: expected copy, prune or verify." if !contains(keys(local.commands), command)],
    flatten([
      for command, job in local.commands : [
        for key in keys(job) : "jobs: ${command}: ${key} is not a flag of the command."
        if !contains(local.of_job, key) && !contains(keys(local.rows.commands[command].flags), key)
      ]
    ]),
    [for command, job in local.commands : "jobs: ${command}: image is missing: name it by its digest." if lookup(job, "image", "") == ""],
    length(local.commands) > 0 && var.dataset == "" ? ["dataset is missing: the exported dataset, as SOURCE_DATASET has it."] : [],
    contains(keys(local.commands), "prune") && length([for name in keys(var.settings) : name if length(regexall("^BQDUMP_(KEEP)_", name)) > 0]) == 0 ? ["jobs: prune: settings have no rule of what to keep, such as BQDUMP_KEEP_DAILY."] : [],
    contains(keys(local.commands), "verify") && !local.trust ? ["jobs: verify: settings have no BQDUMP_TRUST, without which anything that is there would do."] : [],
    [
      for name, value in var.settings : "settings: ${name}: invalid value \"${value}\"; expected ${local.rows.settings[name].expected}."
      if contains(keys(local.rows.settings), name) && !can(regex("^\\s*(?:${lookup(local.rows.settings, name, { pattern = "" }).pattern})\\s*$", value))
    ],
    [for name in keys(var.settings) : "settings: ${name} is not a setting of a job." if length(regexall("^BQDUMP_", name)) > 0 && !contains(local.rows.variables, name)],
    module.cron.refused,
  )
}

module "cron" {
  source = "../cron"

  schedules = [for job in values(var.jobs) : lookup(job, "schedule", "")]
}

module "jobs" {
  source = "../jobs"

  deployment = {
    project             = var.project
    region              = var.region
    name                = var.name
    labels              = local.labels
    time_zone           = var.time_zone
    timeout             = "14400s"
    cpu                 = "1"
    job_kms_key         = ""
    deletion_protection = false
  }
  jobs = {
    for command, job in local.commands : command => {
      arguments = local.arguments[command]
      variables = merge(
        local.variables,
        # What is kept is decided by the prune; a copy takes the rules that it is given.
        { for name, value in var.settings : name => value if length(regexall(command == "prune" ? "^BQDUMP_SIGN$" : "^BQDUMP_(KEEP)_", name)) == 0 },
        { DESTINATION_BUCKET = command == "copy" ? var.source_bucket : var.bucket },
        { for name, value in { BQDUMP_PREFIX = trim(command == "copy" ? var.source_prefix : var.prefix, "/") } : name => value if value != "" },
      )
      # The key of the copier is not for the pruner.
      secrets     = { for name, secret in var.secrets : name => secret if command != "prune" }
      image       = lookup(job, "image", "")
      tasks       = 1
      max_retries = 3
      memory      = lookup(job, "memory", "")
      account     = local.accounts[command]
      schedule    = lookup(job, "schedule", "")
      hours       = tonumber(lookup(job, "hours", lookup(module.cron.hours, lookup(job, "schedule", ""), 0)))
      exports     = [{ dataset = var.dataset, target = "${local.dest}/" }]
    }
  }
  workflow = false
  scheduler = {
    email  = google_service_account.scheduler.email
    member = time_sleep.accounts_known.triggers["scheduler"]
  }
  alerts = { channels = var.notification_channels, auto_close = "86400s", bytes_billed = 0 }

  depends_on = [
    google_storage_bucket_iam_member.copies,
    google_storage_bucket_iam_member.prunes,
    google_storage_bucket_iam_member.read_exports,
    google_secret_manager_secret_iam_member.read_secrets,
  ]
}

resource "google_service_account" "scheduler" {
  project      = var.project
  account_id   = "${var.name}-scheduler"
  display_name = "bqdump: starts the jobs of the vault"
}

# Reads the secrets that are variables of copies.
resource "google_secret_manager_secret_iam_member" "read_secrets" {
  for_each = toset([for secret in var.secrets : secret.secret])

  project   = var.project
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = time_sleep.accounts_known.triggers["copier"]
}
