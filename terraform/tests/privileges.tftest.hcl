# Who may do what: each grant is listed here once more, so that none is added in passing.

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
  oauth_client_id = "123456789012-abc.apps.googleusercontent.com"
  webhook_url     = "https://crm.example.com/gmail-news"
}

run "least_privilege" {
  # In the project.
  assert {
    condition     = alltrue([for name, grant in google_project_iam_member.firestore : grant.role == "roles/datastore.user" && grant.member == google_service_account.function[name].member && grant.condition[0].expression == "resource.name == \"projects/acme-crm-mail/databases/(default)\""])
    error_message = "Each function uses this database, and no other."
  }
  assert {
    condition     = toset(keys(google_project_iam_member.refresh_token_reader)) == toset(["label_sweep", "magnet_ingest", "mail_proxy"]) && alltrue([for name, grant in google_project_iam_member.refresh_token_reader : grant.role == "roles/secretmanager.secretAccessor" && grant.member == google_service_account.function[name].member && grant.condition[0].expression == "resource.name.startsWith(\"projects/123456789012/secrets/gmail-\")"])
    error_message = "Three functions read secrets whose name begins with gmail-, and no others."
  }
  assert {
    condition     = google_project_iam_member.refresh_token_keeper.member == google_service_account.function["oauth_callback"].member && google_project_iam_member.refresh_token_keeper.role == google_project_iam_custom_role.refresh_token_keeper.id && google_project_iam_member.refresh_token_keeper.condition[0].expression == "resource.name.startsWith(\"projects/123456789012/secrets/gmail-\")"
    error_message = "oauth_callback alone writes secrets, those whose name begins with gmail-."
  }
  assert {
    condition     = google_project_iam_custom_role.secret_maker.permissions == toset(["secretmanager.secrets.create", "secretmanager.secrets.list"]) && google_project_iam_member.secret_maker.member == google_service_account.function["oauth_callback"].member
    error_message = "oauth_callback alone makes and lists secrets, and without a condition may do no more."
  }
  assert {
    condition     = toset(concat([for grant in google_project_iam_member.builder : grant.role], [google_project_iam_member.builder_source.role])) == toset(["roles/artifactregistry.writer", "roles/logging.logWriter", "roles/storage.objectViewer"])
    error_message = "The builder builds, and does nothing else."
  }

  # On single resources.
  assert {
    condition = toset(keys(google_secret_manager_secret_iam_member.reader)) == toset([
      "label_sweep/hmac_key", "label_sweep/oauth_client_secret",
      "magnet_ingest/hmac_key", "magnet_ingest/oauth_client_secret", "magnet_ingest/webhook_key",
      "mail_proxy/hmac_key", "mail_proxy/oauth_client_secret", "mail_proxy/sealing_keys",
      "oauth_callback/hmac_key", "oauth_callback/oauth_client_secret", "oauth_callback/sealing_keys",
    ])
    error_message = "Each function reads the deployment's secrets that its code uses."
  }
  assert {
    condition     = alltrue([for key, grant in google_secret_manager_secret_iam_member.reader : grant.role == "roles/secretmanager.secretAccessor" && grant.member == google_service_account.function[split("/", key)[0]].member && grant.secret_id == replace(split("/", key)[1], "_", "-")])
    error_message = "A grant on a secret is for the function and the secret of its name."
  }
  assert {
    condition = toset(keys(google_cloud_tasks_queue_iam_member.writer)) == toset([
      "label_sweep/label-sweep", "label_sweep/magnet-ingest", "label_sweep/webhook",
      "magnet_ingest/magnet-ingest", "magnet_ingest/webhook",
      "mail_proxy/magnet-ingest", "mail_proxy/mail-send", "mail_proxy/webhook",
      "oauth_callback/housekeeping", "oauth_callback/label-sweep", "oauth_callback/magnet-ingest", "oauth_callback/webhook",
    ]) && alltrue([for key, grant in google_cloud_tasks_queue_iam_member.writer : grant.role == "roles/cloudtasks.enqueuer" && grant.member == google_service_account.function[split("/", key)[0]].member && grant.name == split("/", key)[1]])
    error_message = "Each function leaves tasks in the queues that its code uses."
  }
  assert {
    condition = toset(keys(google_service_account_iam_member.task_author)) == toset([
      "label_sweep/tasks", "magnet_ingest/tasks", "mail_proxy/tasks", "oauth_callback/housekeeping", "oauth_callback/tasks",
    ]) && alltrue([for key, grant in google_service_account_iam_member.task_author : grant.role == "roles/iam.serviceAccountUser" && grant.member == google_service_account.function[split("/", key)[0]].member && grant.service_account_id == google_service_account.caller[split("/", key)[1]].name])
    error_message = "A function acts as those accounts alone in whose name it leaves tasks."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.gmail.topic == "gmail-push" && google_pubsub_topic_iam_member.gmail.role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.gmail.member == "serviceAccount:gmail-api-push@system.gserviceaccount.com"
    error_message = "Gmail publishes to the topic of its pushes."
  }

  # Who may call.
  assert {
    condition     = google_cloud_run_v2_service_iam_binding.invoker["magnet_ingest"].members == toset([google_service_account.caller["push"].member, google_service_account.caller["scheduler"].member, google_service_account.caller["tasks"].member])
    error_message = "magnet_ingest is called by Pub/Sub, Scheduler and Tasks."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_binding.invoker["label_sweep"].members == toset([google_service_account.caller["scheduler"].member, google_service_account.caller["tasks"].member])
    error_message = "label_sweep is called by Scheduler and Tasks."
  }
  assert {
    condition     = { for name, function in google_cloudfunctions2_function.this : name => function.service_config[0].ingress_settings } == { label_sweep = "ALLOW_INTERNAL_ONLY", magnet_ingest = "ALLOW_INTERNAL_ONLY", mail_proxy = "ALLOW_ALL", oauth_callback = "ALLOW_ALL" }
    error_message = "The private functions are not even reached from outside."
  }
  assert {
    condition     = alltrue([for name, function in google_cloudfunctions2_function.this : function.service_config[0].service_account_email == google_service_account.function[name].email])
    error_message = "Each function runs as its own account."
  }
}

run "what_cannot_be_made_again_is_protected" {
  assert {
    condition     = google_firestore_database.this[0].delete_protection_state == "DELETE_PROTECTION_ENABLED" && google_firestore_database.this[0].deletion_policy == "PREVENT" && google_firestore_database.this[0].point_in_time_recovery_enablement == "POINT_IN_TIME_RECOVERY_DISABLED"
    error_message = "The database is not deleted in passing, and what is deleted in it is gone."
  }
  assert {
    condition     = [for name, secret in google_secret_manager_secret.this : name if secret.deletion_protection] == ["hmac_key"]
    error_message = "The HMAC key is not deleted in passing."
  }
}
