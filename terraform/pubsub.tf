# Gmail's push: it publishes here, Pub/Sub pushes to magnet_ingest, and what never succeeds is kept aside for a week.

locals {
  pubsub_agent = "serviceAccount:service-${local.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  topics       = { push = "gmail-push", dead = "gmail-push-dead" }
}

resource "google_pubsub_topic" "this" {
  for_each     = local.topics
  project      = local.project_id
  name         = each.value
  kms_key_name = var.kms_key

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

# Gmail itself. Organisations that allow only members of their own domains refuse this grant: docs/deploy.md.
resource "google_pubsub_topic_iam_member" "gmail" {
  project = local.project_id
  topic   = google_pubsub_topic.this["push"].name
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:gmail-api-push@system.gserviceaccount.com"
}

resource "google_pubsub_subscription" "push" {
  count   = local.is_deployed ? 1 : 0
  project = local.project_id
  name    = "gmail-push"
  topic   = google_pubsub_topic.this["push"].id

  # As long as the function may take; what is answered later comes again.
  ack_deadline_seconds       = local.timeout_s
  message_retention_duration = "86400s"

  push_config {
    push_endpoint = "${local.urls["magnet_ingest"]}/"

    oidc_token {
      service_account_email = google_service_account.caller["push"].email
      audience              = local.urls["magnet_ingest"]
    }
  }

  # Never: the default ends a subscription that was quiet for 31 days.
  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # 20 tries take two to three hours. A push only says that there is something new: the next one, or the daily
  # reconciliation, finds what a lost one had announced.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.this["dead"].id
    max_delivery_attempts = 20
  }

  depends_on = [
    google_cloud_run_v2_service_iam_binding.invoker,
    google_pubsub_topic_iam_member.dead_letter_agent,
  ]
}

# Where dead letters wait to be looked at and replayed.
resource "google_pubsub_subscription" "dead" {
  project                    = local.project_id
  name                       = "gmail-push-dead"
  topic                      = google_pubsub_topic.this["dead"].id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub's own agent moves dead letters: it publishes to one topic and acknowledges on the other's subscription.
resource "google_pubsub_topic_iam_member" "dead_letter_agent" {
  project = local.project_id
  topic   = google_pubsub_topic.this["dead"].name
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letter_agent" {
  count        = local.is_deployed ? 1 : 0
  project      = local.project_id
  subscription = google_pubsub_subscription.push[0].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# It also signs in as the push account; projects made before April 2021 need to say so.
resource "google_service_account_iam_member" "push_agent" {
  service_account_id = google_service_account.caller["push"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.pubsub_agent
}
