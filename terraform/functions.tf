# The four functions (2nd gen), what they are told, and who may call them.

locals {
  # As long as a task waits for its answer (common/tasks.py).
  timeout_s = 300

  # var.functions over the table's defaults.
  sizes = {
    for name, function in local.functions : name => merge(
      function.size,
      { for key, value in try(var.functions[name], {}) : key => value if value != null },
    )
  }

  # Every name is a field of common/config.py in capitals. Secrets come from Secret Manager, below.
  environment_of_all = merge(
    {
      PROJECT_ID         = var.project_id
      REGION             = var.region
      FIRESTORE_DATABASE = var.firestore.database

      OAUTH_CALLBACK_URL = local.urls["oauth_callback"]
      MAIL_PROXY_URL     = local.urls["mail_proxy"]
      MAGNET_INGEST_URL  = local.urls["magnet_ingest"]
      LABEL_SWEEP_URL    = local.urls["label_sweep"]

      OAUTH_CLIENT_ID    = var.oauth_client_id
      OAUTH_REDIRECT_URI = local.redirect_uri

      TASKS_SERVICE_ACCOUNT = google_service_account.caller["tasks"].email
      INGEST_QUEUE          = google_cloud_tasks_queue.this["magnet-ingest"].name
      SWEEP_QUEUE           = google_cloud_tasks_queue.this["label-sweep"].name
      SEND_QUEUE            = google_cloud_tasks_queue.this["mail-send"].name
      WEBHOOK_QUEUE         = google_cloud_tasks_queue.this["webhook"].name
      HOUSEKEEPING_QUEUE    = google_cloud_tasks_queue.this["housekeeping"].name
    },
    var.webhook_url == null ? {} : { WEBHOOK_URL = var.webhook_url },
    { for name, value in var.limits : upper(name) => tostring(value) if value != null },
  )

  # For those that check the CRM's tokens themselves.
  environment_of_public = { for name, value in {
    CRM_ISSUER            = var.crm.issuer
    CRM_AUDIENCE          = var.crm.audience
    CRM_TENANT            = var.crm.tenant
    CRM_JWKS_URL          = var.crm.jwks_url
    CRM_JWKS              = var.crm.jwks
    CRM_CLAIM_USER        = var.crm.claims.user
    CRM_CLAIM_TENANT      = var.crm.claims.tenant
    CRM_CLAIM_ROLE        = var.crm.claims.role
    CRM_CLAIM_PERMISSIONS = var.crm.claims.permissions
    CRM_CLAIM_EMAIL       = var.crm.claims.email
    CRM_ADMIN_ROLES       = join(",", var.crm.admin_roles)
    ALLOWED_ORIGINS       = join(",", var.crm.allowed_origins)
  } : name => value if value != null }

  # For those that IAM stands in front of, which has verified the token and cut its signature off. A public function
  # that had this would take anybody's forgery.
  environment_of_private = { TRUST_RUN_IAM = "true" }

  environment_of_one = {
    oauth_callback = {
      HOUSEKEEPING_SERVICE_ACCOUNT = google_service_account.caller["housekeeping"].email
      RETURN_TO_URLS               = join(",", var.crm.return_to_urls)
    }
    mail_proxy = {}
    magnet_ingest = {
      PUBSUB_TOPIC              = google_pubsub_topic.this["push"].id
      PUSH_SERVICE_ACCOUNT      = google_service_account.caller["push"].email
      SCHEDULER_SERVICE_ACCOUNT = google_service_account.caller["scheduler"].email
    }
    label_sweep = {
      SCHEDULER_SERVICE_ACCOUNT = google_service_account.caller["scheduler"].email
    }
  }

  environments = {
    for name, function in local.functions : name => merge(
      local.environment_of_all,
      function.is_public ? local.environment_of_public : local.environment_of_private,
      local.environment_of_one[name],
      {
        # gunicorn's threads: fewer would leave requests waiting in an instance that is not full.
        THREADS = tostring(local.sizes[name].concurrency)
        # Else glibc keeps the memory of big mails for good (docs/gotchas.md).
        MALLOC_MMAP_THRESHOLD_ = "1048576"
      },
    )
  }
}

resource "google_cloudfunctions2_function" "this" {
  for_each    = { for name, function in local.functions : name => function if local.is_deployed }
  project     = local.project_id
  location    = var.region
  name        = local.services[each.key]
  description = each.value.description

  build_config {
    # The version that the tests run on.
    runtime         = "python311"
    entry_point     = each.key
    service_account = google_service_account.builder.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source[each.key].name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.function[each.key].email
    available_memory                 = local.sizes[each.key].memory
    available_cpu                    = tostring(local.sizes[each.key].cpu)
    max_instance_request_concurrency = local.sizes[each.key].concurrency
    min_instance_count               = local.sizes[each.key].min_instances
    max_instance_count               = local.sizes[each.key].max_instances
    timeout_seconds                  = local.timeout_s
    all_traffic_on_latest_revision   = true
    environment_variables            = local.environments[each.key]

    # Pub/Sub, Scheduler and Tasks of this project count as internal, at the run.app address.
    ingress_settings = (
      !each.value.is_public ? "ALLOW_INTERNAL_ONLY" :
      var.custom_domain == null ? "ALLOW_ALL" : "ALLOW_INTERNAL_AND_GCLB"
    )

    dynamic "secret_environment_variables" {
      for_each = toset(each.value.secrets)
      iterator = secret
      content {
        key        = upper(secret.key)
        project_id = var.project_id
        secret     = google_secret_manager_secret.this[secret.key].secret_id
        version    = tostring(local.secrets[secret.key])
      }
    }

    direct_vpc_egress = var.vpc_egress == null ? null : "VPC_EGRESS_ALL_TRAFFIC"
    dynamic "direct_vpc_network_interface" {
      for_each = var.vpc_egress[*]
      iterator = vpc
      content {
        network    = vpc.value.network
        subnetwork = vpc.value.subnetwork
      }
    }
  }

  depends_on = [
    google_project_iam_member.builder,
    google_project_iam_member.builder_source,
    google_project_iam_member.firestore,
    google_secret_manager_secret_iam_member.reader,
    google_storage_bucket_iam_member.builder,
  ]
}

# Exactly these callers: a binding takes away whoever else had the role.
resource "google_cloud_run_v2_service_iam_binding" "invoker" {
  for_each = { for name, function in local.functions : name => function if local.is_deployed }
  project  = local.project_id
  location = var.region
  name     = google_cloudfunctions2_function.this[each.key].name
  role     = "roles/run.invoker"
  members  = each.value.is_public ? ["allUsers"] : [for caller in each.value.invokers : google_service_account.caller[caller].member]
}
