# Exports one dataset every night, and sends an e-mail if that fails. From the root of a clone:
#
#   alias terraform="terraform -chdir=deploy/terraform/example"
#   terraform init
#   terraform apply -target=module.bqdump.google_artifact_registry_repository_iam_member.build_pushes \
#     -target=module.bqdump.google_project_iam_member.build_reads_sources \
#     -target=module.bqdump.google_project_iam_member.build_logs
#   gcloud builds submit --project=my-project --config=deploy/cloudbuild.yaml \
#     --substitutions=_IMAGE=europe-west1-docker.pkg.dev/my-project/bqdump/bqdump:latest,_ACCOUNT=bqdump-build@my-project.iam.gserviceaccount.com .
#   terraform apply

terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.15, < 9.0"
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
