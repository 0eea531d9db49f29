# The deployment's own secrets, empty: their values are added beside Terraform, whose state would keep them.
#
#   oauth_client_secret  from the console, with the OAuth client
#   hmac_key             32 random bytes in base64. Never rotated: it names documents, secrets and tasks
#   sealing_keys         one or two such keys, with a comma: the first seals, all of them open
#   webhook_key          such a key, which the CRM needs too, to check who calls
#
# Beware of a line break at the end: it would make a value unreadable. Output "secrets_to_fill" shows the commands.

locals {
  # Which version the functions read.
  secrets = merge(
    { hmac_key = 1 },
    { for name, version in var.secret_versions : name => version if name != "webhook_key" || var.webhook_url != null },
  )

  # Which function reads which.
  secret_readers = merge([
    for name, function in local.functions : { for secret in function.secrets : "${name}/${secret}" => { function = name, secret = secret } }
  ]...)
}

resource "google_secret_manager_secret" "this" {
  for_each  = local.secrets
  project   = local.project_id
  secret_id = replace(each.key, "_", "-")

  # The names of every connection's documents hang on the HMAC key; the others can be replaced.
  deletion_protection = each.key == "hmac_key" && !var.allow_destroy

  replication {
    dynamic "auto" {
      for_each = var.kms_key == null ? [true] : []
      content {}
    }
    # A key of one region encrypts in this region alone.
    dynamic "user_managed" {
      for_each = var.kms_key[*]
      content {
        replicas {
          location = var.region
          customer_managed_encryption {
            kms_key_name = user_managed.value
          }
        }
      }
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each  = local.secret_readers
  project   = local.project_id
  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.value.function].member
}
