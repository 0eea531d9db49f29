# Cloud Tasks: what is left for later, how fast it is taken up, and who may leave it.
#
# Rates keep the sum below Gmail's 1,200,000 units a minute and project, with room for people: a step of a backfill costs
# up to 1,005 units, a sweep up to 252, a scheduled mail about 150. So 10 · 1,005 + 20 · 252 + 20 · 150 is 18,090 a
# second at the very worst: 1,085,400 a minute. What a mailbox itself may spend is the code's affair.

locals {
  queues = {
    # Drains, renewals, steps of searches.
    magnet-ingest = { per_second = 10, at_once = 20, attempts = 30 }
    # Dispatch leaves what is due anew every ten minutes.
    label-sweep = { per_second = 20, at_once = 40, attempts = 10 }
    # Scheduled mail, and looking for a mail that may have gone out.
    mail-send = { per_second = 20, at_once = 20, attempts = 30 }
    # 40 tries take 33 hours: a CRM may be down for more than a day.
    webhook = { per_second = 20, at_once = 20, attempts = 40 }
    # Revocations leave their own next task, for up to 72 hours.
    housekeeping = { per_second = 5, at_once = 5, attempts = 30 }
  }

  queue_writers = merge([
    for name, function in local.functions : { for queue in function.queues : "${name}/${queue}" => { function = name, queue = queue } }
  ]...)

  task_authors = merge([
    for name, function in local.functions : { for caller in function.tasks_as : "${name}/${caller}" => { function = name, caller = caller } }
  ]...)
}

resource "google_cloud_tasks_queue" "this" {
  for_each = local.queues
  project  = local.project_id
  location = var.region
  name     = each.key

  rate_limits {
    max_dispatches_per_second = lookup(var.queue_rates, each.key, each.value.per_second)
    # A higher rate needs as many more under way, or it would not be reached; a lower one leaves them as they are.
    max_concurrent_dispatches = ceil(each.value.at_once * max(1, lookup(var.queue_rates, each.key, 1) / each.value.per_second))
  }

  # 10 s, 20 s … 43 min, then every hour.
  retry_config {
    max_attempts  = each.value.attempts
    min_backoff   = "10s"
    max_backoff   = "3600s"
    max_doublings = 9
  }
}

resource "google_cloud_tasks_queue_iam_member" "writer" {
  for_each = local.queue_writers
  project  = local.project_id
  location = var.region
  name     = google_cloud_tasks_queue.this[each.value.queue].name
  role     = "roles/cloudtasks.enqueuer"
  member   = google_service_account.function[each.value.function].member
}

# Who leaves a task that calls in another's name must be allowed to act as that one (iam.serviceAccounts.actAs).
resource "google_service_account_iam_member" "task_author" {
  for_each           = local.task_authors
  service_account_id = google_service_account.caller[each.value.caller].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.function[each.value.function].member
}
