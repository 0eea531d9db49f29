# Everything that can be turned on, at once.

mock_provider "google" {
  override_data {
    target = data.google_project.this
    values = { number = "123456789012" }
  }
}

mock_provider "archive" {}

variables {
  project_id = "acme-crm-mail"
  crm = {
    issuer          = "https://crm.example.com"
    audience        = "gmail"
    tenant          = "acme"
    jwks            = "{\"keys\": [{\"kty\": \"RSA\"}]}"
    allowed_origins = ["https://crm.example.com", "https://www.crm.example.com:8443"]
    return_to_urls  = ["https://crm.example.com/gmail/connected?from=gmail"]
    claims          = { user = "uid" }
  }
  oauth_client_id = "123456789012-abc.apps.googleusercontent.com"
  webhook_url     = "https://crm.example.com/gmail-news"
  secret_versions = { sealing_keys = 3 }
  firestore       = { database = "crm-mail" }
  functions       = { mail_proxy = { memory = "2Gi", concurrency = 40 } }
  queue_rates     = { magnet-ingest = 50 }
  limits          = { mailbox_units_per_minute = 15000, background_share = 0.25 }
  alerts          = { emails = ["crm-operations@example.com"] }
  kms_key         = "projects/acme-keys/locations/europe-west1/keyRings/crm/cryptoKeys/mail"
  vpc_egress      = { network = "crm", subnetwork = "crm-europe-west1" }
  custom_domain   = "gmail.crm.example.com"
  labels          = { team = "crm" }
  budget          = { billing_account = "012345-6789AB-CDEF01", amount = 100 }
  allow_destroy   = true
}

run "everything_on" {
  assert {
    condition     = output.redirect_uri == "https://gmail.crm.example.com/oauth_callback/callback"
    error_message = "With a domain of one's own consent returns there."
  }
  assert {
    condition     = google_cloud_scheduler_job.this["housekeeping"].http_target[0].oidc_token[0].audience == google_cloudfunctions2_function.this["oauth_callback"].service_config[0].environment_variables["OAUTH_CALLBACK_URL"]
    error_message = "Whatever the domain, internal calls are for the address that the function checks."
  }
  assert {
    condition     = google_cloudfunctions2_function.this["mail_proxy"].service_config[0].environment_variables["THREADS"] == "40" && google_cloudfunctions2_function.this["mail_proxy"].service_config[0].max_instance_request_concurrency == 40
    error_message = "Threads and concurrency must be the same number."
  }
  assert {
    condition     = [for secret in google_cloudfunctions2_function.this["magnet_ingest"].service_config[0].secret_environment_variables : secret.key] == ["HMAC_KEY", "OAUTH_CLIENT_SECRET", "WEBHOOK_KEY"]
    error_message = "magnet_ingest signs what the webhook is told."
  }
}

run "rates" {
  variables {
    queue_rates = { magnet-ingest = 50, mail-send = 0.5 }
  }

  assert {
    condition     = { for name, queue in google_cloud_tasks_queue.this : name => queue.rate_limits[0].max_concurrent_dispatches } == { housekeeping = 5, label-sweep = 40, magnet-ingest = 100, mail-send = 20, webhook = 20 }
    error_message = "What is under way at once must let a higher rate be reached."
  }
}

run "existing_database" {
  variables {
    kms_key   = null
    firestore = { database = "crm-mail", location = "eur3", existing = true }
  }

  assert {
    condition     = length(google_firestore_database.this) == 0 && alltrue([for index in google_firestore_index.this : index.database == "crm-mail"])
    error_message = "An existing database gets the indexes and is not made."
  }
}
