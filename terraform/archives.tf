# The functions' source archives, four from one tree. archives.json says which files go where; an archive's name holds its
# hash, so that a function is deployed anew when its own files changed, and only then.
#
# Plan and apply must run on the same machine, since the plan writes the archives.

locals {
  root = "${path.module}/.."

  # A function's name to its archive's paths, each to the file that it holds.
  archive_files = {
    for name, parts in jsondecode(file("${path.module}/archives.json")) : name => merge([
      for part in parts : {
        for path in fileset("${local.root}/${part.folder}", part.files) : "${part.to}${path}" => "${local.root}/${part.folder}/${path}"
      }
    ]...)
  }
}

data "archive_file" "source" {
  for_each    = local.archive_files
  type        = "zip"
  output_path = "${path.module}/.archives/${each.key}.zip"

  dynamic "source" {
    for_each = each.value
    content {
      filename = source.key
      content  = file(source.value)
    }
  }
}

# Of the archives only this is looked at further on: each holds all its files' text, which Terraform reads slowly.
locals {
  archives = { for name, archive in data.archive_file.source : name => { path = archive.output_path, hash = archive.output_sha256 } }
}

resource "google_storage_bucket" "source" {
  # checkov:skip=CKV_GCP_62:Logs of access would need a bucket of their own; nothing but this source is in it, and Cloud Audit Logs tell who writes.
  project                     = local.project_id
  name                        = "${var.project_id}-function-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  # It holds nothing that cannot be made again from this repository.
  force_destroy = true

  # A replaced archive stays for a month, should one have to look at what ran.
  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

resource "google_storage_bucket_object" "source" {
  for_each = local.archives
  bucket   = google_storage_bucket.source.name
  name     = "${each.key}/${each.value.hash}.zip"
  source   = each.value.path

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_storage_bucket_iam_member" "builder" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.builder.member
}
