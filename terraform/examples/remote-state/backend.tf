# The state in a bucket, so that a team shares it and nobody applies while another does. Copy this file beside versions.tf.
#
# The bucket is made once, by hand, outside of what Terraform manages:
#
#   gcloud storage buckets create gs://acme-terraform-state --project=acme-operations --location=europe-west1 \
#     --uniform-bucket-level-access --public-access-prevention
#   gcloud storage buckets update gs://acme-terraform-state --versioning
#
#   terraform init -backend-config=bucket=acme-terraform-state
#
# The state holds no secret, but whoever can write it decides what is deployed.

terraform {
  backend "gcs" {
    prefix = "crm-mail"
  }
}
