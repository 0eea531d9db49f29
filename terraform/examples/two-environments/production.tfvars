project_id = "acme-crm-mail"

crm = {
  issuer          = "https://crm.example.com"
  audience        = "gmail"
  jwks_url        = "https://crm.example.com/.well-known/jwks.json"
  allowed_origins = ["https://crm.example.com"]
  return_to_urls  = ["https://crm.example.com/gmail/connected"]
}

oauth_client_id = "333333333333-production.apps.googleusercontent.com"
webhook_url     = "https://crm.example.com/gmail-news"
custom_domain   = "gmail.crm.example.com"

functions = {
  mail_proxy = { min_instances = 1, max_instances = 100 }
}

alerts = {
  emails = ["crm-operations@example.com"]
}

labels = { environment = "production" }
