# The two applies of a new project, with nothing set that has a default.

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
    jwks_url        = "https://crm.example.com/jwks.json"
    allowed_origins = ["https://crm.example.com"]
    return_to_urls  = ["https://crm.example.com/gmail/connected"]
  }
}

run "first_apply_tells_the_redirect_uri_and_starts_nothing" {
  assert {
    condition     = output.redirect_uri == "https://oauth-callback-123456789012.europe-west1.run.app/callback"
    error_message = "The redirect URI must be known before the OAuth client exists."
  }
  assert {
    condition     = length(google_cloudfunctions2_function.this) == 0 && length(google_cloud_scheduler_job.this) == 0 && length(google_pubsub_subscription.push) == 0
    error_message = "Without an OAuth client nothing may be started."
  }
  assert {
    condition     = toset(keys(google_secret_manager_secret.this)) == toset(["hmac_key", "oauth_client_secret", "sealing_keys"])
    error_message = "The first apply must make the secrets that are to be filled."
  }
}

run "second_apply_starts_the_functions" {
  variables {
    oauth_client_id = "123456789012-abc.apps.googleusercontent.com"
  }

  assert {
    condition     = [for function in google_cloudfunctions2_function.this : function.name] == ["label-sweep", "magnet-ingest", "mail-proxy", "oauth-callback"]
    error_message = "There must be four functions, with hyphens."
  }
  assert {
    condition     = [for name, function in google_cloudfunctions2_function.this : name if lookup(function.service_config[0].environment_variables, "TRUST_RUN_IAM", "") != ""] == ["label_sweep", "magnet_ingest"]
    error_message = "TRUST_RUN_IAM must be set on the private functions alone."
  }
  assert {
    condition     = alltrue([for name in ["oauth_callback", "mail_proxy"] : google_cloud_run_v2_service_iam_binding.invoker[name].members == toset(["allUsers"])])
    error_message = "The public functions must be open to all: they check the CRM's tokens themselves."
  }
  assert {
    condition     = google_pubsub_subscription.push[0].push_config[0].push_endpoint == "https://magnet-ingest-123456789012.europe-west1.run.app/"
    error_message = "Pub/Sub must push to magnet_ingest."
  }
  assert {
    condition     = google_pubsub_subscription.push[0].expiration_policy[0].ttl == ""
    error_message = "The push subscription must never expire."
  }
}
