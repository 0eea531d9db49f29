"""Owns what happens to a connection the moment its user is no longer one: a new generation, and nothing else is lost.

Nothing is shown from it and no work begins for it while the user is inactive (``common.sharing``); the new generation
ends what was under way. The directory's commit that makes the user inactive notes that this is owed, the commit that
does it strikes it out: so it is done once, by whoever comes by first. The connection itself ends after seven days
(``common.housekeeping``). Knows no route.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from common import audit, log, tokens
from common.errors import RetryableConflict
from common.keys import keys, random_token
from common.store.client import Context, Lost, store

_GENERATION_BYTES: Final = 12
_TRIES: Final = 5
_PAGE: Final = 100


def apply_owed(*, actor: str) -> None:
    """Ends the work in flight for every user who was made inactive or lost the permission.

    Raises RetryableConflict at the end where others keep changing a connection: that one is still owed.
    """
    after, is_finished = "", True
    while True:
        page = store().users.owing_suspension(after=after, limit=_PAGE)
        for user_id in page:
            is_finished = _suspend(user_id, actor) and is_finished
        if len(page) < _PAGE:
            break
        after = page[-1]
    if not is_finished:
        raise RetryableConflict("connection-changed-meanwhile")


def _suspend(user_id: str, actor: str) -> bool:
    """False where others keep changing the connection."""
    store().pending.delete_all(user_id)
    for _ in range(_TRIES):
        context = store().load_context(user_id)
        if context.user is None or not context.user.value.suspension_owed:
            return True
        try:
            _save(context, user_id, actor)
        except Lost:
            continue
        tokens.forget(user_id)
        log.event("suspended", user=keys().hash("log", user_id))
        return True
    return False


def _save(context: Context, user_id: str, actor: str) -> None:
    if context.user is None:
        raise LookupError("there is no user to suspend")
    generation = random_token(_GENERATION_BYTES)
    with store().batch() as batch:
        # With its version, so that two who come by at once do it once; ``updated_at`` stays the directory's.
        store().users.patch(user_id, version=context.user.version, batch=batch, suspension_owed=False)
        if context.connection is None:
            return
        store().connections.update(context.connection, batch=batch, generation=generation)
        # Both go on under the new generation if the user comes back within the seven days.
        if context.sync is not None:
            store().syncs.update(context.sync, batch=batch, generation=generation)
        work = store().work.load(user_id)
        if work is not None:
            store().work.save(replace(work.value, generation=generation), batch=batch)
        record = audit.new_record(context.policy.value, actor=actor, action=audit.SUSPENDED, subject=user_id)
        store().audit.add(record, batch=batch)
