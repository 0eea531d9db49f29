"""What a deployment sets: the names of a project's parts, and the environment of each function.

``terraform/`` sets the same for Google; ``common.config`` reads it. Owns names and keys; may import nothing
of ``local``.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

PROJECT: Final = "local-project"
REGION: Final = "europe-west1"
TOPIC: Final = f"projects/{PROJECT}/topics/gmail-push"
DEAD_LETTERS: Final = f"projects/{PROJECT}/topics/gmail-push-dead"
SUBSCRIPTION: Final = f"projects/{PROJECT}/subscriptions/gmail-push"
DEAD_SUBSCRIPTION: Final = f"projects/{PROJECT}/subscriptions/gmail-push-dead"
GMAIL_PUSH: Final = "serviceAccount:gmail-api-push@system.gserviceaccount.com"
LOCATION: Final = f"projects/{PROJECT}/locations/{REGION}"

PUSH: Final = f"pubsub-push@{PROJECT}.iam.gserviceaccount.com"
SCHEDULER: Final = f"scheduler@{PROJECT}.iam.gserviceaccount.com"
TASKS: Final = f"cloud-tasks@{PROJECT}.iam.gserviceaccount.com"
HOUSEKEEPING: Final = f"housekeeping@{PROJECT}.iam.gserviceaccount.com"
# Who registers the receiver of security events: not one of the functions' own.
ADMINISTRATOR: Final = f"administrator@{PROJECT}.iam.gserviceaccount.com"

FUNCTIONS: Final = ("oauth_callback", "mail_proxy", "magnet_ingest", "label_sweep")
# Public functions verify their callers themselves; of the others IAM does, by these accounts.
INVOKERS: Final[Mapping[str, frozenset[str]]] = {
    "magnet_ingest": frozenset({PUSH, SCHEDULER, TASKS}),
    "label_sweep": frozenset({SCHEDULER, TASKS}),
}

CLIENT_ID: Final = "123456789012-local.apps.googleusercontent.com"
CLIENT_SECRET: Final = "GOCSPX-local-client-secret"


@dataclass(frozen=True)
class Queue:
    """A Cloud Tasks queue: its name and the rate that it dispatches at."""

    name: str
    per_second: float
    at_once: int


QUEUES: Final = (
    Queue("magnet-ingest", 50, 50),
    Queue("label-sweep", 50, 50),
    Queue("mail-send", 20, 20),
    Queue("webhook", 20, 20),
    Queue("housekeeping", 5, 5),
)


@dataclass(frozen=True)
class Job:
    """A Cloud Scheduler job: when it fires, and which function's path it calls in whose name."""

    name: str
    schedule: str
    function: str
    path: str
    account: str


JOBS: Final = (
    Job("label-sweep", "*/10 * * * *", "label_sweep", "/", SCHEDULER),
    Job("magnet-renew", "15 2 * * *", "magnet_ingest", "/renew", SCHEDULER),
    Job("housekeeping", "45 3 * * *", "oauth_callback", "/tasks/housekeeping", HOUSEKEEPING),
)


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@dataclass(frozen=True)
class DeploymentKeys:
    """The keys of one deployment, in base64. They are new with each stack."""

    hmac: str = field(default_factory=_new_key, repr=False)
    sealing: str = field(default_factory=_new_key, repr=False)
    webhook: str = field(default_factory=_new_key, repr=False)


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where everything listens: URLs without a slash at the end, ``host:port`` of what speaks gRPC."""

    front: str
    oauth: str
    gmail: str
    firestore: str
    secret_manager: str
    cloud_tasks: str
    crm: str

    def function(self, name: str) -> str:
        """A function's URL as its callers use it: also the audience of their tokens."""
        return f"{self.front}/{name}"

    @property
    def redirect_uri(self) -> str:
        return f"{self.function('oauth_callback')}/callback"


@dataclass(frozen=True, kw_only=True)
class Crm:
    """The CRM whose tokens the functions take."""

    issuer: str
    audience: str
    tenant: str


def function_environment(
    name: str, addresses: Addresses, crm: Crm, keys: DeploymentKeys, clock_file: str, webhook_url: str = ""
) -> dict[str, str]:
    """The whole environment of the function ``name``: every variable of the configuration that a deployment sets."""
    return {
        "PROJECT_ID": PROJECT,
        "REGION": REGION,
        **{f"{one.upper()}_URL": addresses.function(one) for one in FUNCTIONS},
        **_crm_variables(addresses, crm),
        **_google_variables(addresses),
        "TRUST_RUN_IAM": "true" if name in INVOKERS else "false",
        "PUSH_SERVICE_ACCOUNT": PUSH,
        "SCHEDULER_SERVICE_ACCOUNT": SCHEDULER,
        "TASKS_SERVICE_ACCOUNT": TASKS,
        "HOUSEKEEPING_SERVICE_ACCOUNT": HOUSEKEEPING,
        "PUBSUB_TOPIC": TOPIC,
        "HMAC_KEY": keys.hmac,
        "SEALING_KEYS": keys.sealing,
        "WEBHOOK_URL": webhook_url,
        "WEBHOOK_KEY": keys.webhook,
        "WEBHOOK_ALLOW_LOOPBACK": "true",
        "CLOCK_OFFSET_FILE": clock_file,
    }


def _crm_variables(addresses: Addresses, crm: Crm) -> dict[str, str]:
    return {
        "CRM_ISSUER": crm.issuer,
        "CRM_AUDIENCE": crm.audience,
        "CRM_TENANT": crm.tenant,
        "CRM_JWKS_URL": f"{addresses.crm}/jwks.json",
        "ALLOWED_ORIGINS": addresses.crm,
        "RETURN_TO_URLS": f"{addresses.crm}/connected",
    }


def _google_variables(addresses: Addresses) -> dict[str, str]:
    return {
        "OAUTH_CLIENT_ID": CLIENT_ID,
        "OAUTH_CLIENT_SECRET": CLIENT_SECRET,
        "OAUTH_REDIRECT_URI": addresses.redirect_uri,
        "GOOGLE_AUTH_URL": f"{addresses.oauth}/o/oauth2/v2/auth",
        "GOOGLE_TOKEN_URL": f"{addresses.oauth}/token",
        "GOOGLE_REVOKE_URL": f"{addresses.oauth}/revoke",
        "GOOGLE_JWKS_URL": f"{addresses.oauth}/oauth2/v3/certs",
        "GOOGLE_RISC_URL": f"{addresses.oauth}/.well-known/risc-configuration",
        "GMAIL_URL": addresses.gmail,
        "FIRESTORE_EMULATOR_HOST": addresses.firestore,
        "SECRET_MANAGER_ADDRESS": addresses.secret_manager,
        "CLOUD_TASKS_ADDRESS": addresses.cloud_tasks,
    }
