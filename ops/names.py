"""Owns the names that a deployment gives its parts (terraform/), as far as the configuration does not tell them."""

from __future__ import annotations

from typing import Final

from common.config import config

SWEEP_JOB: Final = "label-sweep"
# How long after its last run each job is late, in hours.
JOBS: Final = {SWEEP_JOB: 0.5, "magnet-renew": 26.0, "housekeeping": 26.0}
# The deployment's own secrets, and the variable that each becomes in the functions.
SECRETS: Final = {
    "oauth-client-secret": "OAUTH_CLIENT_SECRET",
    "hmac-key": "HMAC_KEY",
    "sealing-keys": "SEALING_KEYS",
    "webhook-key": "WEBHOOK_KEY",
}
PUBLIC: Final = ("oauth_callback", "mail_proxy")
PRIVATE: Final = ("magnet_ingest", "label_sweep")
GMAIL_PUSH: Final = "serviceAccount:gmail-api-push@system.gserviceaccount.com"


def project() -> str:
    return f"projects/{config().project_id}"


def location() -> str:
    return f"{project()}/locations/{config().region}"


def job(name: str) -> str:
    return f"{location()}/jobs/{name}"


def queues() -> list[str]:
    """The short names of all queues."""
    settings = config()
    return [
        settings.ingest_queue,
        settings.sweep_queue,
        settings.send_queue,
        settings.webhook_queue,
        settings.housekeeping_queue,
    ]


def topic() -> str:
    # Only magnet_ingest is told it; elsewhere it is Terraform's.
    return config().pubsub_topic or f"{project()}/topics/gmail-push"


def subscription() -> str:
    return f"{project()}/subscriptions/gmail-push"


def dead_subscription() -> str:
    return f"{project()}/subscriptions/gmail-push-dead"


def secret(name: str) -> str:
    return f"{project()}/secrets/{name}"


def url(function: str) -> str:
    """A function's own address, without a slash at the end: what Google's services call."""
    return str(getattr(config(), f"{function}_url"))


def public_url(function: str) -> str:
    """The address of a public function from outside.

    The redirect URI has it, also where a domain of the team's own stands before both; then the functions' own addresses
    answer nobody outside.
    """
    base = config().oauth_redirect_uri.removesuffix("/callback")
    if not base:
        return url(function)
    if function == "oauth_callback":
        return base
    if base == url("oauth_callback"):
        return url(function)
    return f"{base.removesuffix('/oauth_callback')}/{function}"
