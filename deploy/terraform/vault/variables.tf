variable "project" {
  description = "Project of the vault, best another one than that of the exports."
  type        = string
}

variable "name" {
  description = "Prefix of the names of accounts, roles and jobs."
  type        = string
  default     = "bqdump"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,18}[a-z0-9]$", var.name))
    error_message = "Use 6 to 20 lowercase letters, digits and hyphens, since service accounts are named after it."
  }
}

variable "bucket" {
  description = "Bucket to create for the copies."
  type        = string
}

variable "bucket_location" {
  description = "Location of the bucket."
  type        = string
}

variable "source_bucket" {
  description = "Bucket of the exports, which must exist."
  type        = string
}

variable "kms_key" {
  description = "Cloud KMS key of the copies (default: Google's). Cloud Storage's service agent of the project must have roles/cloudkms.cryptoKeyEncrypterDecrypter on it. Whoever destroys it destroys them."
  type        = string
  default     = ""
}

variable "labels" {
  description = "Labels of the bucket."
  type        = map(string)
  default     = {}
}

variable "jobs" {
  description = "Jobs of the vault: copy, prune, verify. The keys of an entry are `schedule` (cron; empty: started by hand), `image`, `memory`, `hours` (alert if it was not done for so many) and the flags of the command without `--`, such as `lock = \"35d\"`, which is what a copy has without it."
  type        = map(map(string))
  default     = {}
}

variable "region" {
  description = "Region of the jobs."
  type        = string
  default     = ""
}

variable "time_zone" {
  description = "Time zone of the schedules."
  type        = string
  default     = "Etc/UTC"
}

variable "source_project" {
  description = "Project of the exported dataset (default: project)."
  type        = string
  default     = ""
}

variable "dataset" {
  description = "The exported dataset, or several, as SOURCE_DATASET has it. Jobs need it."
  type        = string
  default     = ""
}

variable "source_prefix" {
  description = "Folder of the exports in source_bucket."
  type        = string
  default     = ""
}

variable "prefix" {
  description = "Folder of the copies in the vault."
  type        = string
  default     = ""
}

variable "settings" {
  description = "Settings of the jobs by environment variable, such as BQDUMP_SIGN, BQDUMP_TRUST and BQDUMP_KEEP_DAILY."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Secrets by environment variable, such as that of the copier's key: the name of a secret of Secret Manager, and the number of a version."
  type        = map(object({ secret = string, version = string }))
  default     = {}
}

variable "notification_channels" {
  description = "Notification channels of all alerts: projects/P/notificationChannels/N."
  type        = list(string)
  default     = []
}
