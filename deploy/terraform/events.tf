# Events: a message for each published export, to a topic; and from there to a Cloud Run service, if one is named.

resource "google_pubsub_topic" "published" {
  count = var.events ? 1 : 0

  project = var.project
  name    = "${var.name}-published"
  labels  = local.labels

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_project_service.used]
}

# The agent of Cloud Storage, which sends the notifications of a bucket.
data "google_storage_project_service_account" "agent" {
  count = var.events ? 1 : 0

  project = var.project
}

resource "google_pubsub_topic_iam_member" "storage_publishes" {
  count = var.events ? 1 : 0

  project = var.project
  topic   = google_pubsub_topic.published[0].name
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${data.google_storage_project_service_account.agent[0].email_address}"
}

resource "google_storage_notification" "published" {
  for_each = {
    for object in local.published_objects : object.bucket == var.bucket ? object.name : "${object.bucket}/${object.name}" => object
    if var.events
  }

  bucket             = var.create_bucket && each.value.bucket == var.bucket ? google_storage_bucket.exports[0].name : each.value.bucket
  topic              = google_pubsub_topic.published[0].id
  payload_format     = "JSON_API_V1"
  event_types        = ["OBJECT_FINALIZE"]
  object_name_prefix = each.value.name

  depends_on = [google_pubsub_topic_iam_member.storage_publishes]
}

# Calls the service, and can do nothing else.
resource "google_service_account" "events" {
  count = var.events && var.events_service != "" ? 1 : 0

  project      = var.project
  account_id   = "${var.name}-events"
  display_name = "bqdump: calls a service after each published export"
}

resource "google_project_iam_member" "events_received" {
  count = var.events && var.events_service != "" ? 1 : 0

  project = var.project
  role    = "roles/eventarc.eventReceiver"
  member  = time_sleep.accounts_known.triggers["events"]
}

resource "google_cloud_run_v2_service_iam_member" "events_call_service" {
  count = var.events && var.events_service != "" ? 1 : 0

  project  = var.project
  location = var.region
  name     = var.events_service
  role     = "roles/run.invoker"
  member   = time_sleep.accounts_known.triggers["events"]
}

resource "google_eventarc_trigger" "published" {
  count = var.events && var.events_service != "" ? 1 : 0

  project         = var.project
  name            = "${var.name}-published"
  location        = var.region
  service_account = google_service_account.events[0].email
  labels          = local.labels

  matching_criteria {
    attribute = "type"
    value     = "google.cloud.pubsub.topic.v1.messagePublished"
  }

  transport {
    pubsub {
      topic = google_pubsub_topic.published[0].id
    }
  }

  destination {
    cloud_run_service {
      service = var.events_service
      region  = var.region
    }
  }

  depends_on = [
    google_project_service.used,
    google_project_iam_member.events_received,
    google_cloud_run_v2_service_iam_member.events_call_service,
  ]
}
