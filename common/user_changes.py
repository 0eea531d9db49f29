"""Owns what follows when CRM users change: who comes back, or sees other contacts and deals, is swept anew.

Its cost is the users that changed since the last dispatch. It may die anywhere and run twice: how far it came is saved
last, and the names of its tasks keep one from being left twice. Asks Gmail nothing, and knows no route.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from common import clock, magnet_tasks
from common.dispatch import MOST_PAGES, OVERLAP, at_once, is_ahead, leave_sweep, plan_cursor
from common.filing import filing_for
from common.keys import keys
from common.magnet import allowed
from common.model import DispatchState, User
from common.store.client import Context, Lost, Versioned, store

_PAGE: Final = 300


def follow_users() -> None:
    """Leaves a task for each connected user whose record has changed since the last run, and who may be served.

    One run follows so many; the next one goes on. Raises GoogleAPICallError where the store or the tasks fail.
    """
    state = store().dispatch.load_state()
    began = state.value.users_cursor
    since = began - OVERLAP if began else None
    after: tuple[datetime, str] | None = None
    news = 0
    while news < MOST_PAGES:
        page = [held.value for held in store().users.changed_since(since, _PAGE, after)]
        _follow(page)
        is_end = len(page) < _PAGE
        newest = page[-1].updated_at if page else None
        cursor = plan_cursor(state.value.users_cursor, newest, is_end=is_end)
        if cursor != state.value.users_cursor:
            state = _save(state, cursor)
        if is_end or newest is None:
            return
        after, news = (newest, page[-1].user_id), news + is_ahead(page, began)


def _follow(users: Iterable[User]) -> None:
    changed = {user.user_id: user for user in users}
    connections = store().connections.load_many(changed) if changed else {}
    if not connections:
        return
    mailboxes = store().mailboxes.load_many({held.value.mailbox_key for held in connections.values()})
    policy = store().policies.load_policy()

    def leave(user_id: str) -> None:
        held = connections[user_id]
        mailbox = mailboxes.get(held.value.mailbox_key)
        _leave(Context(held, None, Versioned(changed[user_id]), policy, mailbox), changed[user_id])

    at_once(leave, list(connections))


def _leave(context: Context, user: User) -> None:
    whose = allowed(context)
    if whose is None:
        return
    connection = whose.connection
    told_at = user.updated_at.isoformat() if user.updated_at else ""
    if filing_for(context) is not None:
        # What deals did meanwhile is looked at anew; the sweep drains first.
        leave_sweep(connection.user_id, connection.generation, kind="follow", slot=f"user {told_at}")
    else:
        run = keys().hash("user", told_at)
        magnet_tasks.leave_step("drain", connection, clock.now(), run=run, step=0)


def _save(state: Versioned[DispatchState], cursor: datetime | None) -> Versioned[DispatchState]:
    try:
        return store().dispatch.update(state, users_cursor=cursor)
    except Lost:
        # Another run has saved how far it came. What this one has read is read again by the next.
        return store().dispatch.load_state()
