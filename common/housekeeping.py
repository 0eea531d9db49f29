"""Owns what the daily run and its tasks clear away: what is owed, users who left, orphans, what is over.

Each kind of work goes page by page, a task a page, and one user's trouble stays in that user's task. All of it may run
twice. Knows no route.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from common import announcing, audit, clock, log, revocation, secrets, suspension, tasks
from common.config import config
from common.deactivation import apply_deactivation
from common.directory_records import is_permitted
from common.errors import Problem, Unavailable
from common.keys import keys
from common.lazy import google_errors
from common.model import User
from common.store.client import store

LEFT_FOR: Final = timedelta(days=7)
# A claim makes the secret before the connection: what is younger may be on its way.
ORPHAN_AFTER: Final = timedelta(hours=1)
_PAGE: Final = 100
_SECRET_PAGES: Final = 40


class Errand(msgspec.Struct, kw_only=True):
    """What to do: without a kind, the whole daily run. ``page`` is where a run through users or secrets goes on."""

    kind: Literal["daily", "users", "secrets", "leave", "revoke"] = "daily"
    user: str = ""
    generation: str = ""
    id: str = ""
    page: str = ""
    attempt: int = 0


def apply_errand(errand: Errand) -> None:
    """Does one errand."""
    match errand.kind:
        case "daily":
            apply_daily()
        case "users":
            apply_users(errand.page)
        case "secrets":
            apply_secrets(errand.page)
        case "leave":
            apply_leave(errand.user)
        case "revoke":
            apply_revoke(errand.id, errand.user)


def apply_daily() -> None:
    """Everything: each part for itself, so that trouble with one leaves the others done.

    Raises Unavailable at the end where one failed: Scheduler tries again, and what was done is left once a day.
    """
    failed = 0
    parts: tuple[Callable[[], None], ...] = (
        _apply_revocations,
        lambda: apply_users(""),
        lambda: apply_secrets(""),
        _apply_expired_consents,
        lambda: suspension.apply_owed(actor=audit.SYSTEM),
        announcing.send_all_owed,
    )
    for part in parts:
        try:
            part()
        except (Problem, google_errors.GoogleAPIError) as error:
            log.failure("housekeeping", error)
            failed += 1
    if failed:
        raise Unavailable("housekeeping-unfinished")


def apply_revoke(revocation_id: str, user_id: str) -> None:
    """Looks after one revocation, then after what handlers in flight wrote while the connection was ending."""
    if user_id:
        # Whoever ended the connection may have died before it could be told.
        announcing.send_owed(user_id)
    revocation.apply_revocation(revocation_id)
    if user_id and store().connections.load(user_id) is None:
        revocation.delete_held_data(user_id)


def _apply_revocations() -> None:
    after = ""
    while True:
        page = store().revocations.page(after=after, limit=_PAGE)
        for held in page:
            if held.value.claim_until is None or held.value.claim_until <= clock.now():
                _leave_task("revoke", held.value.user_id, id=held.value.revocation_id)
        if len(page) < _PAGE:
            return
        after = page[-1].value.revocation_id


def apply_users(after: str) -> None:
    """Leaves a task for each connected user who left a week ago; a task of its own for the next page."""
    page = [held.value.user_id for held in store().connections.page(after=after, limit=_PAGE)]
    users = store().users.load_many(page)
    for user_id, held in users.items():
        if has_left(held.value, clock.now()):
            _leave_task("leave", user_id)
    if len(page) == _PAGE:
        _leave_task("users", page[-1], page=page[-1])


def has_left(user: User, now: datetime) -> bool:
    """Whether the directory has said for seven days that this user is gone, or not permitted any more."""
    since = user.inactive_since or user.updated_at
    return not is_permitted(user) and since is not None and now - since >= LEFT_FOR


def apply_leave(user_id: str) -> None:
    """Deactivates the connection of a user who left, if that is still so."""
    held = store().users.load(user_id)
    if held is not None and has_left(held.value, clock.now()):
        apply_deactivation(user_id, actor=audit.SYSTEM)


def apply_secrets(page: str) -> None:
    """Destroys secrets that neither a connection nor a revocation owns; a task goes on where there are very many.

    They are what a reconnection or a settled revocation could not destroy: what a dead claim was granted is owned by
    the revocation that it left.
    """
    orphans: set[str] = set()
    for _ in range(_SECRET_PAGES):
        names, page = secrets.list_page(page, created_before=clock.now() - ORPHAN_AFTER)
        orphans |= set(names) - store().connections.find_secrets(names) - store().revocations.find_secrets(names)
        if not page:
            break
    # Only now, so that none is passed over because those before it are gone.
    for name in orphans:
        secrets.destroy(name)
    log.event("orphaned-secrets", severity="WARNING" if orphans else "INFO", count=len(orphans))
    if page:
        _leave_task("secrets", "", page=page)


def _apply_expired_consents() -> None:
    while True:
        page = store().pending.expired(clock.now(), _PAGE)
        with store().batch() as batch:
            for held in page:
                store().pending.delete(held.value.state_hash, batch=batch)
        if len(page) < _PAGE:
            return


def _leave_task(kind: str, user_id: str, *, id: str = "", page: str = "") -> None:
    settings = config()
    tasks.enqueue(
        settings.housekeeping_queue,
        f"{settings.oauth_callback_url}/tasks/housekeeping",
        {"kind": kind, "user": user_id, "id": id, "page": page},
        user_id=user_id,
        generation=keys().hash("errand", id or page or user_id),
        # One a day of each is enough, however often the daily run is tried.
        slot=clock.now().date().isoformat(),
        audience=settings.oauth_callback_url,
        service_account=settings.housekeeping_service_account,
    )
