variable "project" {
  description = "Project that runs the job and pays for it."
  type        = string
}

variable "region" {
  description = "Region of the job, the images, the schedule and the workflow."
  type        = string
}

variable "name" {
  description = "Name of the job, and the beginning of every other name."
  type        = string
  default     = "bqdump"
}

variable "image" {
  description = "Container image. Empty: bqdump:latest in the repository that this module makes."
  type        = string
  default     = ""
}

variable "source_project" {
  description = "Project that holds the dataset. Empty: the same as project."
  type        = string
  default     = ""
}

variable "dataset" {
  description = "Dataset to export."
  type        = string
}

variable "bucket" {
  description = "Bucket to export to."
  type        = string
}

variable "create_bucket" {
  description = "Make the bucket; false uses one that exists."
  type        = bool
  default     = true
}

variable "bucket_location" {
  description = "Location of a new bucket: best where the dataset lies."
  type        = string
  default     = "US"
}

variable "bucket_force_destroy" {
  description = "Let terraform destroy delete the bucket although it holds exports."
  type        = bool
  default     = false
}

variable "bucket_soft_delete_seconds" {
  description = "How long a new bucket keeps deleted and replaced objects, which are billed for that time; 0 turns soft delete off."
  type        = number
  default     = 604800
}

variable "kms_key" {
  description = "Cloud KMS key of the exports, and the default of a new bucket: projects/P/locations/L/keyRings/R/cryptoKeys/K."
  type        = string
  default     = ""
}

variable "job_kms_key" {
  description = "Cloud KMS key for the job's image, in the job's region. Empty: Google's keys."
  type        = string
  default     = ""
}

variable "settings" {
  description = "Other settings of the export by their environment names, such as BQDUMP_FORMAT."
  type        = map(string)
  default     = {}
}

variable "tasks" {
  description = "Tasks of an execution. One task has up to 500 BigQuery jobs in flight."
  type        = number
  default     = 10

  validation {
    condition     = var.tasks >= 1 && var.tasks <= 10000
    error_message = "Cloud Run runs 1 to 10000 tasks."
  }
}

variable "cpu" {
  description = "CPUs of a task."
  type        = string
  default     = "1"
}

variable "memory" {
  description = "Memory of a task."
  type        = string
  default     = "512Mi"
}

variable "timeout" {
  description = "Longest time of one attempt of a task."
  type        = string
  default     = "14400s"
}

variable "max_retries" {
  description = "How often a failed task is started again."
  type        = number
  default     = 3
}

variable "deletion_protection" {
  description = "Keep terraform destroy from deleting the job and the workflow."
  type        = bool
  default     = false
}

variable "read_route" {
  description = "Grant what the Storage Read API needs (the read route)."
  type        = bool
  default     = false
}

variable "detect_row_policies" {
  description = "Grant what it takes to see row access policies, by a custom role in the source project."
  type        = bool
  default     = true
}

variable "schedule" {
  description = "When the job runs, as cron. Empty: never by itself."
  type        = string
  default     = "0 3 * * *"
}

variable "time_zone" {
  description = "Time zone of the schedules."
  type        = string
  default     = "Etc/UTC"
}

variable "workflow" {
  description = "Make the workflow that exports a list of datasets with this job."
  type        = bool
  default     = false
}

variable "workflow_schedule" {
  description = "When the workflow runs, as cron. Empty: never by itself."
  type        = string
  default     = ""
}

variable "exports" {
  description = "What the scheduled workflow exports: see deploy/workflow.yaml for the keys of an item."
  type        = list(map(string))
  default     = []
}

variable "hours_without_export" {
  description = "Alert when nothing was published for so many hours; 0: no such alert."
  type        = number
  default     = 26
}

variable "notification_channels" {
  description = "Monitoring channels that hear of alerts: projects/P/notificationChannels/N."
  type        = list(string)
  default     = []
}

variable "labels" {
  description = "Labels of everything that takes labels."
  type        = map(string)
  default     = {}
}
