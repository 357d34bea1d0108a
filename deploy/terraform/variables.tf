variable "project" {
  description = "Project that runs the job and is billed."
  type        = string
}

variable "region" {
  description = "Region of the job, images, schedule and workflow."
  type        = string
}

variable "name" {
  description = "Name of the job, and prefix of every other name."
  type        = string
  default     = "bqdump"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,18}[a-z0-9]$", var.name))
    error_message = "Use 6 to 20 lowercase letters, digits and hyphens, since service accounts are named after it."
  }
}

variable "image" {
  description = "Container image, best by its digest (default: that of bqdump:latest in the repository that this module creates)."
  type        = string
  default     = ""
}

variable "source_project" {
  description = "Project that holds the dataset (default: project)."
  type        = string
  default     = ""
}

variable "dataset" {
  description = "Dataset to export, or several: names and patterns (* and ?), separated by commas."
  type        = string

  validation {
    condition     = length(compact([for name in split(",", var.dataset) : trimspace(name)])) > 0 && alltrue([for name in split(",", var.dataset) : can(regex("^[\\p{L}\\p{N}_*?]*$", trimspace(name)))])
    error_message = "Name datasets without their project, separated by commas: letters, digits and _, and * and ? in patterns."
  }
}

variable "bucket" {
  description = "Bucket to export to."
  type        = string
}

variable "create_bucket" {
  description = "Create the bucket. Set false for an existing one."
  type        = bool
  default     = true
}

variable "bucket_location" {
  description = "Location of a new bucket. Best the dataset's location."
  type        = string
  default     = "US"
}

variable "bucket_force_destroy" {
  description = "Let terraform destroy delete the bucket with its exports."
  type        = bool
  default     = false
}

variable "bucket_soft_delete_seconds" {
  description = "Soft delete period of a new bucket, in seconds. Deleted and replaced objects are billed for it. 0 turns soft delete off."
  type        = number
  default     = 604800
}

variable "kms_key" {
  description = "Cloud KMS key of the exports, and default key of a new bucket: projects/P/locations/L/keyRings/R/cryptoKeys/K."
  type        = string
  default     = ""
}

variable "job_kms_key" {
  description = "Cloud KMS key for the job's image, in the job's region (default: Google-managed)."
  type        = string
  default     = ""
}

variable "settings" {
  description = "Other settings, by environment variable, such as BQDUMP_FORMAT."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Secrets by environment variable: the name of a secret of Secret Manager, and the number of a version."
  type        = map(object({ secret = string, version = string }))
  default     = {}

  validation {
    condition     = alltrue([for secret in var.secrets : can(regex("^[1-9][0-9]*$", secret.version))])
    error_message = "Name a version by its number: latest may change between two tasks."
  }
}

variable "deployers" {
  description = "Members that may deploy what runs as the accounts of this module, such as group:data-team@example.com."
  type        = set(string)
  default     = []
}

variable "tasks" {
  description = "Tasks per execution. One task has up to 500 BigQuery jobs in flight."
  type        = number
  default     = 10

  validation {
    condition     = var.tasks >= 1 && var.tasks <= 10000
    error_message = "Cloud Run runs 1 to 10000 tasks."
  }
}

variable "cpu" {
  description = "CPUs per task."
  type        = string
  default     = "1"
}

variable "memory" {
  description = "Memory per task."
  type        = string
  default     = "512Mi"
}

variable "timeout" {
  description = "Timeout of one attempt of a task."
  type        = string
  default     = "14400s"

  validation {
    condition     = can(regex("^[1-9][0-9]*s$", var.timeout))
    error_message = "Write a number of seconds, such as 14400s."
  }
}

variable "max_retries" {
  description = "Restarts of a failed task."
  type        = number
  default     = 3
}

variable "deletion_protection" {
  description = "Protect the job and the workflow from terraform destroy."
  type        = bool
  default     = false
}

variable "read_route" {
  description = "Grant the role for the Storage Read API (the read route)."
  type        = bool
  default     = false
}

variable "append_only" {
  description = "Let the job create files, and replace or delete no earlier ones. Needs {run} in BQDUMP_PATH, uniform bucket-level access, and no copy_to in exports."
  type        = bool
  default     = false
}

variable "detect_row_policies" {
  description = "Grant a custom role in the source project that detects row access policies."
  type        = bool
  default     = true
}

variable "schedule" {
  description = "Cron schedule of the job. Empty: no schedule. It is not used where workflow_schedule is set."
  type        = string
  default     = "0 3 * * *"

  validation {
    condition     = var.schedule == "" || can(regex("^([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?(,([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?)*( +([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?(,([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?)*){4}$", lower(trimspace(var.schedule))))
    error_message = "A cron schedule has five fields, such as 0 3 * * 1-5."
  }
}

variable "time_zone" {
  description = "Time zone of the schedules."
  type        = string
  default     = "Etc/UTC"
}

variable "workflow" {
  description = "Create the workflow that exports a list of datasets with this job."
  type        = bool
  default     = false
}

variable "workflow_schedule" {
  description = "Cron schedule of the workflow. Empty: no schedule."
  type        = string
  default     = ""

  validation {
    condition     = var.workflow_schedule == "" || can(regex("^([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?(,([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?)*( +([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?(,([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?)*){4}$", lower(trimspace(var.workflow_schedule))))
    error_message = "A cron schedule has five fields, such as 0 3 * * 1-5."
  }
}

variable "exports" {
  description = "Items that the scheduled workflow exports. The accounts get their grants on every dataset and bucket of the list; buckets must exist. src/bqdump/render/workflow.yaml lists the keys of an item."
  type        = list(map(string))
  default     = []
}

variable "hours_without_export" {
  description = "Alert if nothing was published for this many hours (default: the longest time between two scheduled runs, and 2 hours). 0: no alert."
  type        = number
  default     = null
}

variable "drill_schedule" {
  description = "Cron schedule of a drill, which proves that the published export can be restored. Empty: no drills."
  type        = string
  default     = ""

  validation {
    condition     = var.drill_schedule == "" || can(regex("^([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?(,([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?)*( +([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?(,([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?)*){4}$", lower(trimspace(var.drill_schedule))))
    error_message = "A cron schedule has five fields, such as 0 3 * * 1-5."
  }
}

variable "drill_sample" {
  description = "Share of the tables that one drill restores, such as 10%, in turn. Empty: all tables."
  type        = string
  default     = ""
}

variable "hours_without_proof" {
  description = "Alert if no drill proved the export for this many hours (default: as for hours_without_export). 0: no alert."
  type        = number
  default     = null
}

variable "verify_schedule" {
  description = "Cron schedule of a check of the published files. Empty: no checks."
  type        = string
  default     = ""

  validation {
    condition     = var.verify_schedule == "" || can(regex("^([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?(,([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?)*( +([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?(,([*]|[0-9]{1,2}|[a-z]{3})(-([0-9]{1,2}|[a-z]{3}))?(/[1-9][0-9]?)?)*){4}$", lower(trimspace(var.verify_schedule))))
    error_message = "A cron schedule has five fields, such as 0 3 * * 1-5."
  }
}

variable "verify_share" {
  description = "Share of the files that one check reads, such as 10%."
  type        = string
  default     = "10%"
}

variable "verify_image" {
  description = "Image of drill and check, built with REQUIREMENTS=verify (default: image)."
  type        = string
  default     = ""
}

variable "verify_memory" {
  description = "Memory of drill and check."
  type        = string
  default     = "2Gi"
}

variable "alert_bytes_billed" {
  description = "Alert if a run or a drill bills more bytes. 0: no alert."
  type        = number
  default     = 0
}

variable "notification_channels" {
  description = "Notification channels of all alerts: projects/P/notificationChannels/N. [] for none."
  type        = list(string)
}

variable "auto_close" {
  description = "Time after which an open incident without data is closed; at least 1800s."
  type        = string
  default     = "86400s"
}

variable "events" {
  description = "Send a message to the topic NAME-published after each published export."
  type        = bool
  default     = false
}

variable "events_service" {
  description = "Cloud Run service in the same region that Eventarc calls after each published export. Empty: none."
  type        = string
  default     = ""
}

variable "labels" {
  description = "Labels for all resources that support labels."
  type        = map(string)
  default     = {}
}
