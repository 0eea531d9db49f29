"""Names that stand for something, and what is sealed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.keys import Keys, Unsealable, decode_id, encode_id

OLD, NEW = b"o" * 32, b"n" * 32
KEYS = Keys(b"h" * 32, [NEW, OLD])


@given(st.text(min_size=1).filter(lambda text: not any("\ud800" <= one <= "\udfff" for one in text)))
def test_an_encoded_id_decodes_to_itself_and_needs_no_escaping(external_id: str) -> None:
    """Any id from outside survives, in characters that names of documents, secrets and tasks may hold."""
    encoded = encode_id(external_id)
    assert external_id == decode_id(encoded)
    assert set() == set(encoded) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("forged", ["YQ==", "Y!Q", "YR", "é", "_w"])
def test_what_was_not_encoded_by_us_is_refused(forged: str) -> None:
    """Padding, foreign characters, loose bits and broken UTF-8 are no encoded ids."""
    with pytest.raises(ValueError):
        decode_id(forged)


def test_a_hash_depends_on_key_purpose_and_every_part() -> None:
    """Another key, purpose, part or division into parts gives another name."""
    names = {
        KEYS.hash("mailbox", "ab", "c"),
        KEYS.hash("mailbox", "a", "bc"),
        KEYS.hash("mailbox", "abc"),
        KEYS.hash("sender", "ab", "c"),
        Keys(b"x" * 32, [NEW]).hash("mailbox", "ab", "c"),
    }
    assert 5 == len(names)
    assert KEYS.hash("mailbox", "ab", "c") in names


def test_what_is_sealed_opens_and_shows_nothing() -> None:
    """A sealed value comes back, looks different each time, and does not contain the value."""
    first, second = KEYS.seal("page", {"word": "xylophone"}), KEYS.seal("page", {"word": "xylophone"})
    assert {"word": "xylophone"} == KEYS.unseal("page", first)
    assert first != second
    assert "xylophone" not in first


def test_an_older_key_still_opens() -> None:
    """After a rotation the former key opens what it sealed."""
    assert 7 == KEYS.unseal("page", Keys(b"h" * 32, [OLD]).seal("page", 7))


def test_a_key_that_was_dropped_opens_nothing() -> None:
    """Sealed under a key that is no longer configured: refused."""
    with pytest.raises(Unsealable):
        Keys(b"h" * 32, [NEW]).unseal("page", Keys(b"h" * 32, [OLD]).seal("page", 7))


@pytest.mark.parametrize("purpose_and_secret", [("code", "s"), ("page", "other"), ("page", "")])
def test_a_seal_holds_for_one_purpose_and_one_secret(purpose_and_secret: tuple[str, str]) -> None:
    """What was sealed for one purpose under one secret opens for no other."""
    purpose, secret = purpose_and_secret
    with pytest.raises(Unsealable):
        KEYS.unseal(purpose, KEYS.seal("page", 7, under="s"), under=secret)


@pytest.mark.parametrize("broken", ["", "a", "!!!!", "AAAA", "A" * 200])
def test_rubbish_is_refused(broken: str) -> None:
    """What is not sealed at all is refused the same way."""
    with pytest.raises(Unsealable):
        KEYS.unseal("page", broken)


def test_a_changed_byte_is_noticed() -> None:
    """Every byte of a sealed value counts."""
    sealed = KEYS.seal("page", 7)
    for place in range(len(sealed) - 1):
        forged = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(Unsealable):
            KEYS.unseal("page", forged)
