output "names" {
  description = "The names of the jobs, by command."
  value       = { for command, job in google_cloud_run_v2_job.jobs : command => job.name }
}
