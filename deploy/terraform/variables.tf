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
  description = "Dataset to export, or several: names and patterns (* and ?, label:KEY=VALUE), separated by commas."
  type        = string
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
}

variable "exports" {
  description = "Items that the scheduled workflow exports. The accounts get their grants on every dataset and bucket of the list; buckets must exist. workflow.yaml lists the keys of an item."
  type        = list(map(string))
  default     = []
}

variable "hours_without_export" {
  description = "Alert if nothing was published for this many hours (default: an hour less than BQDUMP_RPO in settings; without, the longest time between two scheduled runs, and 2 hours). 0: no alert."
  type        = number
  default     = null
}

variable "jobs" {
  description = "Jobs of other commands: drill, verify, copy, prune, restore. The keys of an entry are `schedule` (cron; empty: started by hand), `dest` of a copy, `image`, `memory`, `tasks`, `hours` (alert if it was not done for so many; default: as for hours_without_export, of which BQDUMP_RPO concerns drills only), and the flags of the command without `--`, such as `sample = \"10%\"`."
  type        = map(map(string))
  default     = {}
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
