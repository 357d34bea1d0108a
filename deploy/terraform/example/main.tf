# Exports one dataset every night, and sends an e-mail if that fails.
#
#   terraform init
#   terraform apply -target=module.bqdump.google_artifact_registry_repository.images
#   gcloud builds submit --project=my-project --tag=europe-west1-docker.pkg.dev/my-project/bqdump/bqdump:latest ../../..
#   terraform apply

terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.0, < 8.0"
    }
  }
}

provider "google" {
  project = "my-project"
  region  = "europe-west1"
}

resource "google_monitoring_notification_channel" "mail" {
  display_name = "Data team"
  type         = "email"
  labels       = { email_address = "data-team@example.com" }
}

module "bqdump" {
  source = "../"

  project         = "my-project"
  region          = "europe-west1"
  dataset         = "sales"
  bucket          = "my-project-exports"
  bucket_location = "EU"
  tasks           = 10
  schedule        = "0 3 * * *"
  time_zone       = "Europe/Berlin"

  settings = {
    BQDUMP_PREFIX      = "sales"
    BQDUMP_FORMAT      = "parquet"
    BQDUMP_COMPRESSION = "zstd"
  }

  notification_channels = [google_monitoring_notification_channel.mail.id]
}

output "execute" {
  value = module.bqdump.execute
}
