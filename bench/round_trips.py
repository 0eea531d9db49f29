"""Owns the figures of sequential round trips to Gmail: how many requests wait for one another, by the ledger."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any, Final

from bench.figures import Figure
from bench.rig import MIA, PAGE, SEARCH, Rig
from local.ledger import sequential_round_trips

# Only a way that takes time shows which requests wait for each other.
_LATENCY_S: Final = 0.15
_MAILBOXES: Final = 5


def measure(rig: Rig) -> Iterator[Figure]:
    """A page, a mail, a send, and a contact's page over five mailboxes."""
    stack = rig.connected()
    mail_id = rig.fill("anna", 25)[0]
    rig.load_contact()
    for name in rig.add_colleagues(_MAILBOXES - 1):
        rig.fill(name, 3)
        stack.ask(name, "POST", SEARCH, json={"page_size": 1})
    works: list[tuple[str, int, Callable[[], Any]]] = [
        ("cold page", 2, lambda: stack.ask("anna", "POST", SEARCH, json=PAGE)),
        ("warm page", 1, lambda: stack.ask("anna", "POST", SEARCH, json=PAGE)),
        ("one mail", 1, lambda: stack.ask("anna", "GET", f"/mail_proxy/messages/{mail_id}")),
        ("send", 1, lambda: _send(rig)),
        (f"contact over {_MAILBOXES} mailboxes", 2, lambda: _contact_page(rig)),
    ]
    with rig.distant(_LATENCY_S):
        for name, goal, work in works:
            found = sequential_round_trips(rig.gmail_calls(work, mailbox=None))
            yield Figure(f"sequential round trips: {name}", found, "round trips", f"= {goal}")


def _send(rig: Rig) -> None:
    message = {"to": [{"address": MIA}], "subject": "Hello", "text": "Hello!"}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    rig.stack.ask("anna", "POST", "/mail_proxy/messages", json=message, headers=headers)


def _contact_page(rig: Rig) -> None:
    page = rig.stack.ask("anna", "POST", "/mail_proxy/contacts/mia/emails", json={})
    asked = [one for one in page["mailboxes"] if one["state"] == "ok"]
    if len(asked) != _MAILBOXES:
        raise LookupError(f"{len(asked)} mailboxes were asked")
