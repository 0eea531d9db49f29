"""Owns what is done with dead letters in Pub/Sub: leased, counted, published once more, given back, acknowledged.

A letter names a mailbox: nothing of it is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ops import google, names

PAGE: Final = 100
# An answer at once may be empty although there are letters: only several in a row mean that there is none.
EMPTY_ANSWERS: Final = 3
# What Pub/Sub itself put on it (docs: handling failures); a second death adds its own.
_OWN_PREFIXES: Final = ("CloudPubSub", "googclient_")


def pull(limit: int = PAGE) -> list[dict[str, Any]]:
    """Up to ``limit`` letters, leased for a minute. An empty answer may come although there are some: ask again."""
    # Else an empty subscription keeps its caller waiting for a minute and a half.
    body = {"maxMessages": min(limit, PAGE), "returnImmediately": True}
    answer = google.pubsub().subscriptions().pull(subscription=names.dead_subscription(), body=body).execute()
    letters: list[dict[str, Any]] = answer.get("receivedMessages", [])
    return letters


def peek() -> int:
    """How many letters wait, at most a page of them; each is leased for a moment."""
    for _ in range(EMPTY_ANSWERS):
        letters = pull()
        if letters:
            give_back(letters)
            return len(letters)
    return 0


def give_back(letters: Sequence[Mapping[str, Any]]) -> None:
    """Ends the leases, so that others find the letters at once."""
    body = {"ackIds": [one["ackId"] for one in letters], "ackDeadlineSeconds": 0}
    subscriptions = google.pubsub().subscriptions()
    subscriptions.modifyAckDeadline(subscription=names.dead_subscription(), body=body).execute()


def publish(letters: Sequence[Mapping[str, Any]]) -> None:
    """Publishes the letters to Gmail's topic, as they first came."""
    body = {"messages": [plan_message(one["message"]) for one in letters]}
    google.pubsub().topics().publish(topic=names.topic(), body=body).execute()


def acknowledge(letters: Sequence[Mapping[str, Any]]) -> None:
    """Ends the letters for good."""
    body = {"ackIds": [one["ackId"] for one in letters]}
    google.pubsub().subscriptions().acknowledge(subscription=names.dead_subscription(), body=body).execute()


def plan_message(letter: Mapping[str, Any]) -> dict[str, Any]:
    """The message as Gmail published it: without what Pub/Sub added when it died."""
    attributes = {
        name: value for name, value in letter.get("attributes", {}).items() if not name.startswith(_OWN_PREFIXES)
    }
    return {"data": letter.get("data", "")} | ({"attributes": attributes} if attributes else {})
