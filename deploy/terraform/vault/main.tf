# A vault: a bucket for locked copies, the account that copies into it, and the account that deletes what is free again.
# Their jobs are in jobs.tf.
# Best in a project of its own, whose owners are others than those of the exports.

resource "google_storage_bucket" "vault" {
  project                     = var.project
  name                        = var.bucket
  location                    = var.bucket_location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = local.labels

  # `bqdump copy --lock` locks each object. This cannot be set for a bucket that exists.
  enable_object_retention = true

  dynamic "encryption" {
    for_each = var.kms_key == "" ? [] : [var.kms_key]

    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = 7
    }
  }
}

resource "google_service_account" "copier" {
  project      = var.project
  account_id   = "${var.name}-copier"
  display_name = substr("bqdump: copies to ${var.bucket}", 0, 100)

  lifecycle {
    precondition {
      condition     = length(local.refused) == 0
      error_message = join(" ", local.refused)
    }
  }
}

resource "google_service_account" "pruner" {
  project      = var.project
  account_id   = "${var.name}-pruner"
  display_name = substr("bqdump: prunes ${var.bucket}", 0, 100)
}

# A new account is not known everywhere at once: https://cloud.google.com/iam/docs/service-accounts-create
resource "time_sleep" "accounts_known" {
  create_duration = "30s"

  triggers = {
    copier    = google_service_account.copier.member
    pruner    = google_service_account.pruner.member
    scheduler = google_service_account.scheduler.member
  }
}

# Creates and reads objects, and extends their locks. No predefined role has these permissions without others that
# delete, or that end a lock early.
resource "google_project_iam_custom_role" "copier" {
  project     = var.project
  role_id     = "${replace(var.name, "-", "_")}_copier"
  title       = "bqdump: copy to a vault"
  description = "Creates, reads and locks objects. Deletes and replaces none, and ends no lock early."
  permissions = [
    "storage.objects.create",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.setRetention",
    "storage.objects.update",
  ]
}

resource "google_storage_bucket_iam_member" "copies" {
  bucket = google_storage_bucket.vault.name
  role   = google_project_iam_custom_role.copier.id
  member = time_sleep.accounts_known.triggers["copier"]
}

# Deletes what no lock holds. Creates nothing.
resource "google_project_iam_custom_role" "pruner" {
  project     = var.project
  role_id     = "${replace(var.name, "-", "_")}_pruner"
  title       = "bqdump: prune a vault"
  description = "Lists, reads and deletes objects. Creates none, and changes no lock."
  permissions = [
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
  ]
}

resource "google_storage_bucket_iam_member" "prunes" {
  bucket = google_storage_bucket.vault.name
  role   = google_project_iam_custom_role.pruner.id
  member = time_sleep.accounts_known.triggers["pruner"]
}

# Reads the exports. Nothing there can be changed with it.
resource "google_storage_bucket_iam_member" "read_exports" {
  bucket = var.source_bucket
  role   = "roles/storage.objectViewer"
  member = time_sleep.accounts_known.triggers["copier"]
}
