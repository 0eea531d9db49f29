# What is counted, what wakes somebody up, what the dashboard shows. docs/operations.md says what to do at each alert.

# Request logs of the public functions hold whole URLs: codes, states, mail ids. Excluded, they reach no bucket; what can
# be told of a request stands in the functions' own lines (common/log.py), and in the metrics made of them below. An
# exclusion works on the sink _Default alone, the only one of a new project that takes them: any sink that somebody adds,
# here or for the whole organisation, must exclude them itself.
resource "google_logging_project_exclusion" "request_logs" {
  project     = local.project_id
  name        = "crm-mail-request-logs"
  description = "URLs of the public functions hold codes, states and mail ids."
  filter = join(" AND ", [
    "log_id(\"run.googleapis.com/requests\")",
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=(${join(" OR ", [for name, function in local.functions : "\"${local.services[name]}\"" if function.is_public])})",
  ])
}

locals {
  # Metrics of the functions' log lines: event is the name that the code gives to log.event or log.failure; labels and value
  # are the lines' fields.
  metrics = {
    requests         = { event = "request", labels = ["function", "route", "status"] }
    request_failures = { event = "request", labels = ["function", "route", "status"], filter = "severity>=ERROR" }
    request_latency  = { event = "request", labels = ["function", "route"], value = "duration_ms", unit = "ms" }
    crashes          = { event = "crash", labels = ["function", "route", "error"] }
    dispatches       = { event = "dispatch", labels = [] }
    sweeps           = { event = "sweep", labels = ["outcome"] }
    sweep_units      = { event = "sweep", labels = [], value = "units", unit = "1" }
    drains           = { event = "drain", labels = ["outcome"] }
    drain_units      = { event = "drain", labels = [], value = "units", unit = "1" }
    renewals         = { event = "renewals", labels = [] }
    # A mailbox's fourth try in a row: so it counts mailboxes, not tries.
    renewal_failures = { event = "errand-failed", labels = ["code"], filter = "jsonPayload.kind=\"renew\" AND jsonPayload.attempt=3" }
    errand_failures  = { event = "errand-failed", labels = ["kind", "code"] }
    reconciliations  = { event = "reconciled", labels = ["outcome"] }
    reauths          = { event = "reauth", labels = ["reason"] }
    google_refusals  = { event = "google-refused", labels = ["reason"] }
    webhook_failures = { event = "webhook", labels = ["kind", "reason", "status"], filter = "severity>=WARNING" }
    given_up         = { event = "revocation-given-up", labels = [] }
    orphaned_secrets = { event = "orphaned-secrets", labels = [], filter = "severity>=WARNING" }
    unknown_pushes   = { event = "push-unknown", labels = [] }
    poison           = { event = "push-poison", labels = [] }
  }

  services_filter = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(${join(" OR ", [for service in values(local.services) : "\"${service}\""])})"

  # What a condition on one of our metrics filters by.
  counted = {
    for name in keys(local.metrics) : name => "resource.type=\"cloud_run_revision\" AND metric.type=\"logging.googleapis.com/user/crm-mail/${name}\""
  }
}

resource "google_logging_metric" "this" {
  for_each        = local.metrics
  project         = local.project_id
  name            = "crm-mail/${each.key}"
  filter          = join(" AND ", compact([local.services_filter, "jsonPayload.event=\"${each.value.event}\"", try(each.value.filter, null)]))
  value_extractor = try("EXTRACT(jsonPayload.${each.value.value})", null)

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = can(each.value.value) ? "DISTRIBUTION" : "INT64"
    unit        = try(each.value.unit, "1")

    dynamic "labels" {
      for_each = toset(each.value.labels)
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  label_extractors = { for label in each.value.labels : label => "EXTRACT(jsonPayload.${label})" }

  dynamic "bucket_options" {
    for_each = can(each.value.value) ? [true] : []
    content {
      # From 1 to beyond 300,000: milliseconds up to the timeout, units up to a big search.
      exponential_buckets {
        num_finite_buckets = 37
        growth_factor      = 1.414
        scale              = 1
      }
    }
  }
}

# Attempts of jobs that failed, from Scheduler's own log. A daily job makes six: more than five mean that all failed.
resource "google_logging_metric" "job_failures" {
  project = local.project_id
  name    = "crm-mail/job_failures"
  filter  = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=(${join(" OR ", [for job in keys(local.jobs) : "\"${job}\""])}) AND severity>=ERROR"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"

    labels {
      key        = "job"
      value_type = "STRING"
    }
  }

  label_extractors = { job = "EXTRACT(resource.labels.job_id)" }
}

locals {
  job_failures = "resource.type=\"cloud_scheduler_job\" AND metric.type=\"logging.googleapis.com/user/crm-mail/job_failures\""

  # Each alert is a section of docs/operations.md. A condition compares a sum over a period with a threshold, unless it
  # names another aligner; with ratio_to it is a share, with absent_s it asks whether anything came at all.
  alerts = {
    renewal-failing = {
      severity = "ERROR"
      says     = "Watches are not renewed: a week after its last renewal a mailbox gets no notices any more."
      conditions = {
        "renewals fail"        = { filter = local.counted.renewal_failures, period_s = 21600, above = var.alerts.renewals_failed }
        "the daily job failed" = { filter = "${local.job_failures} AND metric.labels.job=\"magnet-renew\"", period_s = 3600, above = 5 }
      }
    }
    sweep-late = {
      severity = "ERROR"
      says     = "Nobody's mail is sorted: the sweep was not dispatched for half an hour. Is it paused?"
      conditions = {
        "no dispatch"    = { filter = local.counted.dispatches, period_s = 300, absent_s = 1800 }
        "the job failed" = { filter = "${local.job_failures} AND metric.labels.job=\"label-sweep\"", period_s = 3600, above = 5 }
      }
    }
    sweeps-failing = {
      severity = "WARNING"
      says     = "Sweeps of many mailboxes fail."
      conditions = {
        "sweeps fail" = { filter = "${local.counted.errand_failures} AND metric.labels.kind=\"sweep\"", period_s = 3600, above = 50 }
      }
    }
    housekeeping-failing = {
      severity = "ERROR"
      says     = "The daily housekeeping fails: users who left stay connected, revocations stay owed."
      conditions = {
        "the daily job failed" = { filter = "${local.job_failures} AND metric.labels.job=\"housekeeping\"", period_s = 3600, above = 5 }
      }
    }
    dead-letters = {
      severity = "WARNING"
      says     = "Pushes of Gmail were given up and wait to be looked at."
      conditions = {
        "dead letters wait" = {
          filter   = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead.name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
          period_s = 300
          above    = 0
          aligner  = "ALIGN_MAX"
        }
      }
    }
    pushes-late = {
      severity = "WARNING"
      says     = "Gmail's pushes wait: notices come late."
      conditions = {
        "the oldest push waits for 15 minutes" = {
          filter   = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"gmail-push\" AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
          period_s = 300
          above    = 900
          aligner  = "ALIGN_MAX"
        }
      }
    }
    queue-backlog = {
      severity = "WARNING"
      says     = "Tasks pile up in a queue faster than they are taken up."
      conditions = {
        "many tasks wait" = {
          filter   = "resource.type=\"cloud_tasks_queue\" AND metric.type=\"cloudtasks.googleapis.com/queue/depth\""
          period_s = 3600
          above    = 50000
          aligner  = "ALIGN_MIN"
          group_by = ["resource.labels.queue_id"]
        }
      }
    }
    reauth-spike = {
      severity = "WARNING"
      says     = "Many mailboxes lost their grant at once: a policy of the organisation, a changed password rule, a deleted OAuth client?"
      conditions = {
        "grants end" = { filter = local.counted.reauths, period_s = 3600, above = var.alerts.reauth_per_hour }
      }
    }
    google-refuses = {
      severity = "CRITICAL"
      says     = "Google refuses our OAuth client: nobody can connect, and soon nobody can read mail."
      conditions = {
        "refused" = { filter = local.counted.google_refusals, period_s = 300, above = 2 }
      }
    }
    error-rate = {
      severity = "ERROR"
      says     = "Too many requests fail. The webhook's deliveries are left out: they have an alert of their own."
      conditions = {
        "share of failed requests" = {
          filter   = "${local.counted.request_failures} AND metric.labels.route!=\"/deliver\""
          ratio_to = "${local.counted.requests} AND metric.labels.route!=\"/deliver\""
          period_s = 600
          above    = var.alerts.error_ratio
          group_by = ["metric.labels.function"]
        }
      }
    }
    latency = {
      severity = "WARNING"
      says     = "The public functions are slow."
      conditions = {
        "95th percentile of ten seconds" = {
          filter   = "${local.counted.request_latency} AND metric.labels.function=one_of(\"oauth_callback\", \"mail_proxy\")"
          period_s = 900
          above    = 10000
          aligner  = "ALIGN_DELTA"
          reducer  = "REDUCE_PERCENTILE_95"
          group_by = ["metric.labels.function"]
        }
      }
    }
    quota = {
      severity = "WARNING"
      says     = "Gmail's units of a day come near the 80 million beyond which Google charges."
      conditions = {
        "units in 24 hours" = {
          filter   = "resource.type=\"consumer_quota\" AND resource.labels.service=\"gmail.googleapis.com\" AND metric.type=\"serviceruntime.googleapis.com/quota/rate/net_usage\""
          period_s = 86400
          above    = var.alerts.units_per_day
          group_by = ["metric.labels.quota_metric"]
        }
      }
    }
    directory-growth = {
      severity = "WARNING"
      says     = "The CRM's back end writes unusually much into the directory: a full load, or somebody who should not?"
      conditions = {
        "calls an hour" = { filter = "${local.counted.requests} AND metric.labels.route=\"/directory\"", period_s = 3600, above = var.alerts.directory_calls_per_hour }
      }
    }
    webhook-failing = {
      severity = "WARNING"
      says     = "The CRM's webhook cannot be told; after 33 hours news are lost."
      conditions = {
        "deliveries fail" = { filter = local.counted.webhook_failures, period_s = 3600, above = 20 }
      }
    }
    revocation-given-up = {
      severity = "ERROR"
      says     = "A grant of a user who disconnected was not revoked at Google in 72 hours; its token is destroyed."
      conditions = {
        "given up" = { filter = local.counted.given_up, period_s = 3600, above = 0 }
      }
    }
    notices-missed = {
      severity = "WARNING"
      says     = "The daily reconciliation found mails that have no notice and could not make it."
      conditions = {
        "incomplete" = { filter = "${local.counted.reconciliations} AND metric.labels.outcome=\"incomplete\"", period_s = 86400, above = 0 }
      }
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each     = toset(var.alerts.emails)
  project      = local.project_id
  display_name = "crm-mail: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
}

# In the second apply: Google needs a while to know a metric that was just made, and refuses alerts on it until then.
resource "google_monitoring_alert_policy" "this" {
  for_each              = { for name, alert in local.alerts : name => alert if local.is_deployed }
  project               = local.project_id
  display_name          = "crm-mail: ${each.key}"
  severity              = each.value.severity
  combiner              = "OR"
  notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  documentation {
    mime_type = "text/markdown"
    content   = "${each.value.says} What to do: docs/operations.md, \"${each.key}\"."
  }

  dynamic "conditions" {
    for_each = each.value.conditions
    content {
      display_name = conditions.key

      dynamic "condition_threshold" {
        for_each = can(conditions.value.absent_s) ? [] : [conditions.value]
        iterator = threshold
        content {
          filter             = threshold.value.filter
          denominator_filter = try(threshold.value.ratio_to, null)
          comparison         = "COMPARISON_GT"
          threshold_value    = threshold.value.above
          duration           = "0s"

          aggregations {
            alignment_period     = "${threshold.value.period_s}s"
            per_series_aligner   = try(threshold.value.aligner, "ALIGN_SUM")
            cross_series_reducer = try(threshold.value.reducer, "REDUCE_SUM")
            group_by_fields      = try(threshold.value.group_by, [])
          }

          dynamic "denominator_aggregations" {
            for_each = can(threshold.value.ratio_to) ? [threshold.value] : []
            content {
              alignment_period     = "${threshold.value.period_s}s"
              per_series_aligner   = "ALIGN_SUM"
              cross_series_reducer = "REDUCE_SUM"
              group_by_fields      = try(threshold.value.group_by, [])
            }
          }
        }
      }

      dynamic "condition_absent" {
        for_each = can(conditions.value.absent_s) ? [conditions.value] : []
        iterator = absent
        content {
          filter   = absent.value.filter
          duration = "${absent.value.absent_s}s"

          aggregations {
            alignment_period     = "${absent.value.period_s}s"
            per_series_aligner   = "ALIGN_SUM"
            cross_series_reducer = "REDUCE_SUM"
          }
        }
      }
    }
  }

  depends_on = [google_logging_metric.this, google_logging_metric.job_failures]
}

locals {
  # The dashboard, three charts a row: title, what it filters, how it is aligned and reduced, by which label.
  charts = [
    { title = "Requests", filter = local.counted.requests, aligner = "ALIGN_RATE", by = "metric.label.function" },
    { title = "Failed requests", filter = local.counted.request_failures, aligner = "ALIGN_RATE", by = "metric.label.function" },
    { title = "Latency, 95th percentile (ms)", filter = local.counted.request_latency, aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_95", by = "metric.label.function" },
    { title = "Sweeps", filter = local.counted.sweeps, aligner = "ALIGN_SUM", by = "metric.label.outcome" },
    { title = "Drains", filter = local.counted.drains, aligner = "ALIGN_SUM", by = "metric.label.outcome" },
    { title = "Failed errands", filter = local.counted.errand_failures, aligner = "ALIGN_SUM", by = "metric.label.kind" },
    { title = "Grants lost", filter = local.counted.reauths, aligner = "ALIGN_SUM", by = "metric.label.reason" },
    { title = "Webhook failures", filter = local.counted.webhook_failures, aligner = "ALIGN_SUM", by = "metric.label.kind" },
    { title = "Gmail units", filter = "resource.type=\"consumer_quota\" AND resource.label.service=\"gmail.googleapis.com\" AND metric.type=\"serviceruntime.googleapis.com/quota/rate/net_usage\"", aligner = "ALIGN_SUM", by = "metric.label.quota_metric" },
    { title = "Tasks waiting", filter = "resource.type=\"cloud_tasks_queue\" AND metric.type=\"cloudtasks.googleapis.com/queue/depth\"", aligner = "ALIGN_MEAN", by = "resource.label.queue_id" },
    { title = "Age of the oldest push (s)", filter = "resource.type=\"pubsub_subscription\" AND metric.type=\"pubsub.googleapis.com/subscription/oldest_unacked_message_age\"", aligner = "ALIGN_MAX", reducer = "REDUCE_MAX", by = "resource.label.subscription_id" },
    { title = "Instances", filter = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/container/instance_count\"", aligner = "ALIGN_MAX", by = "resource.label.service_name" },
  ]
}

resource "google_monitoring_dashboard" "this" {
  project = local.project_id
  dashboard_json = jsonencode({
    displayName = "crm-mail"
    mosaicLayout = {
      columns = 12
      tiles = [
        for index, chart in local.charts : {
          xPos = index % 3 * 4, yPos = floor(index / 3) * 4, width = 4, height = 4
          widget = {
            title = chart.title
            xyChart = {
              dataSets = [{
                plotType = "LINE"
                timeSeriesQuery = {
                  timeSeriesFilter = {
                    filter = chart.filter
                    aggregation = {
                      alignmentPeriod    = "300s"
                      perSeriesAligner   = chart.aligner
                      crossSeriesReducer = try(chart.reducer, "REDUCE_SUM")
                      groupByFields      = [chart.by]
                    }
                  }
                }
              }]
            }
          }
        }
      ]
    }
  })

  depends_on = [google_logging_metric.this]
}

resource "google_billing_budget" "this" {
  count           = var.budget == null ? 0 : 1
  billing_account = var.budget.billing_account
  display_name    = "crm-mail: ${var.project_id}"

  budget_filter {
    projects = ["projects/${local.project_number}"]
  }

  amount {
    specified_amount {
      units = tostring(var.budget.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]
    content {
      threshold_percent = threshold_rules.value
    }
  }

  # Without addresses Google tells the billing account's administrators alone.
  dynamic "all_updates_rule" {
    for_each = length(var.alerts.emails) > 0 ? [true] : []
    content {
      monitoring_notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
    }
  }
}
