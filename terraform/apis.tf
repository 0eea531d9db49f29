# Google's APIs. They stay on when this is destroyed, since other things in the project may use them.
#
# Not among them: cloudtrace. Cloud Run traces some requests by itself, with their URLs, in which codes and mail ids stand,
# and has no switch for it. Where the project has the API on, as new ones have, docs/deploy.md turns it off.

locals {
  apis = toset(concat(
    [
      "artifactregistry", "cloudbuild", "cloudfunctions", "cloudscheduler", "cloudtasks", "firestore", "gmail", "iam",
      "iamcredentials", "logging", "monitoring", "pubsub", "risc", "run", "secretmanager", "storage",
    ],
    var.custom_domain == null && var.vpc_egress == null ? [] : ["compute"],
    var.kms_key == null ? [] : ["cloudkms"],
    var.budget == null ? [] : ["billingbudgets"],
  ))
}

# Apart and first: the project's number is read through it, and must not become unknown when an API is added later.
resource "google_project_service" "resource_manager" {
  project            = var.project_id
  service            = "cloudresourcemanager.googleapis.com"
  disable_on_destroy = false
}

resource "google_project_service" "enabled" {
  for_each           = local.apis
  project            = google_project_service.resource_manager.project
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}
