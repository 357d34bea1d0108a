output "job" {
  description = "Name of the Cloud Run job."
  value       = module.jobs.names["run"]
}

output "image" {
  description = "Image of the job."
  value       = local.image
}

output "repository" {
  description = "Where images are pushed to: build bqdump:latest there."
  value       = local.repository
}

output "bucket" {
  description = "Bucket with the exports."
  value       = "gs://${var.bucket}"
}

output "published_topic" {
  description = "Topic with a message for each published export. Empty without events."
  value       = var.events ? google_pubsub_topic.published[0].id : ""
}

output "service_account" {
  description = "Service account of the job."
  value       = google_service_account.job.email
}

output "execute" {
  description = "Command that runs the job now."
  value       = "gcloud run jobs execute ${module.jobs.names["run"]} --project=${var.project} --region=${var.region} --wait"
}

output "workflow" {
  description = "Name of the workflow. Empty without one."
  value       = var.workflow ? google_workflows_workflow.exports[0].name : ""
}
