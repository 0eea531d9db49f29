output "redirect_uri" {
  description = "The redirect URI to register with the OAuth client, to the letter."
  value       = local.redirect_uri
}

output "secrets_to_fill" {
  description = "How to give each secret its first value, between the two applies. Random values never touch a disk; that of the OAuth client is pasted, and ended with Ctrl-D."
  value = {
    for name, secret in google_secret_manager_secret.this : name => join(" | ", [
      # Without backslashes, which the output would double.
      name == "oauth_client_secret" ? "tr -d '[:space:]'" : "openssl rand -base64 32 | tr -d '[:space:]'",
      "gcloud secrets versions add ${secret.secret_id} --project=${var.project_id} --data-file=-",
    ])
  }
}

output "function_urls" {
  description = "What the CRM calls: the base addresses of the two public functions."
  value       = local.public_urls
}

output "internal_urls" {
  description = "What Google's services call, and the audience of their tokens, for all four functions."
  value       = local.urls
}

output "risc_receiver" {
  description = "The address to register for Google's security events (`python -m ops register-risc`)."
  value       = "${local.public_urls["oauth_callback"]}/risc"
}

output "service_accounts" {
  description = "Who the functions are, in whose name they are called, and who builds them."
  value = {
    functions = { for name, account in google_service_account.function : name => account.email }
    callers   = { for name, account in google_service_account.caller : name => account.email }
    builder   = google_service_account.builder.email
  }
}

output "domain_address" {
  description = "The address for the A record of custom_domain; null without one."
  value       = one(google_compute_global_address.this[*].address)
}

output "ops_environment" {
  description = "The environment that `python -m ops` needs."
  value       = local.environments["oauth_callback"]
}

output "is_deployed" {
  description = "Whether the functions run. False after the first apply: create the OAuth client, fill the secrets, set oauth_client_id, apply again."
  value       = local.is_deployed
}
