# Service accounts and what they may do in the project. Grants on one resource stand beside it.

# Who the functions are.
resource "google_service_account" "function" {
  for_each     = local.functions
  project      = local.project_id
  account_id   = local.services[each.key]
  display_name = each.key
  description  = each.value.description
}

# Who calls them.
resource "google_service_account" "caller" {
  for_each     = local.callers
  project      = local.project_id
  account_id   = each.value.account_id
  display_name = each.value.account_id
  description  = each.value.description
}

# Who builds them. The default accounts that Google would take may do far more, or nothing, by organisation.
resource "google_service_account" "builder" {
  project      = local.project_id
  account_id   = "function-builder"
  display_name = "function-builder"
  description  = "Builds the functions' images from their source archives."
}

resource "google_project_iam_member" "builder" {
  for_each = toset(["roles/artifactregistry.writer", "roles/logging.logWriter"])
  project  = local.project_id
  role     = each.key
  member   = google_service_account.builder.member
}

# Cloud Functions copies each archive into a bucket of its own, which Cloud Build reads.
resource "google_project_iam_member" "builder_source" {
  project = local.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.builder.member

  condition {
    title      = "functions' sources only"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-${local.project_number}-\")"
  }
}

# The one database, in case the project has others.
resource "google_project_iam_member" "firestore" {
  for_each = local.functions
  project  = local.project_id
  role     = "roles/datastore.user"
  member   = google_service_account.function[each.key].member

  condition {
    title      = "this database only"
    expression = "resource.name == \"projects/${var.project_id}/databases/${var.firestore.database}\""
  }
}

# Refresh tokens: secrets that the functions make, named gmail-… (common/secrets.py). IAM names them by the project's
# number. All functions read them; oauth_callback alone makes, renews, lists and deletes them.
locals {
  refresh_token_condition = "resource.name.startsWith(\"projects/${local.project_number}/secrets/gmail-\")"
}

resource "google_project_iam_member" "refresh_token_reader" {
  for_each = toset([for name in keys(local.functions) : name if name != "oauth_callback"])
  project  = local.project_id
  role     = "roles/secretmanager.secretAccessor"
  member   = google_service_account.function[each.key].member

  condition {
    title      = "refresh tokens only"
    expression = local.refresh_token_condition
  }
}

resource "google_project_iam_custom_role" "refresh_token_keeper" {
  project     = local.project_id
  role_id     = "refreshTokenKeeper"
  title       = "Keeper of refresh tokens"
  description = "Reads, renews and destroys the secrets of connections."
  permissions = [
    "secretmanager.secrets.delete",
    "secretmanager.versions.access",
    "secretmanager.versions.add",
    "secretmanager.versions.destroy",
    "secretmanager.versions.list",
  ]
}

resource "google_project_iam_member" "refresh_token_keeper" {
  project = local.project_id
  role    = google_project_iam_custom_role.refresh_token_keeper.id
  member  = google_service_account.function["oauth_callback"].member

  condition {
    title      = "refresh tokens only"
    expression = local.refresh_token_condition
  }
}

# Both are checked on the project, so a condition on a secret's name would deny them. Listing shows names, no values.
resource "google_project_iam_custom_role" "secret_maker" {
  project     = local.project_id
  role_id     = "refreshTokenMaker"
  title       = "Maker of refresh tokens' secrets"
  description = "Makes secrets, and lists them to find orphans."
  permissions = ["secretmanager.secrets.create", "secretmanager.secrets.list"]
}

resource "google_project_iam_member" "secret_maker" {
  project = local.project_id
  role    = google_project_iam_custom_role.secret_maker.id
  member  = google_service_account.function["oauth_callback"].member
}
