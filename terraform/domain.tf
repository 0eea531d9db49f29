# With custom_domain: a load balancer that serves the two public functions under it, and logs nothing of them.

locals {
  balanced = var.custom_domain == null ? {} : local.public_urls
}

resource "google_compute_global_address" "this" {
  count   = var.custom_domain == null ? 0 : 1
  project = local.project_id
  name    = "crm-mail"
}

resource "google_compute_region_network_endpoint_group" "function" {
  for_each              = local.balanced
  project               = local.project_id
  region                = var.region
  name                  = local.services[each.key]
  network_endpoint_type = "SERVERLESS"

  cloud_run {
    service = local.services[each.key]
  }
}

resource "google_compute_backend_service" "function" {
  for_each              = local.balanced
  project               = local.project_id
  name                  = local.services[each.key]
  load_balancing_scheme = "EXTERNAL_MANAGED"

  backend {
    group = google_compute_region_network_endpoint_group.function[each.key].id
  }

  # Its lines would hold whole URLs, with codes, states and mail ids.
  log_config {
    enable = false
  }
}

resource "google_compute_url_map" "this" {
  count           = var.custom_domain == null ? 0 : 1
  project         = local.project_id
  name            = "crm-mail"
  default_service = google_compute_backend_service.function["mail_proxy"].id

  host_rule {
    hosts        = [var.custom_domain]
    path_matcher = "functions"
  }

  path_matcher {
    name            = "functions"
    default_service = google_compute_backend_service.function["mail_proxy"].id

    dynamic "path_rule" {
      for_each = local.balanced
      content {
        paths   = ["/${path_rule.key}/*"]
        service = google_compute_backend_service.function[path_rule.key].id

        route_action {
          url_rewrite {
            path_prefix_rewrite = "/"
          }
        }
      }
    }
  }
}

resource "google_compute_managed_ssl_certificate" "this" {
  count   = var.custom_domain == null ? 0 : 1
  project = local.project_id
  # Another domain is another certificate, made before the old one goes.
  name = "crm-mail-${substr(sha256(var.custom_domain), 0, 8)}"

  managed {
    domains = [var.custom_domain]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_ssl_policy" "this" {
  count           = var.custom_domain == null ? 0 : 1
  project         = local.project_id
  name            = "crm-mail"
  profile         = "MODERN"
  min_tls_version = "TLS_1_2"
}

resource "google_compute_target_https_proxy" "this" {
  count            = var.custom_domain == null ? 0 : 1
  project          = local.project_id
  name             = "crm-mail"
  url_map          = google_compute_url_map.this[0].id
  ssl_certificates = [google_compute_managed_ssl_certificate.this[0].id]
  ssl_policy       = google_compute_ssl_policy.this[0].id
}

resource "google_compute_global_forwarding_rule" "this" {
  count                 = var.custom_domain == null ? 0 : 1
  project               = local.project_id
  name                  = "crm-mail"
  load_balancing_scheme = "EXTERNAL_MANAGED"
  ip_address            = google_compute_global_address.this[0].id
  port_range            = "443"
  target                = google_compute_target_https_proxy.this[0].id
}
