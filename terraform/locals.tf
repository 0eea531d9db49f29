# Names, addresses, and the one table of who calls what with what. Everything else follows this file.

locals {
  # Each use of it waits until all APIs are on: they are what this value is read from.
  project_id     = values(google_project_service.enabled)[0].project
  project_number = data.google_project.this.number

  # Functions are started once there is an OAuth client for them: in the second apply.
  is_deployed = var.oauth_client_id != null

  # A function's name in Google's services, which refuse underscores.
  services = { for name in keys(local.functions) : name => replace(name, "_", "-") }

  # Computed (Cloud Run, "Deterministic URL"), not read from the functions, which need them themselves. They are what
  # callers use and what the audience of callers' tokens must be: no slash at the end.
  urls = { for name, service in local.services : name => "https://${service}-${local.project_number}.${var.region}.run.app" }

  # What browsers and the CRM call.
  public_urls = {
    for name, function in local.functions : name => var.custom_domain == null ? local.urls[name] : "https://${var.custom_domain}/${name}"
    if function.is_public
  }

  redirect_uri = "${local.public_urls["oauth_callback"]}/callback"

  # One row a function. invokers and tasks_as name accounts of local.callers; IAM lets nobody else in.
  functions = {
    oauth_callback = {
      description = "The connection of a CRM user with a mailbox: consent, claim, settings, deactivation."
      is_public   = true
      invokers    = []
      secrets     = ["oauth_client_secret", "hmac_key", "sealing_keys"]
      queues      = ["magnet-ingest", "label-sweep", "webhook", "housekeeping"]
      tasks_as    = ["tasks", "housekeeping"]
      size        = { memory = "512Mi", cpu = 1, concurrency = 20, min_instances = 0, max_instances = 10 }
    }
    mail_proxy = {
      description = "Live reading, searching and sending, a contact's mail, notices, the directory."
      is_public   = true
      invokers    = []
      secrets     = ["oauth_client_secret", "hmac_key", "sealing_keys"]
      queues      = ["magnet-ingest", "mail-send", "webhook"]
      tasks_as    = ["tasks"]
      # Twice what BODY_BUDGET_BYTES, CACHE_BYTES and the imports come to.
      size = { memory = "1Gi", cpu = 1, concurrency = 20, min_instances = 0, max_instances = 50 }
    }
    magnet_ingest = {
      description = "MailMagnet: makes notices of what Gmail pushes, renews watches, tells the webhook."
      is_public   = false
      invokers    = ["push", "scheduler", "tasks"]
      secrets     = concat(["oauth_client_secret", "hmac_key"], var.webhook_url == null ? [] : ["webhook_key"])
      queues      = ["magnet-ingest", "webhook"]
      tasks_as    = ["tasks"]
      size        = { memory = "512Mi", cpu = 1, concurrency = 20, min_instances = 0, max_instances = 20 }
    }
    label_sweep = {
      description = "Sorts customers' mail into three Gmail labels."
      is_public   = false
      invokers    = ["scheduler", "tasks"]
      secrets     = ["oauth_client_secret", "hmac_key"]
      queues      = ["magnet-ingest", "label-sweep", "webhook"]
      tasks_as    = ["tasks"]
      size        = { memory = "512Mi", cpu = 1, concurrency = 20, min_instances = 0, max_instances = 20 }
    }
  }

  # In whose name Google calls the internal routes. An account's id needs six characters.
  callers = {
    push         = { account_id = "pubsub-push", description = "Pub/Sub, when it pushes to magnet_ingest." }
    scheduler    = { account_id = "scheduler", description = "Cloud Scheduler's jobs." }
    tasks        = { account_id = "cloud-tasks", description = "Cloud Tasks' queues." }
    housekeeping = { account_id = "housekeeping", description = "Scheduler and Tasks on the one internal route of oauth_callback." }
  }
}

data "google_project" "this" {
  project_id = var.project_id
  depends_on = [google_project_service.resource_manager]
}
