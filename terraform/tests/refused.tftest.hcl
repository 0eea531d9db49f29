# Values that are refused before anything is made; each message says what would be right.

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

run "a_project_number" {
  command = plan
  variables {
    project_id = "123456789012"
  }
  expect_failures = [var.project_id]
}

run "a_project_name" {
  command = plan
  variables {
    project_id = "Acme CRM Mail"
  }
  expect_failures = [var.project_id]
}

run "a_zone" {
  command = plan
  variables {
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "a_multi_region" {
  command = plan
  variables {
    region = "eu"
  }
  expect_failures = [var.region]
}

run "no_issuer" {
  command = plan
  variables {
    crm = { issuer = "", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"] }
  }
  expect_failures = [var.crm]
}

run "no_audience" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"] }
  }
  expect_failures = [var.crm]
}

run "no_keys" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"] }
  }
  expect_failures = [var.crm]
}

run "both_kinds_of_keys" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"], jwks = "{\"keys\": [{}]}" }
  }
  expect_failures = [var.crm]
}

run "keys_over_http" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "http://crm.example.com/jwks.json", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"] }
  }
  expect_failures = [var.crm]
}

run "keys_that_are_no_key_set" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"], jwks = "{}" }
  }
  expect_failures = [var.crm]
}

run "an_empty_key_set" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"], jwks = "{\"keys\": []}" }
  }
  expect_failures = [var.crm]
}

run "no_origin" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = [], return_to_urls = ["https://crm.example.com/gmail/connected"] }
  }
  expect_failures = [var.crm]
}

run "any_origin" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["*"], return_to_urls = ["https://crm.example.com/gmail/connected"] }
  }
  expect_failures = [var.crm]
}

run "an_origin_with_a_slash" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["https://crm.example.com/"], return_to_urls = ["https://crm.example.com/gmail/connected"] }
  }
  expect_failures = [var.crm]
}

run "an_origin_over_http" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["http://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"] }
  }
  expect_failures = [var.crm]
}

run "two_origins_in_one" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["https://a.example.com,https://b.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"] }
  }
  expect_failures = [var.crm]
}

run "no_page_to_return_to" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["https://crm.example.com"], return_to_urls = [] }
  }
  expect_failures = [var.crm]
}

run "a_page_without_a_path" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com"] }
  }
  expect_failures = [var.crm]
}

run "a_page_with_a_fragment" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail#done"] }
  }
  expect_failures = [var.crm]
}

run "no_administrators" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"], admin_roles = [] }
  }
  expect_failures = [var.crm]
}

run "two_roles_in_one" {
  command = plan
  variables {
    crm = { issuer = "https://crm.example.com", audience = "gmail", jwks_url = "https://crm.example.com/jwks.json", allowed_origins = ["https://crm.example.com"], return_to_urls = ["https://crm.example.com/gmail/connected"], admin_roles = ["administrator,owner"] }
  }
  expect_failures = [var.crm]
}

run "a_client_secret" {
  command = plan
  variables {
    oauth_client_id = "GOCSPX-abcdefghijklmnop"
  }
  expect_failures = [var.oauth_client_id]
}

run "the_latest_version" {
  command = plan
  variables {
    secret_versions = { sealing_keys = 0 }
  }
  expect_failures = [var.secret_versions]
}

run "half_a_version" {
  command = plan
  variables {
    secret_versions = { sealing_keys = 1.5 }
  }
  expect_failures = [var.secret_versions]
}

run "a_webhook_over_http" {
  command = plan
  variables {
    webhook_url = "http://crm.example.com/news"
  }
  expect_failures = [var.webhook_url]
}

run "a_webhook_inside" {
  command = plan
  variables {
    webhook_url = "https://10.0.0.1/news"
  }
  expect_failures = [var.webhook_url]
}

run "a_webhook_on_this_machine" {
  command = plan
  variables {
    webhook_url = "https://localhost/news"
  }
  expect_failures = [var.webhook_url]
}

run "a_webhook_with_a_password" {
  command = plan
  variables {
    webhook_url = "https://user:secret@crm.example.com/news"
  }
  expect_failures = [var.webhook_url]
}

run "a_database_without_its_parentheses" {
  command = plan
  variables {
    firestore = { database = "default_" }
  }
  expect_failures = [var.firestore]
}

run "a_function_that_is_none" {
  command = plan
  variables {
    functions = { mail-proxy = {} }
  }
  expect_failures = [var.functions]
}

run "memory_without_a_unit" {
  command = plan
  variables {
    functions = { mail_proxy = { memory = "1024" } }
  }
  expect_failures = [var.functions]
}

run "half_a_cpu_for_many_requests" {
  command = plan
  variables {
    functions = { mail_proxy = { cpu = 0.5 } }
  }
  expect_failures = [var.functions]
}

run "no_concurrency" {
  command = plan
  variables {
    functions = { mail_proxy = { concurrency = 0 } }
  }
  expect_failures = [var.functions]
}

run "less_at_most_than_at_least" {
  command = plan
  variables {
    functions = { mail_proxy = { min_instances = 5, max_instances = 2 } }
  }
  expect_failures = [var.functions]
}

run "a_queue_that_is_none" {
  command = plan
  variables {
    queue_rates = { mail_send = 5 }
  }
  expect_failures = [var.queue_rates]
}

run "a_rate_that_stops" {
  command = plan
  variables {
    queue_rates = { mail-send = 0 }
  }
  expect_failures = [var.queue_rates]
}

run "the_whole_of_a_mailbox" {
  command = plan
  variables {
    limits = { background_share = 1 }
  }
  expect_failures = [var.limits]
}

run "a_negative_limit" {
  command = plan
  variables {
    limits = { cache_bytes = -1 }
  }
  expect_failures = [var.limits]
}

run "uploads_that_gmail_refuses" {
  command = plan
  variables {
    limits = { max_upload_bytes = 30000000 }
  }
  expect_failures = [var.limits]
}

run "an_address_without_a_domain" {
  command = plan
  variables {
    alerts = { emails = ["operations"] }
  }
  expect_failures = [var.alerts]
}

run "a_share_in_per_cent" {
  command = plan
  variables {
    alerts = { error_ratio = 2 }
  }
  expect_failures = [var.alerts]
}

run "a_version_of_a_key" {
  command = plan
  variables {
    kms_key = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"
  }
  expect_failures = [var.kms_key]
}

run "a_key_elsewhere" {
  command = plan
  variables {
    kms_key = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
  }
  expect_failures = [var.kms_key]
}

run "a_domain_with_a_scheme" {
  command = plan
  variables {
    custom_domain = "https://gmail.crm.example.com"
  }
  expect_failures = [var.custom_domain]
}

run "a_label_in_capitals" {
  command = plan
  variables {
    labels = { Team = "crm" }
  }
  expect_failures = [var.labels]
}

run "a_billing_account_by_name" {
  command = plan
  variables {
    budget = { billing_account = "Acme", amount = 100 }
  }
  expect_failures = [var.budget]
}

run "a_budget_of_nothing" {
  command = plan
  variables {
    budget = { billing_account = "012345-6789AB-CDEF01", amount = 0 }
  }
  expect_failures = [var.budget]
}

run "a_key_away_from_its_database" {
  command = plan
  variables {
    kms_key   = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k"
    firestore = { location = "eur3" }
  }
  expect_failures = [var.kms_key]
}

run "half_a_unit" {
  command = plan
  variables {
    limits = { mailbox_units_per_minute = 6000.5 }
  }
  expect_failures = [var.limits]
}

run "the_label_of_refresh_tokens" {
  command = plan
  variables {
    labels = { kind = "refresh-token" }
  }
  expect_failures = [var.labels]
}
