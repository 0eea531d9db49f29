# Which Terraform and providers this needs, and what all resources have in common.

terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.0"
    }
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.0"
    }
  }
}

provider "google" {
  project        = var.project_id
  region         = var.region
  default_labels = merge({ app = "crm-mail" }, var.labels)

  # The Billing Budgets API wants to know which project's quota a person's own credentials use.
  user_project_override = var.budget == null ? null : true
  billing_project       = var.budget == null ? null : var.project_id
}
