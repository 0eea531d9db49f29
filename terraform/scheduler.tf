# The clock: three jobs. Paused and resumed with `python -m ops`, which Terraform leaves alone.

locals {
  jobs = {
    label-sweep  = { schedule = "*/10 * * * *", function = "label_sweep", path = "/", caller = "scheduler", retries = 2, pause = "10s" }
    magnet-renew = { schedule = "15 2 * * *", function = "magnet_ingest", path = "/renew", caller = "scheduler", retries = 5, pause = "60s" }
    housekeeping = { schedule = "45 3 * * *", function = "oauth_callback", path = "/tasks/housekeeping", caller = "housekeeping", retries = 5, pause = "60s" }
  }
}

resource "google_cloud_scheduler_job" "this" {
  for_each         = { for name, job in local.jobs : name => job if local.is_deployed }
  project          = local.project_id
  region           = var.region
  name             = each.key
  schedule         = each.value.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "${local.timeout_s}s"

  # Google's default is to try once.
  retry_config {
    retry_count          = each.value.retries
    min_backoff_duration = each.value.pause
    max_backoff_duration = "3600s"
    max_doublings        = 5
  }

  http_target {
    http_method = "POST"
    uri         = "${local.urls[each.value.function]}${each.value.path}"

    oidc_token {
      service_account_email = google_service_account.caller[each.value.caller].email
      audience              = local.urls[each.value.function]
    }
  }

  lifecycle {
    ignore_changes = [paused]
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.invoker]
}
