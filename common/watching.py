"""Owns MailMagnet's beginning, its daily renewal and its end for one connection: the watch, the cursor, what is held.

Knows no route. What is asked of Gmail is asked in the background, so that people never wait for it.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

from common import backfill, clock, log, magnet_tasks
from common.config import config
from common.drain import FARTHEST_BACK, KEPT_ERRORS, drain
from common.errors import Problem, RateLimited, ReauthRequired
from common.gmail.client import Gmail
from common.gmail.results import Watch
from common.keys import keys, random_token
from common.magnet import allowed, is_of, running
from common.mail.addresses import normalise
from common.model import Connection, ConnectionStatus, Sync
from common.store.client import Context, Lost, Versioned, store

WATCH_FAILED: Final = "watch-failed"
_TRIES: Final = 5
_DELETE_PIECE: Final = 1000
_FAN_PAGE: Final = 500
# Renewals are spread over most of an hour: tasks, quota and instances are shared by all.
_SPREAD_S: Final = 3000
_RUN_BYTES: Final = 9
# As long as Gmail's own watch, so that the daily renewal serves both.
_UNWATCHED_FOR: Final = timedelta(days=7)


def apply_start(context: Context, open_mailbox: Callable[[], Gmail]) -> None:
    """Starts MailMagnet: the watch, a cursor, the first 30 days. Done again, it renews the watch and goes on.

    Raises Lost where the connection changes meanwhile, and what Gmail raises.
    """
    whose = allowed(context)
    if whose is None:
        return
    gmail, sync = open_mailbox(), context.sync
    if sync is None or not is_of(sync.value, whose.connection) or not sync.value.cursor:
        sync = _claim(context, whose.connection)
        _delete_held(whose.connection.user_id)
        watch = _watch(gmail)
        _begin(sync, watch, whose.connection, gmail)
    else:
        _save_watch(whose.connection.user_id, _watch(gmail))
    now_context = store().load_context(whose.connection.user_id)
    if running(now_context) is None:
        return
    drain(now_context, gmail)
    backfill.leave_runs(store().load_context(whose.connection.user_id))
    leave_look(whose.connection)


def leave_look(connection: Connection) -> None:
    """Leaves the next drain, a minute from now at most, where there is no topic to push to."""
    if not config().pubsub_topic:
        magnet_tasks.leave_look(connection)


def _watch(gmail: Gmail) -> Watch:
    """Gmail's watch; where there is no topic to push to, the mailbox as it stands, to be looked at by the minute."""
    if config().pubsub_topic:
        return gmail.watch(config().pubsub_topic)
    return Watch(gmail.fetch_profile().history_id, clock.now() + _UNWATCHED_FOR)


def _claim(context: Context, connection: Connection) -> Versioned[Sync]:
    """The sync record of a start that nobody else has under way, without a cursor yet. Raises Lost."""
    fresh = Sync(
        user_id=connection.user_id, generation=connection.generation, mailbox_key=connection.mailbox_key, cursor=0
    )
    with store().batch() as batch:
        if context.connection is not None:
            # A precondition alone: MailMagnet must not have been turned off since.
            store().connections.update(context.connection, batch, changed_at=connection.changed_at)
        if context.sync is None:
            return store().syncs.create(fresh, batch)
        return store().syncs.replace(context.sync, fresh, batch)


def _begin(sync: Versioned[Sync], watch: Watch, connection: Connection, gmail: Gmail) -> None:
    now = clock.now()
    try:
        store().syncs.update(
            sync,
            cursor=watch.history_id,
            watch_expires_at=watch.expires_at,
            caught_up_at=now,
            backfill=random_token(_RUN_BYTES),
            backfill_until=now - FARTHEST_BACK,
        )
    except Lost:
        # Turned off while the watch was being made: the task of that may have been through already.
        held = store().connections.load(connection.user_id)
        if held is None or not held.value.mailmagnet:
            _stop_watch(connection, lambda: gmail)
        raise


def _save_watch(user_id: str, watch: Watch) -> None:
    """Notes until when the watch runs, whatever else changes in the record meanwhile."""
    for _ in range(_TRIES):
        sync = store().syncs.load(user_id)
        if sync is None:
            return
        changes: dict[str, Any] = {"watch_expires_at": watch.expires_at}
        if sync.value.last_error in KEPT_ERRORS:
            changes |= {"last_error": "", "last_error_at": None}
        try:
            store().syncs.update(sync, **changes)
        except Lost:
            continue
        return
    raise Lost


def save_error(connection: Connection, code: str) -> None:
    """Notes what keeps MailMagnet from working, for the connection's health. Somebody else's news stays."""
    sync = store().syncs.load(connection.user_id)
    if sync is not None and is_of(sync.value, connection):
        with contextlib.suppress(Lost):
            store().syncs.update(sync, last_error=code, last_error_at=clock.now())


def apply_stop(context: Context, open_mailbox: Callable[[], Gmail]) -> None:
    """Ends MailMagnet, if it is still off: nothing stays held; the watch ends with the mailbox's last user of it."""
    if context.connection is None:
        return
    connection = context.connection.value
    if connection.mailmagnet:
        # An end that died half-way may have taken the watch along.
        magnet_tasks.leave_retry("start", connection, clock.now())
        return
    _delete_held(connection.user_id)
    store().syncs.delete(connection.user_id)
    store().work.delete(connection.user_id)
    is_unwatched = False
    try:
        is_unwatched = _stop_watch(connection, open_mailbox)
    except ReauthRequired as problem:
        # The grant is gone, and with it the watch.
        log.event("watch-stop", outcome="passed", code=problem.code)
    _start_again(connection, is_unwatched=is_unwatched)


def _start_again(stopped: Connection, *, is_unwatched: bool) -> None:
    """Whoever has turned MailMagnet on while it ended may have lost the watch to that, or what was noticed since."""
    for connection in store().connections.find_by_mailbox(stopped.mailbox_key):
        is_own = connection.user_id == stopped.user_id
        if not connection.mailmagnet or not (is_own or is_unwatched):
            continue
        if is_own:
            store().syncs.delete(connection.user_id)
        magnet_tasks.leave_retry("start", connection, clock.now())


def _stop_watch(connection: Connection, open_mailbox: Callable[[], Gmail]) -> bool:
    """Whether it was stopped: another user of the mailbox may need it."""
    users = store().connections.find_by_mailbox(connection.mailbox_key)
    # Without a topic no watch is ours: one that runs is another deployment's of the same project.
    if not config().pubsub_topic or any(other.mailmagnet for other in users):
        return False
    open_mailbox().stop()
    return True


def _delete_held(user_id: str) -> None:
    s = store()
    for delete_all in (s.notices.delete_all, s.senders.delete_all, s.sweeps.delete_all):
        while delete_all(user_id, limit=_DELETE_PIECE) == _DELETE_PIECE:
            pass


def apply_renew(context: Context, open_mailbox: Callable[[], Gmail]) -> None:
    """The daily round: watch, address, drain, a sample of the day, and whatever run may have got lost.

    Raises Lost where the records change meanwhile, and what Gmail raises.
    """
    if running(context) is None or context.connection is None:
        apply_start(context, open_mailbox)
        return
    connection, gmail = context.connection.value, open_mailbox()
    try:
        watch, profile = gmail.in_parallel(partial(_watch, gmail), gmail.fetch_profile)
    except (ReauthRequired, RateLimited):
        raise
    except Problem:
        save_error(connection, WATCH_FAILED)
        raise
    _save_watch(connection.user_id, watch)
    _save_address(context.connection, profile.address)
    drain(store().load_context(connection.user_id), gmail)
    backfill.apply_sample(store().load_context(connection.user_id), gmail)
    backfill.leave_runs(store().load_context(connection.user_id), again=clock.now().date().isoformat())
    leave_look(connection)


def _save_address(connection: Versioned[Connection], unverified_address: str) -> None:
    """Follows a rename at Google: pushes name the mailbox by its present address."""
    address = normalise(unverified_address)
    if address and address != connection.value.address:
        log.event("address-changed", user=keys().hash("log", connection.value.user_id))
        store().connections.update(connection, address=address)


def fan_out(after: str) -> None:
    """Leaves a renewal for each connection with MailMagnet, spread over most of an hour; a task does the rest."""
    page = [held.value for held in store().connections.page(after=after, limit=_FAN_PAGE)]
    now = clock.now()
    for connection in page:
        if connection.mailmagnet and connection.status is ConnectionStatus.CONNECTED:
            magnet_tasks.leave_daily("renew", connection, now + _spread(connection))
    log.event("renewals", count=len(page))
    if len(page) == _FAN_PAGE:
        magnet_tasks.leave_daily("fan_out", page[-1], now)


def _spread(connection: Connection) -> timedelta:
    # The same every day, so that a day lies between two renewals of a mailbox.
    name = keys().hash("renew", connection.user_id)
    return timedelta(seconds=zlib.crc32(name.encode()) % _SPREAD_S)
