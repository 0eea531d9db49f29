"""The stored form of records: what Firestore is given, and what is read back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from google.api_core.datetime_helpers import DatetimeWithNanoseconds
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from common.model import (
    Contact,
    ContactAddress,
    Deal,
    DealState,
    Feature,
    Mailbox,
    Move,
    Notice,
    Policy,
    SharingLevel,
    Sweep,
    Sync,
    User,
)
from common.store import codec

NOW = datetime(2026, 10, 5, 12, 0, 0, 123456, tzinfo=UTC)
CONTACT = Contact(
    contact_id="c1",
    name="Mia",
    addresses=(
        ContactAddress(address="b@x.example", added_at=NOW, added_by="anna"),
        ContactAddress(address="a@x.example", added_at=NOW),
    ),
)


def test_times_are_stored_in_utc() -> None:
    """A time of another zone is the same moment in UTC."""
    local = NOW.astimezone(timezone(timedelta(hours=9)))
    user = User(user_id="anna", active=True, heard_at=local)

    stored = codec.encode(user)

    assert (NOW, timedelta(0)) == (stored["heard_at"], stored["heard_at"].utcoffset())


def test_a_time_without_a_zone_is_refused() -> None:
    """A naive time is a mistake, not a time in some zone."""
    with pytest.raises(ValueError, match="zone"):
        codec.encode(User(user_id="anna", active=True, heard_at=NOW.replace(tzinfo=None)))


def test_firestores_own_times_become_plain_ones() -> None:
    """A time as the client gives it reads as an ordinary one, to the microsecond."""
    stamp = Timestamp(seconds=int(NOW.timestamp()), nanos=123456000)
    given_time = DatetimeWithNanoseconds.from_timestamp_pb(stamp)  # type: ignore[no-untyped-call]

    read = codec.decode(User, {"user_id": "anna", "active": True, "heard_at": given_time})

    assert (NOW, datetime) == (read.heard_at, type(read.heard_at))


def test_a_cursor_is_stored_as_text() -> None:
    """A history id is a uint64, which Firestore's integers cannot hold."""
    sync = Sync(user_id="anna", generation="g", mailbox_key="m", cursor=2**64 - 1)

    assert "18446744073709551615" == codec.encode(sync)["cursor"]


def test_a_retry_hint_is_stored_as_a_number_that_never_comes_early() -> None:
    """Firestore's maximum takes numbers; a part of a millisecond counts as a whole one."""
    mailbox = Mailbox(mailbox_key="m", retry_after=NOW)

    stored = codec.encode(mailbox)["retry_after"]

    assert 1791201600124 == stored
    assert (
        NOW.replace(microsecond=124000)
        == codec.decode(Mailbox, {"mailbox_key": "m", "retry_after": stored}).retry_after
    )


def test_a_sweep_names_source_and_target_once() -> None:
    """The mails of a sweep stand together by source and target."""
    moves = tuple(Move(mail_id=one, source="", target="customers") for one in ("m1", "m2"))
    sweep = Sweep(sweep_id="s", at=NOW, mailbox_key="m", moves=moves, expires_at=NOW)

    assert [{"source": "", "target": "customers", "mail_ids": ["m1", "m2"]}] == codec.encode(sweep)["moves"]


def test_a_contact_is_found_by_address_unless_deleted() -> None:
    """The index of addresses holds each once, and none of a deleted contact."""
    assert ["a@x.example", "b@x.example"] == codec.encode(CONTACT)["address_index"]
    assert [] == codec.encode(replace(CONTACT, deleted=True))["address_index"]


def test_names_from_outside_are_no_keys_of_maps() -> None:
    """Firestore reserves keys like __x__: they are stored encoded."""
    policy = Policy(sharing_by_user={"__x__": SharingLevel.PUBLIC})

    assert {"X194X18": "public"} == codec.encode(policy)["sharing_by_user"]


def test_fields_that_are_not_known_are_ignored() -> None:
    """A record written by a newer version is read; what an older one lacks takes its default."""
    stored = {"user_id": "anna", "active": True, "invented_later": 1}

    assert User(user_id="anna", active=True) == codec.decode(User, stored)


def test_a_record_without_a_required_field_is_refused() -> None:
    """A document that lacks what every record has is no record."""
    with pytest.raises(TypeError):
        codec.decode(Notice, {"mail_id": "m1"})


def test_one_field_is_stored_as_in_the_whole_record() -> None:
    """A patch writes a field in the form in which a save does."""
    deal = Deal(deal_id="d", title="t", state=DealState.WON, closing_date=date(2026, 1, 2))

    assert ("won", "2026-01-02") == tuple(
        codec.encode_field(Deal, name, getattr(deal, name)) for name in ("state", "closing_date")
    )
    with pytest.raises(KeyError):
        codec.encode_field(Deal, "invented", 1)


def test_stored_fields_are_those_that_are_written() -> None:
    """The list for the data manifest has derived and nested names too."""
    fields = codec.stored_fields(Contact)

    assert codec.encode(CONTACT).keys() == {name for name in fields if "." not in name}
    assert {"addresses.address", "addresses.added_at", "addresses.added_by"} == {name for name in fields if "." in name}
    assert {"source", "target", "mail_ids"} == {
        name.partition(".")[2] for name in codec.stored_fields(Sweep) if name.startswith("moves.")
    }


_ids = st.text(min_size=1, max_size=20).filter(str.isprintable)


@given(
    st.builds(
        Policy,
        sharing=st.sampled_from([None, *SharingLevel]),
        sharing_by_user=st.dictionaries(_ids, st.sampled_from(SharingLevel)),
        internal_domains=st.lists(_ids).map(tuple),
        features=st.lists(st.sampled_from(Feature)).map(tuple),
        address_time_limit=st.booleans(),
    )
)
def test_every_policy_comes_back(policy: Policy) -> None:
    """Encoding and decoding lose nothing."""
    assert policy == codec.decode(Policy, codec.encode(policy))


@given(st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.timezones()))  # noqa: DTZ001 - hypothesis wants it naive
def test_every_moment_comes_back(at: datetime) -> None:
    """A time is the same moment after it was stored, whatever its zone."""
    user = User(user_id="anna", active=True, heard_at=at)

    assert at.astimezone(UTC) == codec.decode(User, codec.encode(user)).heard_at
