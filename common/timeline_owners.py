"""Owns in whose mailboxes mail with a contact is looked for, and in which order: where it is known to be comes first.

Says nothing of who may see what: most owners found here show the viewer nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from common.colleagues import View, in_threads
from common.model import Sender
from common.store.client import Versioned, store

# What one request reads at most: records of senders, shares of a contact, public mailboxes, owners to be judged.
_MOST_SENDERS: Final = 300
_MOST_SHARES: Final = 200
_MOST_PUBLIC: Final = 60
_MOST_OWNERS: Final = 150
_MOST_JUDGED: Final = 600
_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Owners:
    """Users whose mailboxes may have mail with the contacts. ``more``: there may be others."""

    user_ids: tuple[str, ...]
    more: bool = False


def find_owners(view: View) -> Owners:
    """The viewer, the contacts' owners, who has shared one, who has had mail from them, who shares everything."""
    contact_owners = [contact.owner for contact in view.contacts if contact.owner]
    sharers, senders, public = in_threads(
        lambda: _sharers(view),
        lambda: _with_senders(view.addresses),
        lambda: store().connections.find_public(_MOST_PUBLIC),
    )
    ordered = list(dict.fromkeys([view.viewer.user_id, *contact_owners, *sharers, *senders, *public]))
    # Each owner costs a read of a share for each contact.
    most = min(_MOST_OWNERS, max(_MOST_JUDGED // max(len(view.contacts), 1), 10))
    return Owners(tuple(ordered[:most]), more=len(ordered) > most or len(public) >= _MOST_PUBLIC)


def _sharers(view: View) -> list[str]:
    found = [
        share
        for contact in view.contacts
        for share in store().shares.of_contact(contact.contact_id, limit=_MOST_SHARES)
        if share.shared
    ]
    return [share.owner for share in found]


def _with_senders(addresses: Iterable[str]) -> list[str]:
    """Users with a record of one of these senders, who heard of them last first."""
    if not addresses:
        return []
    found = list(islice(store().senders.find_by_addresses(addresses), _MOST_SENDERS))
    return [user_id for user_id, _ in sorted(found, key=_heard_at, reverse=True)]


def _heard_at(found: tuple[str, Versioned[Sender]]) -> datetime:
    return found[1].value.last_received_at or _LONG_AGO
