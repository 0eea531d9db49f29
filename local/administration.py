"""What administrators need to work on a local stack with ``python -m ops --local``: variables, a key, a token.

Owns the two files that hold them, beside the stack's logs. Gives nothing that works anywhere else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from local.crm.people import BACKEND

if TYPE_CHECKING:
    from local.stack import Stack

_TOKEN_S = 30 * 24 * 3600


def administration(stack: Stack) -> dict[str, str]:
    """The environment: that of oauth_callback, as Terraform's output ``ops_environment``, and where stand-ins listen.

    ``CRM_TOKEN`` is one of the CRM's back end, good for a month.
    """
    google = stack.google
    key = stack.directory / "administrator-key.json"
    _write(key, json.dumps(google.risc.key_file()))
    return {
        **stack.functions["oauth_callback"].env,
        "CLOUD_SCHEDULER_ADDRESS": google.scheduler.address,
        "FIRESTORE_ADMIN_ADDRESS": google.firestore_admin.address,
        "PUBSUB_URL": google.pubsub_url,
        "RISC_URL": google.risc_server.url,
        "GOOGLE_APPLICATION_CREDENTIALS": str(key),
        "CRM_TOKEN": stack.token(BACKEND.id, expires_in_s=_TOKEN_S),
    }


def write_file(stack: Stack) -> Path:
    """Writes the environment as JSON, readable by its owner alone, and returns where."""
    path = stack.directory / "ops.json"
    _write(path, json.dumps(administration(stack), indent=2))
    return path


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text + "\n")
