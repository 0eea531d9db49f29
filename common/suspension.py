"""Owns what happens to a connection the moment its user is no longer one: a new generation, and nothing else is lost.

Nothing is shown from it and no work begins for it while the user is inactive (``common.sharing``); the new generation
ends what was under way. The connection itself ends after seven days (``common.housekeeping``). Knows no route.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from common import audit, log, tokens
from common.errors import RetryableConflict
from common.keys import keys, random_token
from common.store.client import Context, Lost, store

_GENERATION_BYTES: Final = 12
_TRIES: Final = 5


def apply_suspension(user_ids: Iterable[str], *, actor: str) -> None:
    """Ends the work in flight for each of the users, who were made inactive or lost the permission just now.

    Raises RetryableConflict where others keep changing a connection; those named before it are done.
    """
    for user_id in user_ids:
        _suspend(user_id, actor)


def _suspend(user_id: str, actor: str) -> None:
    store().pending.delete_all(user_id)
    for _ in range(_TRIES):
        context = store().load_context(user_id)
        if context.connection is None:
            return
        try:
            _save(context, actor)
        except Lost:
            continue
        tokens.forget(user_id)
        log.event("suspended", user=keys().hash("log", user_id))
        return
    raise RetryableConflict("connection-changed-meanwhile")


def _save(context: Context, actor: str) -> None:
    if context.connection is None:
        raise LookupError("there is no connection to suspend")
    user_id, generation = context.connection.value.user_id, random_token(_GENERATION_BYTES)
    work = store().work.load(user_id)
    record = audit.new_record(context.policy.value, actor=actor, action=audit.SUSPENDED, subject=user_id)
    with store().batch() as batch:
        store().connections.update(context.connection, batch=batch, generation=generation)
        # Both go on under the new generation if the user comes back within the seven days.
        if context.sync is not None:
            store().syncs.update(context.sync, batch=batch, generation=generation)
        if work is not None:
            store().work.save(replace(work.value, generation=generation), batch=batch)
        store().audit.add(record, batch=batch)
