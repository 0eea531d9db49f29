"""Owns the configuration: the only reader of the environment (the clock's seam apart). Imports nothing of the project.

Every field is one variable of its name in capitals; Terraform follows this list.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from typing import Any


class ConfigurationError(Exception):
    """The environment lacks a variable or holds one that cannot be read; the text names it and says what it must be."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a function is told by its environment. Lists have commas, keys are base64, flags true or false."""

    project_id: str
    region: str

    # The functions' own addresses, as callers and Cloud Tasks use them, without a slash at the end.
    oauth_callback_url: str = ""
    mail_proxy_url: str = ""
    magnet_ingest_url: str = ""
    label_sweep_url: str = ""

    # The CRM: whose tokens are taken, and which claim says what.
    crm_issuer: str = ""
    crm_audience: str = ""
    crm_tenant: str = ""
    crm_jwks_url: str = ""
    crm_jwks: str = ""
    crm_claim_user: str = "sub"
    crm_claim_tenant: str = "tenant"
    crm_claim_role: str = "role"
    crm_claim_permissions: str = "permissions"
    crm_claim_email: str = "email"
    crm_admin_roles: tuple[str, ...] = ("administrator",)
    allowed_origins: tuple[str, ...] = ()
    return_to_urls: tuple[str, ...] = ()

    # Google's OAuth client, and Google's addresses: the defaults are the real ones.
    oauth_client_id: str = ""
    oauth_client_secret: str = field(default="", repr=False)
    oauth_redirect_uri: str = ""
    google_issuer: str = "https://accounts.google.com"
    google_auth_url: str = "https://accounts.google.com/o/oauth2/v2/auth"
    google_token_url: str = "https://oauth2.googleapis.com/token"  # noqa: S105  (an address)
    google_revoke_url: str = "https://oauth2.googleapis.com/revoke"
    google_jwks_url: str = "https://www.googleapis.com/oauth2/v3/certs"
    google_risc_url: str = "https://accounts.google.com/.well-known/risc-configuration"
    gmail_url: str = "https://gmail.googleapis.com"
    # host:port of a stand-in that speaks gRPC in the clear; empty for Google.
    secret_manager_address: str = ""
    cloud_tasks_address: str = ""
    firestore_database: str = "(default)"

    # Who may call the internal routes.
    trust_run_iam: bool = False
    push_service_account: str = ""
    scheduler_service_account: str = ""
    tasks_service_account: str = ""
    # Scheduler and Tasks alike, for the one internal route of oauth_callback.
    housekeeping_service_account: str = ""

    # Queues, topic, keys. Without a topic no mailbox is watched: each is drained by the minute instead.
    pubsub_topic: str = ""
    ingest_queue: str = "magnet-ingest"
    sweep_queue: str = "label-sweep"
    send_queue: str = "mail-send"
    webhook_queue: str = "webhook"
    housekeeping_queue: str = "housekeeping"
    hmac_key: bytes = field(default=b"", repr=False)
    sealing_keys: tuple[bytes, ...] = field(default=(), repr=False)
    webhook_url: str = ""
    webhook_key: bytes = field(default=b"", repr=False)
    # Only the local stack sets it: webhooks may then go to loopback over http.
    webhook_allow_loopback: bool = False

    # Limits.
    max_upload_bytes: int = 25 * 1024 * 1024
    body_budget_bytes: int = 120 * 1024 * 1024
    cache_bytes: int = 32 * 1024 * 1024
    mailbox_units_per_minute: int = 6000
    background_share: float = 1 / 3
    colleague_share: float = 1 / 5
    mailbox_timeout_s: float = 8.0


def parse_config(environment: Mapping[str, str]) -> Config:
    """The configuration that ``environment`` holds. Raises ConfigurationError that names the variable."""
    values: dict[str, Any] = {}
    for entry in fields(Config):
        name = entry.name.upper()
        raw = environment.get(name, "")
        if raw:
            values[entry.name] = _parse(name, str(entry.type), raw)
        elif entry.default is MISSING:
            raise ConfigurationError(f"{name} is not set")
    return Config(**values)


def _parse(name: str, kind: str, raw: str) -> object:
    try:
        match kind:
            case "int":
                return int(raw)
            case "float":
                return float(raw)
            case "bool":
                return {"true": True, "false": False}[raw.lower()]
            case "bytes":
                return base64.b64decode(raw, validate=True)
            case "tuple[str, ...]":
                return tuple(part.strip() for part in raw.split(",") if part.strip())
            case "tuple[bytes, ...]":
                return tuple(base64.b64decode(part.strip(), validate=True) for part in raw.split(","))
            case _:
                return raw
    except (ValueError, KeyError) as error:
        # The value may be a key: only its name and form are told.
        raise ConfigurationError(f"{name} cannot be read as {kind}") from error


def parse_jwks(text: str) -> dict[str, Any]:
    """The JWKS given in the configuration. Raises ConfigurationError."""
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ConfigurationError("CRM_JWKS is not JSON") from error
    if not isinstance(parsed, dict) or not isinstance(parsed.get("keys"), list):
        raise ConfigurationError("CRM_JWKS is not a JWK set")
    return parsed


@cache
def config() -> Config:
    """The configuration of this process, read once."""
    return parse_config(os.environ)
