"""The steps of a consent, one by one, for tests that leave the path: what the CRM's page and the browser do."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import requests

from local.browser import consent
from local.stack import Stack

FUNCTION = "/oauth_callback"


def begin(stack: Stack, user: str = "anna", **more: Any) -> str:
    """The address of Google's page."""
    body = {"return_to": f"{stack.crm_url}/connected", "features": ["mail"], **more}
    url: str = stack.ask(user, "POST", f"{FUNCTION}/authorize", json=body)["url"]
    return url


def come_back(location: str, *, html: bool = False) -> requests.Response:
    """What ``/callback`` answers the browser that Google sends there."""
    accept = "text/html" if html else "application/json"
    return requests.get(location, allow_redirects=False, timeout=30, headers={"Accept": accept})


def altered(location: str, **changes: str | None) -> str:
    """The redirect with other parameters; None takes one out."""
    parts = urlsplit(location)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    query.update({name: value for name, value in changes.items() if value is not None})
    kept = {name: value for name, value in query.items() if changes.get(name, "") is not None}
    return urlunsplit(parts._replace(query=urlencode(kept)))


def fragment(response: requests.Response) -> tuple[str, str, str]:
    """Where a redirect of ``/callback`` leads, and the name and value in its fragment."""
    url, _, inside = response.headers["Location"].partition("#")
    name, _, value = inside.partition("=")
    return url, name, value


def ticket_of(stack: Stack, user: str = "anna", address: str | None = None, **more: Any) -> str:
    """A ticket, after a consent as it should be."""
    url = begin(stack, user, **more)
    _, name, value = fragment(come_back(consent(url, address or stack.people[user].email)))
    assert "ticket" == name
    return value


def claim(stack: Stack, user: str, ticket: str) -> requests.Response:
    """What ``POST /connection`` answers."""
    return stack.call(user, "POST", f"{FUNCTION}/connection", json={"ticket": ticket})


def refusal(response: requests.Response) -> tuple[int, str]:
    """The status and code of a problem."""
    return response.status_code, response.json()["code"]


def kept(stack: Stack) -> dict[str, int]:
    """How much of a connection there is: documents of each kind, secrets, grants at Google of the demo's people."""
    counts = {"connections": 0, "pending_connections": 0, "revocations": 0}
    for path in stack.documents():
        collection = path.partition("/")[0]
        if collection in counts and path.count("/") == 1:
            counts[collection] += 1
    counts["secrets"] = len(stack.google.secrets.dump())
    return {name: count for name, count in counts.items() if count}


def is_granted(stack: Stack, user: str = "anna") -> bool:
    """Whether the Google account of a user has granted the project anything."""
    account = stack.google.accounts.find(stack.people[user].email)
    assert account is not None
    return bool(stack.google.accounts.granted(account.sub))


def exchanges(stack: Stack, since: int = 0) -> int:
    """How often Google's token endpoint was called."""
    return sum(call.method == "token" for call in stack.ledger.since(since, service="oauth"))
