project_id = "acme-crm-mail-staging"

crm = {
  issuer          = "https://staging.crm.example.com"
  audience        = "gmail"
  jwks_url        = "https://staging.crm.example.com/.well-known/jwks.json"
  allowed_origins = ["https://staging.crm.example.com"]
  return_to_urls  = ["https://staging.crm.example.com/gmail/connected"]
}

oauth_client_id = "222222222222-staging.apps.googleusercontent.com"

labels = { environment = "staging" }

# It may be thrown away.
allow_destroy = true
