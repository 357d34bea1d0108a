variable "project" {
  description = "Project of the vault, best another one than that of the exports."
  type        = string
}

variable "name" {
  description = "Prefix of the names of accounts and roles."
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
