"""Owns the custom share of one contact's mail: made, confirmed and taken back by its owner, each time audited."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

from msgspec import Meta, Struct

from common import audit, clock, sharing
from common.colleagues import View, load_doors, load_visible_contact
from common.errors import Conflict, RetryableConflict
from common.mail.addresses import normalise
from common.model import Share, SharingLevel
from common.session import Member
from common.store.client import Lost, store

SHARED: Final = "contact_shared"
UNSHARED: Final = "contact_unshared"


class ShareBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """``addresses``: those that the owner was shown. If the contact has others by now, nothing is shared."""

    addresses: Annotated[list[Annotated[str, Meta(max_length=320)]], Meta(max_length=50)] | None = None


class ShareAnswer(Struct, kw_only=True):
    """``level`` is the sharing that holds for the mailbox; ``opening`` are the addresses that now open its mail.

    At level ``private`` none does: the share waits until the owner chooses another.
    """

    contact_id: str
    shared: bool
    addresses: list[str]
    level: SharingLevel
    opening: list[str]


def apply_share(member: Member, contact_id: str, body: ShareBody) -> ShareAnswer:
    """Shares the contact's mail in the member's mailbox, with the addresses that it has now.

    Raises NotFound, Conflict (``not-connected``, ``addresses-changed``), or RetryableConflict.
    """
    connection = member.connection
    contact = load_visible_contact(contact_id, member.user)
    addresses = tuple(sorted(entry.address for entry in contact.addresses))
    if body.addresses is not None and {normalise(one) for one in body.addresses} != set(addresses):
        raise Conflict("addresses-changed", "the contact has other addresses by now: look at them first")
    share = Share(
        owner=member.user_id,
        contact_id=contact.contact_id,
        addresses=addresses,
        mailbox_key=connection.mailbox_key,
        shared=True,
        at=clock.now(),
    )
    _commit(member, SHARED, contact.contact_id, share)
    door = load_doors(View(member.user, member.policy, (contact,)), [member.user_id]).by_owner.get(member.user_id)
    return ShareAnswer(
        contact_id=contact.contact_id,
        shared=True,
        addresses=list(addresses),
        level=sharing.effective_level(connection, member.policy, member.user),
        opening=sorted(door.opening[contact.contact_id]) if door else [],
    )


def apply_unshare(member: Member, contact_id: str) -> None:
    """Takes the share back, and the confirmation of its addresses. Raises NotFound for a contact not to be seen.

    Nothing happens where there is no share. One's own share of a contact that is out of sight can be taken back, too.
    """
    if store().shares.load(member.user_id, contact_id) is None:
        load_visible_contact(contact_id, member.user)
        return
    _commit(member, UNSHARED, contact_id, None)


def _commit(member: Member, action: str, contact_id: str, share: Share | None) -> None:
    record = replace(
        audit.new_record(member.policy, actor=member.user_id, action=action, subject=member.user_id),
        contact_id=contact_id,
    )
    held = member.context.connection
    try:
        with store().batch() as batch:
            if share is None:
                store().shares.delete(member.user_id, contact_id, batch=batch)
            elif held is not None:
                # Written anew as it is: a deactivation meanwhile must not leave a share behind.
                store().connections.update(held, batch=batch, generation=held.value.generation)
                store().shares.save(share, batch=batch)
            store().audit.add(record, batch=batch)
    except Lost as error:
        raise RetryableConflict("connection-busy") from error
