"""Owns who else may see a reader's own mails: by any contact of the CRM, not only by the one that is looked at.

Reads the directory and the reader's shares; asks Gmail nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from common.colleagues import Door, Doors, Facts, View, load_doors
from common.directory import directory
from common.model import SharingLevel
from common.timeline_words import Audience, plan_audience

# So many addresses of a page are looked up, thirty in one query.
_MOST_ADDRESSES: Final = 300


@dataclass(frozen=True)
class Scope:
    """The reader's mailbox, and all contacts that open mails of a page to others. ``covered`` are those looked up."""

    view: View
    door: Door
    doors: Doors
    covered: frozenset[str]

    def audience(self, facts: Facts) -> Audience:
        """Who may see this mail of the reader's."""
        told = plan_audience(self.door, facts, self.view, self.doors)
        told.partial = not facts.mail.addresses <= self.covered
        return told


def load_own_scope(view: View, doors: Doors, mails: Sequence[Facts]) -> Scope | None:
    """What decides on who else sees these mails of the viewer's own; None where the viewer shares nothing at all."""
    door = doors.by_owner.get(view.viewer.user_id)
    if door is None or not mails or door.level is SharingLevel.PRIVATE:
        return None
    addresses = sorted({address for facts in mails for address in facts.mail.addresses})[:_MOST_ADDRESSES]
    found = directory().contacts_by_addresses(addresses)
    contacts = {one.contact_id: one for one in view.contacts}
    contacts |= {one.contact_id: one for listed in found.values() for one in listed}
    wide = replace(view, contacts=tuple(contacts.values()))
    loaded = load_doors(wide, [door.owner])
    own = loaded.by_owner.get(door.owner, door)
    return Scope(wide, own, loaded, frozenset(addresses))
