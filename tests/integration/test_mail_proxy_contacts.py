"""mail_proxy over HTTP: a contact in context, and what colleagues may see of each other's mail."""

from __future__ import annotations

from typing import Any

import pytest

from local.faults import Fault
from local.ledger import Call, sequential_round_trips, units
from local.stack import Stack
from tests.integration.contacts_rig import (
    CHANGES,
    CONNECTION,
    JONAS,
    MIA,
    begin,
    emails,
    ids,
    opened,
    record,
    sent_by_anna,
    share,
    told,
    upsert,
)
from tests.integration.mailbox_rig import counted, refusal

pytestmark = pytest.mark.integration


@pytest.fixture
def team(stack: Stack) -> Stack:
    """The stack with the CRM's records; Anna and Ben connected; Anna shares what she chooses, which is nothing yet."""
    return begin(stack)


# ---- One's own mail with a contact


def test_contact_in_context(team: Stack) -> None:
    """A contact comes with details, category and its reason, deals, and all of one's own mail with it, both ways."""
    received = team.mail("anna", MIA, "Angebot")
    copied = team.mail("anna", JONAS, "Runde", cc="mia@customer.example")
    sent = sent_by_anna(team, "Re: Angebot")
    team.mail("anna", JONAS, "Statik")

    page = emails(team, "anna")

    assert [(sent, "out"), (copied, "in"), (received, "in")] == [
        (one["id"], one["direction"]) for one in page["entries"]
    ]
    assert ("Mia Schneider", "Anna Berger") == (page["contact"]["name"], page["contact"]["owner"]["name"])
    assert ("closing_this_month", ["d-01"]) == (page["category"]["category"], page["category"]["deciding"])
    assert ["Rahmenvertrag Büroausstattung"] == [deal["title"] for deal in page["deals"]]
    assert "Rahmenvertrag Büroausstattung" in page["category"]["text"]["de"]


def test_own_mail_tells_what_concerns_its_owner(team: Stack) -> None:
    """One's own mail is unread, starred and labelled; a colleague's is not, to anybody else."""
    team.mail("anna", MIA, labels=("INBOX", "UNREAD", "STARRED"))
    share(team)

    (own,) = emails(team, "anna")["entries"]
    (seen,) = emails(team, "ben")["entries"]

    assert (True, True, True) == (own["own"], own["unread"], own["starred"])
    assert {"INBOX", "UNREAD", "STARRED"} == set(own["labels"])
    assert (False, None, None, [], "") == (
        seen["own"], seen["unread"], seen["starred"], seen["labels"], seen["thread_id"],
    )  # fmt: skip


def test_own_drafts_spam_and_trash_are_no_part_of_it(team: Stack) -> None:
    """A timeline holds mail that was sent or received, not what was thrown away or never sent."""
    for label in ("DRAFT", "SPAM", "TRASH"):
        team.mail("anna", MIA, labels=(label,))

    assert [] == ids(emails(team, "anna"))


def test_words_search_within_the_contact(team: Stack) -> None:
    """``q`` narrows the timeline; it never widens it."""
    wanted = team.mail("anna", MIA, "Angebot über Tische")
    team.mail("anna", MIA, "Rechnung")
    team.mail("anna", JONAS, "Angebot")
    team.advance(60)

    assert [wanted] == ids(emails(team, "anna", q="subject:Angebot Tische"))
    refused = team.call("anna", "POST", "/mail_proxy/contacts/mia/emails", json={"q": "x OR in:anywhere"})
    assert (400, "unsupported-search") == refusal(refused)


def test_cost_of_a_page(team: Stack) -> None:
    """Over two mailboxes with 5 mails in all a page costs two lists and two batches, in 2 sequential round trips."""
    for number in range(3):
        team.mail("anna", MIA, f"To Anna {number}")
    for number in range(2):
        team.mail("ben", MIA, f"To Ben {number}")
    share(team)
    emails(team, "ben")

    calls = gmail(team, lambda: emails(team, "ben"))

    assert {"messages.list": 2, "messages.get": 5} == counted(calls)
    assert 2 * 5 + 20 * 5 == units(calls)
    assert 4 == len({call.http_id for call in calls})
    for mailbox in ("anna@demo-crm.example", "ben@demo-crm.example"):
        assert 2 == sequential_round_trips([call for call in calls if call.mailbox == mailbox])


def gmail(stack: Stack, work: Any) -> list[Call]:
    mark = stack.ledger.mark()
    work()
    return stack.ledger.since(mark, service="gmail")


# ---- Colleagues


def test_ben_sees_annas_mail_of_a_shared_contact_and_nothing_else(team: Stack) -> None:
    """A share opens the mails with this one contact, with who may see them and why; taken back, it is closed again."""
    shared = team.mail("anna", MIA, "Angebot")
    other = team.mail("anna", JONAS, "Statik")
    share(team)

    page = emails(team, "ben")

    assert [("anna", shared)] == [(one["owner"], one["id"]) for one in page["entries"]]
    assert "shared_contact" == page["entries"][0]["audience"]["reason"]
    assert page["entries"][0]["audience"]["text"]["en"].startswith("Visible to: you, Anna Berger")
    assert [] == ids(emails(team, "ben", "jonas"))
    assert (200, 404, 404) == tuple(
        opened(team, *asked).status_code
        for asked in [(shared, "ben", "mia"), (other, "ben", "jonas"), (other, "ben", "mia")]
    )
    team.ask("anna", "DELETE", "/mail_proxy/contacts/mia/share")
    assert [] == ids(emails(team, "ben"))
    assert 404 == opened(team, shared).status_code


def test_a_colleagues_mail_opened(team: Stack) -> None:
    """A shared mail shows body and files, never its owner's marks, labels or Bcc."""
    mail_id = sent_by_anna(team, "Angebot", bcc="boss@elsewhere.example", file=b"%PDF", labels=("SENT", "STARRED"))
    share(team)

    shown = opened(team, mail_id)
    answer = shown.json()

    assert ("Angebot", "Wie besprochen") == (answer["subject"], answer["text"].strip())
    assert ([], "", [], False) == (answer["bcc"], answer["thread_id"], answer["labels"], answer["starred"])
    assert "boss@elsewhere.example" not in shown.text
    assert "boss@elsewhere.example" not in str(emails(team, "ben"))
    (file,) = answer["attachments"]
    content = team.call("ben", "GET", f"/mail_proxy/contacts/mia/emails/anna/{mail_id}/attachments/{file['part_id']}")
    assert (200, b"%PDF") == (content.status_code, content.content)
    assert content.headers["Content-Disposition"].startswith("attachment")


def test_ones_own_mail_tells_who_else_sees_it_by_any_contact(team: Stack) -> None:
    """Mail with Jonas, who is not shared, is seen by those who see Mia, who is and got a copy."""
    team.mail("anna", JONAS, "Runde", cc="mia@customer.example")
    (alone,) = emails(team, "anna", "jonas")["entries"]
    share(team)
    (shared,) = emails(team, "anna", "jonas")["entries"]

    assert (False, "contact_not_shared") == (alone["audience"]["shared"], alone["audience"]["reason"])
    assert "Visible to: you, everyone in the CRM (shared contact)." == shared["audience"]["text"]["en"]
    assert "mia" == shared["audience"]["members"][1]["contact_id"]


def test_ones_own_audience_names_people_of_unseen_contacts(team: Stack) -> None:
    """By a contact that Anna may not see, she learns that Ben sees her mail, and not what contact it is."""
    team.ask("anna", "PATCH", CONNECTION, json={"sharing": "public"})
    address = {"address": "chef@weber-bau.example", "added_at": "2026-01-01T00:00:00Z"}
    upsert(team, contacts=[{"id": "secret", "name": "Secret", "addresses": [address], "owner": "ben"}])
    mail_id = team.mail("anna", "chef@weber-bau.example", cc="petra.lang@lang-praxis.example")

    (own,) = emails(team, "anna", "petra")["entries"]
    opened_by_anna = opened(team, mail_id, "anna", "petra").json()

    assert [("anna", ""), ("ben", "")] == [(one["id"], one["contact_id"]) for one in own["audience"]["members"]]
    assert own["audience"] == opened_by_anna["audience"]
    assert (True, ["INBOX", "UNREAD"]) == (opened_by_anna["unread"], sorted(opened_by_anna["labels"]))


def test_bcc_finds_nothing_for_a_colleague(team: Stack) -> None:
    """Searching for an address to which a mail went in secret finds the mail for its owner alone."""
    mail_id = sent_by_anna(team, "Angebot", bcc="boss@elsewhere.example")
    share(team)
    team.advance(60)

    assert [mail_id] == ids(emails(team, "ben", q="Angebot"))
    assert [] == ids(emails(team, "ben", q="boss@elsewhere.example"))


def test_each_read_is_counted_for_the_owner(team: Stack) -> None:
    """Anna sees who read her mail with whom, and how often; her own reading is nobody's business."""
    mail_id = team.mail("anna", MIA)
    share(team)
    emails(team, "anna")
    emails(team, "ben")
    opened(team, mail_id)
    opened(team, "0123456789abcdef")

    reads = team.ask("anna", "GET", f"{CONNECTION}/data")["reads_by_colleagues"]

    assert [("ben", "mia", 2)] == [(read["actor"], read["contact_id"], read["count"]) for read in reads]


def test_a_share_confirms_addresses_and_is_audited(team: Stack) -> None:
    """Sharing answers which addresses it opens; one who was shown others shares nothing; all of it is audited."""
    answer = share(team)
    stale = team.call("anna", "PUT", "/mail_proxy/contacts/jonas/share", json={"addresses": ["old@customer.example"]})
    team.ask("anna", "DELETE", "/mail_proxy/contacts/mia/share")
    team.ask("anna", "DELETE", "/mail_proxy/contacts/mia/share")

    assert (True, "custom", ["mia@customer.example"]) == (answer["shared"], answer["level"], answer["opening"])
    assert (409, "addresses-changed") == refusal(stale)
    actions = [one["action"] for one in team.ask("carla", "GET", "/oauth_callback/audit")["records"]]
    assert ["contact_unshared", "contact_shared"] == [one for one in actions if one.startswith("contact_")]


def test_a_share_needs_a_connection_and_a_visible_contact(team: Stack) -> None:
    """Nobody shares without a mailbox, nor a contact that is out of sight."""
    assert (409, "not-connected") == refusal(team.call("carla", "PUT", "/mail_proxy/contacts/mia/share"))
    assert (404, "not-found") == refusal(team.call("ben", "PUT", "/mail_proxy/contacts/petra/share"))
    assert (404, "not-found") == refusal(team.call("ben", "DELETE", "/mail_proxy/contacts/petra/share"))


def test_who_has_no_mailbox_sees_what_is_shared(team: Stack) -> None:
    """Carla has connected none: she sees Anna's shared mail, and that her own is not there."""
    mail_id = team.mail("anna", MIA)
    share(team)

    page = emails(team, "carla")

    assert [mail_id] == ids(page)
    assert [("carla", "disconnected"), ("anna", "ok")] == [(one["owner"], one["state"]) for one in page["mailboxes"]]


# ---- What is not found


@pytest.mark.parametrize("change", CHANGES)
def test_what_may_no_longer_be_seen_is_not_found(team: Stack, change: Any) -> None:
    """After any narrowing, at once, a mail is neither listed nor opened, in the words used for what never was."""
    mail_id = team.mail("anna", MIA, cc="partner@partner.example")
    share(team)
    assert 200 == opened(team, mail_id).status_code

    change(team, mail_id)

    never = told(opened(team, "0123456789abcdef"))
    assert 404 == never[0]
    assert never == told(opened(team, mail_id))
    assert never == told(team.call("ben", "GET", f"/mail_proxy/contacts/mia/emails/anna/{mail_id}/attachments/root"))
    listed = team.call("ben", "POST", "/mail_proxy/contacts/mia/emails", json={})
    assert listed.status_code == 404 or [] == ids(listed.json())


def test_what_was_never_to_be_seen_is_not_found(team: Stack) -> None:
    """Mail in which the contact has no part, drafts, and mail that only went to it in secret are not found either."""
    share(team)
    never = told(opened(team, "0123456789abcdef"))
    assert never == told(opened(team, "no-id_of_Gmail"))
    hidden = {
        "another contact's": team.mail("anna", JONAS),
        "a draft": sent_by_anna(team, labels=("DRAFT",)),
        "in secret": sent_by_anna(team, to="x@elsewhere.example", bcc="mia@customer.example"),
        "like it": team.mail("anna", "Other <mia@customer.example.evil.example>"),
        "quoted": team.mail("anna", '"mia@customer.example" <x@elsewhere.example>'),
    }

    assert dict.fromkeys(hidden, never) == {name: told(opened(team, one)) for name, one in hidden.items()}
    assert [] == ids(emails(team, "ben"))
    assert [hidden["in secret"]] == ids(emails(team, "anna"))


def test_unknown_owners_and_contacts_are_not_found_alike(team: Stack) -> None:
    """A private colleague, one without a mailbox, nobody, an invisible contact, an odd id: all are answered alike."""
    mail_id = team.mail("anna", MIA)
    never = told(opened(team, mail_id))

    for asked in [(mail_id, "ben", "mia", "carla"), (mail_id, "ben", "mia", "nobody"), (mail_id, "ben", "petra"),
                  (mail_id, "ben", "nobody"), ("not+an+id", "ben", "mia")]:  # fmt: skip
        assert never == told(opened(team, *asked))


def test_a_mail_not_to_be_seen_costs_what_a_missing_one_costs(team: Stack) -> None:
    """Whether a mail exists shows neither in the answer nor in the calls made for it."""
    share(team)
    hidden = team.mail("anna", JONAS, "x" * 5000)
    opened(team, hidden)

    def calls(mail_id: str) -> list[tuple[str, str, str]]:
        mark = team.ledger.mark()
        opened(team, mail_id)
        return sorted((one.service, one.method, one.mailbox) for one in team.ledger.since(mark))

    assert calls("0123456789abcdef") == calls(hidden)
    assert ("gmail", "users.messages.get", "anna@demo-crm.example") in calls(hidden)


def test_an_address_opens_only_what_came_after_it(team: Stack) -> None:
    """At level public, mail from before an address was put on the contact stays closed, until its owner confirms it."""
    team.ask("anna", "PATCH", CONNECTION, json={"sharing": "public"})
    old = team.mail("anna", "wife@private.example", "Geburtstag")
    team.advance(60)
    contact = record(team, "contacts", "mia")
    upsert(team, contacts=[contact | {"addresses": [*contact["addresses"], {"address": "wife@private.example"}]}])
    team.advance(60)
    new = team.mail("anna", "wife@private.example", "Angebot")

    before = ids(emails(team, "ben")), opened(team, old).status_code
    share(team)

    assert ([new], 404) == before
    assert [new, old] == ids(emails(team, "ben"))


def test_colleagues_addresses_open_nothing(team: Stack) -> None:
    """A contact with a colleague's address shows nothing of what colleagues write to each other."""
    team.ask("anna", "PATCH", CONNECTION, json={"sharing": "public"})
    upsert(team, contacts=[{"id": "trick", "name": "Trick", "addresses": ["carla@demo-crm.example"], "owner": "ben"}])
    stack = team
    stack.connect("carla", features=("mail",))
    mail_id = stack.mail("anna", "Carla <carla@demo-crm.example>", "Gehalt")

    assert [] == ids(emails(stack, "ben", "trick"))
    assert 404 == opened(stack, mail_id, "ben", "trick").status_code


# ---- Deals


def test_a_deals_mails_are_those_of_its_contacts(team: Stack) -> None:
    """The timeline of a deal has the mails with all its contacts, each with the contact it is from."""
    first = team.mail("anna", MIA)
    second = team.mail("anna", "Lena <lena@krueger-energie.example>")
    team.mail("anna", JONAS)
    share(team)

    own = team.ask("anna", "POST", "/mail_proxy/deals/d-01/emails", json={})
    seen = team.ask("ben", "POST", "/mail_proxy/deals/d-01/emails", json={})

    assert [(second, ["lena"]), (first, ["mia"])] == [(one["id"], one["contact_ids"]) for one in own["entries"]]
    assert [first] == ids(seen)
    assert ("Rahmenvertrag Büroausstattung", ["lena", "mia"]) == (
        own["deal"]["title"],
        [contact["id"] for contact in own["contacts"]],
    )
    for deal in ("d-06", "nothing"):
        assert (404, "not-found") == refusal(team.call("ben", "POST", f"/mail_proxy/deals/{deal}/emails", json={}))


def test_the_category_of_contacts_with_one_address_is_the_union(team: Stack) -> None:
    """Greta and Karl share an address: what is open for Karl counts for Greta, too, as it does for the sweep."""
    page = emails(team, "anna", "greta")

    assert ("open_deals", ["d-02"]) == (page["category"]["category"], page["category"]["deciding"])
    assert ["d-05"] == [deal["id"] for deal in page["deals"]]


def test_an_invisible_deal_does_not_decide(team: Stack) -> None:
    """What only Ben may see makes Frank's category for Ben, and stays unseen by Anna."""
    assert ("closing_this_month", "customers") == tuple(
        emails(team, user, "frank")["category"]["category"] for user in ("ben", "anna")
    )


# ---- Trouble


def test_trouble_of_a_colleagues_mailbox_is_named(team: Stack) -> None:
    """A mailbox over its limit is named with the time to come back; one's own mail is there all the same."""
    mine = team.mail("ben", MIA)
    team.mail("anna", MIA)
    share(team)
    emails(team, "ben")
    until = "2099-01-01T00:00:00.000Z"
    team.faults.inject(
        Fault(
            "gmail", "users.messages.list", "anna@demo-crm.example", status=429, reason="rateLimitExceeded",
            message=f"User-rate limit exceeded.  Retry after {until}",
        )
    )  # fmt: skip

    first, second = emails(team, "ben"), emails(team, "ben")

    assert [mine] == ids(first) == ids(second)
    for page in (first, second):
        state = page["mailboxes"][1]
        assert ("anna", "rate_limited", "2099-01-01T00:00:00Z", True) == (
            state["owner"], state["state"], state["retry_at"], state["has_more"],
        )  # fmt: skip


def test_a_revoked_mailbox_is_named(team: Stack) -> None:
    """A colleague whose grant is gone is named as disconnected: that is not "no mail"."""
    team.mail("anna", MIA)
    share(team)
    team.google.accounts.revoke_account("anna@demo-crm.example")

    states = [{one["owner"]: one["state"] for one in emails(team, "ben")["mailboxes"]} for _ in range(2)]

    assert [{"ben": "ok", "anna": "disconnected"}] * 2 == states


def test_a_foreign_page_token_is_refused(team: Stack) -> None:
    """A page token is good for its own user, contact and search."""
    for number in range(3):
        team.mail("anna", MIA, f"Mail {number}")
    token = emails(team, "anna", page_size=1)["next_page_token"]

    for user, path, body in [
        ("ben", "contacts/mia", {}), ("anna", "contacts/jonas", {}), ("anna", "contacts/mia", {"q": "x"}),
        ("anna", "deals/d-01", {}),
    ]:  # fmt: skip
        answer = team.call(user, "POST", f"/mail_proxy/{path}/emails", json={"page_token": token, **body})
        assert (400, "invalid-page-token") == refusal(answer)
