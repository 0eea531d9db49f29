# With kms_key: Google's agents that store our data may use the key.

data "google_storage_project_service_account" "this" {
  count   = var.kms_key == null ? 0 : 1
  project = local.project_id
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = var.kms_key == null ? {} : {
    firestore     = "serviceAccount:service-${local.project_number}@gcp-sa-firestore.iam.gserviceaccount.com"
    pubsub        = local.pubsub_agent
    secretmanager = "serviceAccount:service-${local.project_number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
    storage       = data.google_storage_project_service_account.this[0].member
  }
  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
