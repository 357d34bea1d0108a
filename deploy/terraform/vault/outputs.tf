output "bucket" {
  description = "Bucket with the copies."
  value       = "gs://${google_storage_bucket.vault.name}"
}

output "copier" {
  description = "Account that runs `bqdump copy --lock`."
  value       = google_service_account.copier.email
}

output "pruner" {
  description = "Account that runs `bqdump prune`."
  value       = google_service_account.pruner.email
}
