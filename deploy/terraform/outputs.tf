output "job" {
  description = "Name of the Cloud Run job."
  value       = google_cloud_run_v2_job.export.name
}

output "image" {
  description = "Image that the job runs: build and push it under this name."
  value       = local.image
}

output "bucket" {
  description = "Where the exports are."
  value       = "gs://${var.bucket}"
}

output "service_account" {
  description = "Account that the job runs as."
  value       = google_service_account.job.email
}

output "execute" {
  description = "Command that runs the job now."
  value       = "gcloud run jobs execute ${google_cloud_run_v2_job.export.name} --project=${var.project} --region=${var.region} --wait"
}

output "workflow" {
  description = "Name of the workflow; empty without one."
  value       = var.workflow ? google_workflows_workflow.exports[0].name : ""
}
