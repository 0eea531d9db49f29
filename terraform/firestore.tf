# The database, and what its queries and expiry need, as common/store/indexes.json declares it: the same file that the
# local Firestore enforces.

locals {
  declared = jsondecode(file("${path.module}/../common/store/indexes.json"))
  database = var.firestore.existing ? var.firestore.database : google_firestore_database.this[0].name
}

resource "google_firestore_database" "this" {
  count       = var.firestore.existing ? 0 : 1
  project     = local.project_id
  name        = var.firestore.database
  location_id = coalesce(var.firestore.location, var.region)
  type        = "FIRESTORE_NATIVE"

  # Off, as docs/data-manifest.md says: what is deleted is to be gone.
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_DISABLED"

  delete_protection_state = var.allow_destroy ? "DELETE_PROTECTION_DISABLED" : "DELETE_PROTECTION_ENABLED"
  deletion_policy         = var.allow_destroy ? "DELETE" : "PREVENT"

  dynamic "cmek_config" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}

resource "google_firestore_index" "this" {
  for_each = {
    for index in local.declared.indexes :
    join("/", concat([index.collectionGroup], [for field in index.fields : field.fieldPath])) => index
  }
  project     = local.project_id
  database    = local.database
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path   = fields.value.fieldPath
      order        = try(fields.value.order, null)
      array_config = try(fields.value.arrayConfig, null)
    }
  }
}

# One resource holds both of a field, its indexes and its expiry; no index_config.indexes means that it has none.
resource "google_firestore_field" "this" {
  for_each   = { for field in local.declared.fieldOverrides : "${field.collectionGroup}/${field.fieldPath}" => field }
  project    = local.project_id
  database   = local.database
  collection = each.value.collectionGroup
  field      = each.value.fieldPath

  index_config {
    dynamic "indexes" {
      for_each = each.value.indexes
      content {
        order        = try(indexes.value.order, null)
        array_config = try(indexes.value.arrayConfig, null)
        query_scope  = indexes.value.queryScope
      }
    }
  }

  dynamic "ttl_config" {
    for_each = try(each.value.ttl, false) ? [true] : []
    content {}
  }
}
