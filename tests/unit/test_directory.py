"""What a verified token may change in the directory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from common.auth import Caller
from common.directory import plan_refresh
from common.model import PERMISSION, User

NOW = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ANNA = User(
    user_id="anna",
    active=True,
    role="sales",
    permissions=frozenset({PERMISSION}),
    email="anna@demo-crm.example",
    heard_at=NOW - HOUR,
    updated_at=NOW - timedelta(days=3),
)


def caller(issued_at: datetime = NOW, role: str = "sales", email: str = "anna@demo-crm.example") -> Caller:
    """Anna, as a token tells of her."""
    return Caller("anna", role, frozenset({PERMISSION}), email, issued_at, is_admin=False)


def test_an_unknown_user_is_known_by_the_first_token() -> None:
    """A user whom the directory does not hold yet is taken from the token, with a normalised address."""
    planned = plan_refresh(caller(email="Anna@Demo-CRM.example"), None, NOW)

    assert replace(ANNA, heard_at=NOW, updated_at=None) == planned


def test_nothing_new_is_not_written() -> None:
    """Within a day a token that says what is known writes nothing."""
    assert plan_refresh(caller(), ANNA, NOW) is None


def test_a_user_is_heard_of_daily() -> None:
    """After a day the same token's word counts again."""
    known = replace(ANNA, heard_at=NOW - timedelta(days=1))

    assert replace(known, heard_at=NOW) == plan_refresh(caller(), known, NOW)


def test_a_new_role_is_written_at_once() -> None:
    """A token issued after the directory was last written brings a new role."""
    planned = plan_refresh(caller(role="manager"), ANNA, NOW)

    assert replace(ANNA, role="manager", heard_at=NOW) == planned


def test_an_old_token_brings_no_role_back() -> None:
    """A token issued before the directory changed the role does not undo it."""
    known = replace(ANNA, role="intern", updated_at=NOW)

    assert plan_refresh(caller(NOW - HOUR, role="manager"), known, NOW + HOUR) is None


def test_an_old_token_still_tells_that_its_user_is_there() -> None:
    """A token older than the directory's last word counts as being heard of, and as nothing else."""
    known = replace(ANNA, role="intern", heard_at=NOW - timedelta(days=2), updated_at=NOW)

    assert replace(known, heard_at=NOW) == plan_refresh(caller(NOW - HOUR, role="manager"), known, NOW)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_token_from_before_revives_nothing(deleted: bool) -> None:
    """A token issued before the directory made its user inactive or deleted changes nothing, however old all is."""
    known = replace(
        ANNA, active=False, deleted=deleted, inactive_since=NOW, heard_at=NOW - timedelta(days=50), updated_at=None
    )

    assert plan_refresh(caller(NOW), known, NOW + HOUR) is None


def test_a_token_issued_later_revives() -> None:
    """The CRM that gives an inactive user a new token has taken the user back."""
    known = replace(ANNA, active=False, inactive_since=NOW - HOUR, updated_at=NOW - HOUR)

    planned = plan_refresh(caller(NOW), known, NOW)

    assert replace(ANNA, heard_at=NOW, updated_at=NOW - HOUR) == planned


def test_a_token_without_a_role_takes_none_away() -> None:
    """A CRM whose tokens lack role and address does not empty what its directory has said."""
    assert plan_refresh(caller(role="", email=""), ANNA, NOW) is None
