# What a team decides. Only project_id and crm have no default; oauth_client_id follows in the second apply.
#
# No variable holds a secret: a secret that Terraform knows stands in its state. The first apply makes the empty
# secrets, you fill them (output "secrets_to_fill" shows how), and the second apply starts the functions.

variable "project_id" {
  description = "Id of the Google Cloud project that everything is made in, best one that holds nothing else."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be the project's id (not its number, nor its name): 6 to 30 lower-case letters, digits and hyphens, such as acme-crm-mail."
  }
}

variable "region" {
  description = "Region of the functions, queues, jobs and, unless firestore says otherwise, of the data. It cannot be changed later without moving the data."
  type        = string
  default     = "europe-west1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone (europe-west1-b) and not a multi-region (eu)."
  }
}

variable "crm" {
  description = "The CRM whose users call the functions: who issues and signs their tokens, for which audience and tenant, which claims say what, from which origins its pages come, and the exact pages that consent may return to."
  type = object({
    issuer          = string
    audience        = string
    tenant          = optional(string)
    jwks_url        = optional(string)
    jwks            = optional(string)
    allowed_origins = list(string)
    return_to_urls  = list(string)
    admin_roles     = optional(list(string), ["administrator"])
    claims = optional(object({
      user        = optional(string, "sub")
      tenant      = optional(string, "tenant")
      role        = optional(string, "role")
      permissions = optional(string, "permissions")
      email       = optional(string, "email")
    }), {})
  })
  nullable = false

  validation {
    condition     = var.crm.issuer != "" && var.crm.audience != ""
    error_message = "crm.issuer and crm.audience must be what stands as iss and aud in the CRM's tokens; without them anybody's token would do."
  }
  validation {
    condition     = (var.crm.jwks_url == null) != (var.crm.jwks == null)
    error_message = "crm needs one of jwks_url (the address of the CRM's public keys) and jwks (the keys themselves, as JSON), and not both."
  }
  validation {
    condition     = var.crm.jwks_url == null || can(regex("^https://[^/?#@]+", var.crm.jwks_url))
    error_message = "crm.jwks_url must begin with https://, since whoever can change the keys on their way can sign in as anyone."
  }
  validation {
    condition     = var.crm.jwks == null || try(length(jsondecode(var.crm.jwks).keys) > 0, false)
    error_message = "crm.jwks must be a JWK set in JSON: {\"keys\": [...]}, with at least one public key."
  }
  validation {
    condition     = length(var.crm.allowed_origins) > 0 && alltrue([for one in var.crm.allowed_origins : can(regex("^https://[^/?#@,*\\s]+$", one))])
    error_message = "crm.allowed_origins must name at least one origin, each like https://crm.example.com: https, no path, no slash at the end, no * and no comma."
  }
  validation {
    condition     = length(var.crm.return_to_urls) > 0 && alltrue([for one in var.crm.return_to_urls : can(regex("^https://[^/?#@,*\\s]+/[^#,*\\s]*$", one))])
    error_message = "crm.return_to_urls must name at least one full address, each like https://crm.example.com/gmail/connected: https, with its path, no fragment, no * and no comma."
  }
  validation {
    condition     = length(var.crm.admin_roles) > 0 && alltrue([for one in var.crm.admin_roles : can(regex("^[^,]*[^,\\s][^,]*$", one))])
    error_message = "crm.admin_roles must name at least one role of the CRM, none of them empty or with a comma; it defaults to [\"administrator\"]."
  }
}

variable "oauth_client_id" {
  description = "Id of the OAuth client (type \"Web application\"). Leave it out of the first apply, which tells the redirect URI to register; with it, the second apply starts the functions."
  type        = string
  default     = null

  validation {
    condition     = var.oauth_client_id == null || can(regex("^[0-9]+-[a-z0-9]+\\.apps\\.googleusercontent\\.com$", var.oauth_client_id))
    error_message = "oauth_client_id must look like 123456789012-abc….apps.googleusercontent.com; the client's secret (GOCSPX-…) belongs into Secret Manager alone."
  }
}

variable "secret_versions" {
  description = "Which version of each secret the functions read. Add a version, raise its number and apply: that is how a secret is rotated, and rolled back. The HMAC key is missing on purpose: it names things and stays at version 1."
  type = object({
    oauth_client_secret = optional(number, 1)
    sealing_keys        = optional(number, 1)
    webhook_key         = optional(number, 1)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in values(var.secret_versions) : one >= 1 && floor(one) == one])
    error_message = "secret_versions must be whole numbers from 1, as `gcloud secrets versions list` shows them; \"latest\" is refused, as no instance would notice that it changed."
  }
}

variable "webhook_url" {
  description = "Address of the CRM that is told of each new notice and each change of a connection's status; none by default."
  type        = string
  default     = null

  validation {
    condition     = var.webhook_url == null || can(regex("^https://[^/?#@\\s:\\[\\]]*[a-z][^/?#@\\s:\\[\\]]*\\.[a-z][^/?#@\\s:\\[\\]]*(:[0-9]+)?(/[^#\\s]*)?$", lower(var.webhook_url)))
    error_message = "webhook_url must be https with a public host name, such as https://crm.example.com/gmail-news: no IP address, no user name, no fragment."
  }
}

variable "firestore" {
  description = "The Firestore database: its name, where it lies (by default in region), and whether it exists already; then Terraform adds indexes and expiry to it, and never deletes it. It must hold nothing else."
  type = object({
    database = optional(string, "(default)")
    location = optional(string)
    existing = optional(bool, false)
  })
  default  = {}
  nullable = false

  validation {
    condition     = can(regex("^(\\(default\\)|[a-z][-a-z0-9]{2,61}[a-z0-9])$", var.firestore.database))
    error_message = "firestore.database must be \"(default)\", with its parentheses, or 4 to 63 lower-case letters, digits and hyphens that begin with a letter."
  }
}

variable "functions" {
  description = "What deviates from the defaults, a function's name to its size: memory, cpu, concurrency (also the number of threads), least and most instances."
  type = map(object({
    memory        = optional(string)
    cpu           = optional(number)
    concurrency   = optional(number)
    min_instances = optional(number)
    max_instances = optional(number)
  }))
  default  = {}
  nullable = false

  validation {
    condition     = length(setsubtract(keys(var.functions), ["oauth_callback", "mail_proxy", "magnet_ingest", "label_sweep"])) == 0
    error_message = "functions may name oauth_callback, mail_proxy, magnet_ingest and label_sweep, with underscores."
  }
  validation {
    condition     = alltrue([for one in values(var.functions) : one.memory == null || can(regex("^[0-9]+(Mi|Gi)$", one.memory))])
    error_message = "functions.*.memory must be like 512Mi or 1Gi."
  }
  validation {
    condition     = alltrue([for one in values(var.functions) : coalesce(one.cpu, 1) >= 1 || coalesce(one.concurrency, 20) == 1])
    error_message = "functions.*.cpu below 1 allows one request at a time (Cloud Run): set concurrency = 1 beside it, or cpu = 1."
  }
  validation {
    condition     = alltrue([for one in values(var.functions) : coalesce(one.concurrency, 20) >= 1 && coalesce(one.concurrency, 20) <= 1000])
    error_message = "functions.*.concurrency must be from 1 to 1000."
  }
  validation {
    condition     = alltrue([for one in values(var.functions) : coalesce(one.min_instances, 0) <= coalesce(one.max_instances, 10) && coalesce(one.max_instances, 1) >= 1])
    error_message = "functions.*.max_instances must be at least 1 and at least min_instances; set both."
  }
}

variable "queue_rates" {
  description = "What deviates from the defaults, a queue's name to its tasks a second; as many more may be under way at once. Together they stay below what Gmail gives a project (1,200,000 units a minute): ask Google for more before you raise them."
  type        = map(number)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.queue_rates), ["magnet-ingest", "label-sweep", "mail-send", "webhook", "housekeeping"])) == 0
    error_message = "queue_rates may name magnet-ingest, label-sweep, mail-send, webhook and housekeeping, with hyphens."
  }
  validation {
    condition     = alltrue([for one in values(var.queue_rates) : one > 0 && one <= 500])
    error_message = "queue_rates must be above 0 and at most 500 a second, the most that Cloud Tasks dispatches of one queue; to stop a queue, pause it."
  }
}

variable "limits" {
  description = "What deviates from the code's limits: Gmail's units a minute and mailbox (6,000 for projects made since May 2026, 15,000 before), and the shares of them for background work and for views of colleagues."
  type = object({
    mailbox_units_per_minute = optional(number)
    background_share         = optional(number)
    colleague_share          = optional(number)
    mailbox_timeout_s        = optional(number)
    max_upload_bytes         = optional(number)
    body_budget_bytes        = optional(number)
    cache_bytes              = optional(number)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in [var.limits.background_share, var.limits.colleague_share] : one == null ? true : one > 0 && one < 1])
    error_message = "limits.background_share and limits.colleague_share are parts of a mailbox's minute: above 0 and below 1, such as 0.33."
  }
  validation {
    condition     = alltrue([for one in values(var.limits) : one == null ? true : one > 0])
    error_message = "limits must be above 0; leave out what shall keep its default."
  }
  validation {
    condition = alltrue([
      for one in [var.limits.mailbox_units_per_minute, var.limits.max_upload_bytes, var.limits.body_budget_bytes, var.limits.cache_bytes] :
      one == null ? true : floor(one) == one
    ])
    error_message = "limits of units and bytes must be whole numbers: the functions refuse to start with others."
  }
  validation {
    condition     = var.limits.max_upload_bytes == null ? true : var.limits.max_upload_bytes <= 26214400
    error_message = "limits.max_upload_bytes can be 26214400 (25 MiB) at most: Gmail takes no more, and Cloud Functions ends requests at 32 MB."
  }
}

variable "alerts" {
  description = "Whom alerts are mailed to, and from where on: share of failed requests, mailboxes an hour that lose their grant, mailboxes whose renewal fails in six hours, Gmail's units a day (beyond 80 million they cost money), calls an hour that write the directory (each of up to 400 records)."
  type = object({
    emails                   = optional(list(string), [])
    error_ratio              = optional(number, 0.02)
    reauth_per_hour          = optional(number, 20)
    renewals_failed          = optional(number, 5)
    units_per_day            = optional(number, 64000000)
    directory_calls_per_hour = optional(number, 200)
  })
  default  = {}
  nullable = false

  validation {
    condition     = alltrue([for one in var.alerts.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", one))])
    error_message = "alerts.emails must be mail addresses such as crm-operations@example.com."
  }
  validation {
    condition     = var.alerts.error_ratio > 0 && var.alerts.error_ratio < 1
    error_message = "alerts.error_ratio is a share: above 0 and below 1, such as 0.02 for two in a hundred."
  }
}

variable "kms_key" {
  description = "Key of Cloud KMS, in region, that encrypts the database, the secrets that Terraform makes, the topics and the source archives. Refresh tokens keep Google's own encryption. Make the agents first: gcloud beta services identity create --service=SERVICE for firestore, pubsub and secretmanager (.googleapis.com)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY, without a version."
  }
  validation {
    condition     = var.kms_key == null ? true : strcontains(var.kms_key, "/locations/${var.region}/")
    error_message = "kms_key must lie in the region that everything else is in; make a key ring there, or change region."
  }
  validation {
    condition     = var.kms_key == null ? true : var.firestore.existing || coalesce(var.firestore.location, var.region) == var.region
    error_message = "With kms_key the database must lie in the key's region: leave firestore.location out."
  }
}

variable "vpc_egress" {
  description = "Network and subnetwork (in region) that the functions' outgoing traffic goes through. The subnetwork needs Private Google Access, and Cloud NAT for the CRM's keys and webhook."
  type = object({
    network    = string
    subnetwork = string
  })
  default = null
}

variable "custom_domain" {
  description = "Domain of your own for the two public functions, as https://DOMAIN/oauth_callback and https://DOMAIN/mail_proxy, through a load balancer; point its A record at the output \"domain_address\". With it the run.app addresses refuse callers from outside."
  type        = string
  default     = null

  validation {
    condition     = var.custom_domain == null || can(regex("^([a-z0-9]([-a-z0-9]*[a-z0-9])?\\.)+[a-z]{2,}$", var.custom_domain))
    error_message = "custom_domain must be a bare domain such as gmail.crm.example.com: no https://, no path, lower case."
  }
}

variable "labels" {
  description = "Labels of everything that can have some, beside app = crm-mail."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][-_a-z0-9]{0,62}$", key)) && can(regex("^[-_a-z0-9]{0,63}$", value))])
    error_message = "labels must be lower-case letters, digits, hyphens and underscores, at most 63, keys beginning with a letter."
  }
  validation {
    condition     = length(setintersection(keys(var.labels), ["app", "kind"])) == 0
    error_message = "labels may not name app or kind: by these the functions tell the refresh tokens' secrets from others."
  }
}

variable "budget" {
  description = "Monthly budget whose 50, 90 and 100 per cent are told to alerts.emails: the billing account and an amount in its currency."
  type = object({
    billing_account = string
    amount          = number
  })
  default = null

  validation {
    condition     = var.budget == null ? true : can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "budget.billing_account must be like 012345-6789AB-CDEF01, as `gcloud billing accounts list` shows it."
  }
  validation {
    condition     = var.budget == null ? true : var.budget.amount >= 1 && floor(var.budget.amount) == var.budget.amount
    error_message = "budget.amount must be a whole number from 1."
  }
}

variable "allow_destroy" {
  description = "Whether `terraform destroy` may delete what cannot be made again: the database and the keys. Apply true first, then destroy. The refresh tokens' secrets are the functions' own: disconnect the users before."
  type        = bool
  default     = false
  nullable    = false
}
