locals {
  rows           = jsondecode(file("${path.module}/jobs/rows.json"))
  source_project = var.source_project == "" ? var.project : var.source_project
  repository     = "${var.region}-docker.pkg.dev/${replace(var.project, ":", "/")}/${var.name}"
  # A tag is resolved to its digest, so that every task of an execution runs the same image, and `apply` deploys a new one.
  image          = var.image == "" ? data.google_artifact_registry_docker_image.latest[0].self_link : var.image
  labels         = merge({ app = "bqdump" }, var.labels)

  environment = merge(
    var.settings,
    {
      PROJECT_ID         = local.source_project
      SOURCE_DATASET     = local.job_export.dataset
      DESTINATION_BUCKET = var.bucket
      BQDUMP_JOB_PROJECT = var.project
    },
    var.kms_key == "" ? {} : { BQDUMP_KMS_KEY = var.kms_key },
  )

  services = [
    "artifactregistry.googleapis.com",
    "bigquery.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudscheduler.googleapis.com",
    "containeranalysis.googleapis.com",
    "eventarc.googleapis.com",
    "iam.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    "workflowexecutions.googleapis.com",
    "workflows.googleapis.com",
  ]
}

resource "google_project_service" "used" {
  for_each = toset(local.services)

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = var.region
  repository_id = var.name
  format        = "DOCKER"
  description   = "Images of bqdump"
  labels        = local.labels

  cleanup_policies {
    id     = "keep-ten"
    action = "KEEP"

    most_recent_versions {
      keep_count = 10
    }
  }

  cleanup_policies {
    id     = "drop-old"
    action = "DELETE"

    condition {
      older_than = "7776000s"
    }
  }

  depends_on = [google_project_service.used]
}

data "google_artifact_registry_docker_image" "latest" {
  count = var.image == "" ? 1 : 0

  project       = var.project
  location      = var.region
  repository_id = google_artifact_registry_repository.images.repository_id
  image_name    = "bqdump:latest"
}

resource "google_storage_bucket" "exports" {
  count = var.create_bucket ? 1 : 0

  project                     = var.project
  name                        = var.bucket
  location                    = var.bucket_location
  force_destroy               = var.bucket_force_destroy
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = local.labels

  # Keeps deleted and replaced files restorable. They are billed for that time.
  soft_delete_policy {
    retention_duration_seconds = var.bucket_soft_delete_seconds
  }

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
