"""Consent and claim over HTTP: the main path, and every way to leave it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from google.cloud import firestore

from local.browser import consent
from local.environment import PROJECT
from local.faults import Fault
from local.stack import Stack
from tests.integration.connecting import (
    FUNCTION,
    altered,
    begin,
    claim,
    come_back,
    exchanges,
    fragment,
    is_granted,
    kept,
    refusal,
    ticket_of,
)

pytestmark = pytest.mark.integration
_GMAIL = "https://www.googleapis.com/auth/gmail."


def test_a_consent_becomes_a_connection(stack: Stack) -> None:
    """Authorise, consent, redirect, claim: one connection, one secret, and nothing pending."""
    answer = claim(stack, "anna", ticket_of(stack, features=["mail", "labels"]))

    assert 201 == answer.status_code
    shown = answer.json()
    assert ("connected", "anna@demo-crm.example") == (shown["status"], shown["address"])
    assert ["mail", "mailmagnet", "actions", "labels"] == shown["features"]["granted"]
    assert ("healthy", "private") == (shown["health"]["word"], shown["sharing"]["effective"])
    assert {"connections": 1, "secrets": 1} == kept(stack)


def test_google_is_asked_for_what_the_features_need_and_no_more(stack: Stack) -> None:
    """Mail alone asks for reading and sending, with PKCE S256, a state, and offline access."""
    query = parse_qs(urlsplit(begin(stack, features=["mail"])).query)

    assert {"openid", "email", f"{_GMAIL}readonly", f"{_GMAIL}send"} == set(query["scope"][0].split())
    assert (["S256"], ["offline"], ["code"]) == (
        query["code_challenge_method"],
        query["access_type"],
        query["response_type"],
    )
    assert 43 == len(query["state"][0])


def test_a_later_feature_is_asked_for_by_itself(stack: Stack) -> None:
    """Who granted mail is asked only for what labels need besides, and keeps the rest."""
    claim(stack, "anna", ticket_of(stack, features=["mail"]))
    url = begin(stack, features=["labels"])

    assert {"openid", "email", f"{_GMAIL}modify"} == set(parse_qs(urlsplit(url).query)["scope"][0].split())
    _, _, ticket = fragment(come_back(consent(url, "anna@demo-crm.example")))
    assert ["mail", "mailmagnet", "actions", "labels"] == claim(stack, "anna", ticket).json()["features"]["granted"]


@pytest.mark.parametrize(
    "tail", ["/connected/", "/connected?x=1", "/connected#x", "/", "/connected\\", ":1/connected", "@evil.example/"]
)
def test_return_to_is_one_of_the_list_to_the_letter(stack: Stack, tail: str) -> None:
    """Another path, port, query, or a user-info or backslash trick is refused, and nothing is kept."""
    body = {"return_to": stack.crm_url + tail, "features": ["mail"]}
    answer = stack.call("anna", "POST", f"{FUNCTION}/authorize", json=body)

    assert (400, "return-to-not-allowed") == refusal(answer)
    assert {} == kept(stack)


@pytest.mark.parametrize(
    "body",
    [
        {"features": ["mail"]},
        {"return_to": "", "features": []},
        {"return_to": "", "features": ["calendar"]},
        {"return_to": "", "features": ["mail"], "prompt": "none"},
    ],
)
def test_a_body_of_another_form_is_refused(stack: Stack, body: dict[str, object]) -> None:
    """Missing, unknown and surplus members end in 400."""
    assert (400, "invalid-body") == refusal(stack.call("anna", "POST", f"{FUNCTION}/authorize", json=body))


def test_a_feature_that_the_policy_leaves_out_cannot_be_asked_for(stack: Stack) -> None:
    """An administrator who allows mail alone keeps everyone from asking for labels."""
    stack.ask("carla", "PUT", f"{FUNCTION}/policy", json={"features": ["mail"]})
    body = {"return_to": f"{stack.crm_url}/connected", "features": ["mail", "labels"]}

    answer = stack.call("anna", "POST", f"{FUNCTION}/authorize", json=body)

    assert (403, "feature-not-allowed") == refusal(answer)
    assert ["labels"] == answer.json()["features"]


def test_denial_comes_back_as_an_error_code(stack: Stack) -> None:
    """A user who denies is sent back with a code in the fragment; nothing stays."""
    answer = come_back(consent(begin(stack), "anna@demo-crm.example", deny=True))

    assert (f"{stack.crm_url}/connected", "error", "consent-denied") == fragment(answer)
    assert {} == kept(stack)


@pytest.mark.parametrize("issuer", ["https://evil.example", "", "https://accounts.google.com/"])
def test_another_providers_answer_is_refused(stack: Stack, issuer: str) -> None:
    """RFC 9207: an answer that names another issuer, instead of Google or beside it, or an empty one, is refused."""
    location = consent(begin(stack), "anna@demo-crm.example")
    beside = consent(begin(stack), "anna@demo-crm.example") + "&iss=https%3A%2F%2Fevil.example"

    answer = come_back(altered(location, iss=issuer))

    assert ("error", "issuer-mismatch") == fragment(come_back(beside))[1:]

    assert ("error", "issuer-mismatch") == fragment(answer)[1:]
    assert {} == kept(stack)


@pytest.mark.parametrize("code", [None, "x" * 3000])
def test_a_redirect_without_a_usable_code_ends_the_consent(stack: Stack, code: str | None) -> None:
    """No code, or one that is far too long, is a failed consent."""
    answer = come_back(altered(consent(begin(stack), "anna@demo-crm.example"), code=code))

    assert ("error", "consent-failed") == fragment(answer)[1:]
    assert {} == kept(stack)


@pytest.mark.parametrize("state", [None, "", "unknown", "x" * 200])
def test_an_unknown_state_leads_nowhere(stack: Stack, state: str | None) -> None:
    """Without a state of ours the browser is redirected nowhere and nothing changes."""
    location = consent(begin(stack), "anna@demo-crm.example")

    answer = come_back(altered(location, state=state))

    assert (400, "invalid-state") == refusal(answer)
    assert "Location" not in answer.headers
    assert {"pending_connections": 1} == kept(stack)


def test_a_person_with_an_unknown_state_sees_a_page(stack: Stack) -> None:
    """A browser is shown a page that runs nothing and cannot be framed."""
    location = consent(begin(stack), "anna@demo-crm.example")

    answer = come_back(altered(location, state="unknown"), html=True)

    assert (400, "text/html; charset=utf-8") == (answer.status_code, answer.headers["Content-Type"])
    assert "default-src 'none'; frame-ancestors 'none'" == answer.headers["Content-Security-Policy"]


def test_a_state_lives_ten_minutes(stack: Stack) -> None:
    """A consent that takes longer has to be begun again."""
    location = consent(begin(stack), "anna@demo-crm.example")
    stack.advance(601)

    assert (400, "invalid-state") == refusal(come_back(location))


def test_a_sixth_open_consent_ends_the_oldest(stack: Stack) -> None:
    """Nothing grows and nobody is locked out: the first state leads nowhere then, the others still do."""
    others = begin(stack, "ben")
    urls = [begin(stack) for _ in range(6)]
    first = come_back(consent(urls[0], stack.people["anna"].email))

    assert (400, "invalid-state") == refusal(first)
    assert {"pending_connections": 6} == kept(stack)
    for user, url in (("anna", urls[5]), ("anna", urls[1]), ("ben", others)):
        _, name, _ = fragment(come_back(consent(url, stack.people[user].email)))
        assert "ticket" == name


def test_of_many_consents_begun_at_once_five_remain(stack: Stack) -> None:
    """However many are begun in parallel, the next leaves five; its ticket can be claimed."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: begin(stack), range(8)))
    ticket = ticket_of(stack)

    assert {"pending_connections": 5} == kept(stack)
    assert 201 == claim(stack, "anna", ticket).status_code


def test_a_consent_whose_key_is_gone_has_ended(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can no longer be opened, as after a change of keys, is a sign-in that has ended, and no fault of ours."""
    location = consent(begin(stack), stack.people["anna"].email)
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", stack.google.firestore.address)
    path = next(path for path in stack.documents() if path.startswith("pending"))
    firestore.Client(project=PROJECT).document(path).update({"sealed": "x" * 80})

    assert (400, "invalid-state") == refusal(come_back(location))


def test_a_replayed_redirect_changes_nothing(stack: Stack) -> None:
    """A state is good once: neither the same redirect nor one with a swapped code disturbs the first ticket."""
    location = consent(begin(stack), "anna@demo-crm.example")
    _, _, ticket = fragment(come_back(location))

    assert (400, "invalid-state") == refusal(come_back(location))
    assert (400, "invalid-state") == refusal(come_back(altered(location, code="4/0another")))
    assert 201 == claim(stack, "anna", ticket).status_code


def test_a_code_of_another_consent_is_refused_by_pkce(stack: Stack) -> None:
    """Ben's code, injected into Anna's redirect, does not match Anna's verifier: nothing is minted."""
    bens = parse_qs(urlsplit(consent(begin(stack, "ben"), "ben@demo-crm.example")).query)["code"][0]
    location = consent(begin(stack), "anna@demo-crm.example")
    _, _, ticket = fragment(come_back(altered(location, code=bens)))

    assert (400, "code-refused") == refusal(claim(stack, "anna", ticket))
    assert {"pending_connections": 1} == kept(stack)


def test_nothing_is_minted_before_the_claim(stack: Stack) -> None:
    """The redirect alone exchanges no code and makes no secret."""
    mark = stack.ledger.mark()
    ticket_of(stack)

    assert 0 == exchanges(stack, mark)
    assert {"pending_connections": 1} == kept(stack)


def test_what_is_pending_can_be_opened_by_nobody_who_reads_the_store(stack: Stack) -> None:
    """Neither state, ticket, code nor verifier stands in the pending document."""
    url = begin(stack)
    location = consent(url, "anna@demo-crm.example")
    _, _, ticket = fragment(come_back(location))
    query = parse_qs(urlsplit(location).query)

    stored = str([value for path, value in stack.documents().items() if path.startswith("pending")])
    secret_parts = [query["state"][0], query["code"][0], ticket.partition(".")[2]]
    assert [] == [part for part in secret_parts if part in stored]


def test_the_log_names_neither_code_nor_state_nor_ticket(stack: Stack) -> None:
    """The function's own log has none of what the redirect carried."""
    location = consent(begin(stack), "anna@demo-crm.example")
    _, _, ticket = fragment(come_back(location))
    claim(stack, "anna", ticket)
    query = parse_qs(urlsplit(location).query)

    log = stack.log_file("oauth_callback").read_text()
    assert [] == [part for part in (query["state"][0], query["code"][0], ticket) if part in log]


def test_another_users_ticket_is_destroyed_and_audited(stack: Stack) -> None:
    """Who claims a stranger's consent gets 403; the consent is void for everybody, and the audit says who tried."""
    ticket = ticket_of(stack)

    assert (403, "ticket-of-another-user") == refusal(claim(stack, "ben", ticket))
    assert (400, "invalid-ticket") == refusal(claim(stack, "anna", ticket))
    assert {} == kept(stack)
    records = stack.ask("carla", "GET", f"{FUNCTION}/audit")["records"]
    assert [("claim_refused", "ben", "anna")] == [(one["action"], one["actor"], one["subject"]) for one in records]


def test_a_ticket_is_good_once(stack: Stack) -> None:
    """The second claim of the same ticket is refused and leaves the connection alone."""
    ticket = ticket_of(stack)
    claim(stack, "anna", ticket)

    assert (400, "invalid-ticket") == refusal(claim(stack, "anna", ticket))
    assert {"connections": 1, "secrets": 1} == kept(stack)


def test_a_guessed_ticket_changes_nothing(stack: Stack) -> None:
    """A ticket with the right first half and another second one is unknown; the right one works afterwards."""
    ticket = ticket_of(stack)

    assert (400, "invalid-ticket") == refusal(claim(stack, "ben", ticket.partition(".")[0] + "." + "x" * 43))
    assert 201 == claim(stack, "anna", ticket).status_code


def test_a_ticket_before_the_redirect_is_no_ticket(stack: Stack) -> None:
    """The hash that names a consent does not claim it while Google has not answered."""
    begin(stack)
    state_hash = next(path for path in stack.documents() if path.startswith("pending")).rpartition("/")[2]

    assert (400, "invalid-ticket") == refusal(claim(stack, "anna", state_hash))


def test_a_ticket_lives_five_minutes(stack: Stack) -> None:
    """An old ticket is refused without asking Google, and the daily run clears it away."""
    ticket = ticket_of(stack)
    mark = stack.ledger.mark()
    stack.advance(301)

    assert (400, "invalid-ticket") == refusal(claim(stack, "anna", ticket))
    assert 0 == exchanges(stack, mark)
    stack.run_job("housekeeping")
    assert {} == kept(stack)


def test_of_parallel_claims_exactly_one_wins(stack: Stack) -> None:
    """Eight claims of one ticket at once make one connection with one exchange and one secret."""
    ticket = ticket_of(stack)
    mark = stack.ledger.mark()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: claim(stack, "anna", ticket).status_code, range(8)))

    assert [201] + [400] * 7 == sorted(answers)
    assert {"connections": 1, "secrets": 1} == kept(stack)
    codes = [call for call in stack.ledger.since(mark, service="oauth") if call.method == "token"]
    # One for the code, and one for the first access token, with which the aliases are read.
    assert 2 == len(codes)


def test_an_unticked_scope_disables_just_its_feature(stack: Stack) -> None:
    """Without gmail.modify mail and MailMagnet work; the answer names what is missing and how to repair it."""
    shown = stack.connect("anna", untick=[f"{_GMAIL}modify"])

    assert ["mail", "mailmagnet"] == shown["features"]["granted"]
    missing = {one["feature"]: one for one in shown["features"]["missing"]}
    assert {"actions", "labels"} == missing.keys()
    assert [f"{_GMAIL}modify"] == missing["labels"]["scopes"]
    assert {"method": "POST", "path": "/authorize", "features": ["labels"]} == missing["labels"]["repair"]


def test_a_consent_without_reading_is_given_back(stack: Stack) -> None:
    """Who unticks reading too gets an error code; the grant is revoked and nothing is kept."""
    url = begin(stack)
    untick = [f"{_GMAIL}readonly", f"{_GMAIL}send"]
    _, _, ticket = fragment(come_back(consent(url, "anna@demo-crm.example", untick=untick)))

    assert (403, "scopes-missing") == refusal(claim(stack, "anna", ticket))
    assert ({}, False) == (kept(stack), is_granted(stack))


def test_an_unverified_address_is_given_back(stack: Stack) -> None:
    """A Google account whose address nobody has verified cannot be connected."""
    stack.google.accounts.add("new@demo-crm.example", "New", email_verified=False)
    ticket = ticket_of(stack, address="new@demo-crm.example")

    assert (403, "email-not-verified") == refusal(claim(stack, "anna", ticket))
    assert {} == kept(stack)


@pytest.mark.parametrize(
    ("policy", "address", "status"),
    [
        ({"mailbox_must_match_user": True}, "ben@demo-crm.example", 403),
        ({"mailbox_must_match_user": True}, "anna@demo-crm.example", 201),
        ({"mailbox_domains": ["demo-crm.example"]}, "ben@demo-crm.example", 201),
        ({"mailbox_domains": ["other.example"]}, "anna@demo-crm.example", 403),
        ({"mailbox_must_match_user": True, "mailbox_domains": ["demo-crm.example"]}, "ben@demo-crm.example", 201),
    ],
)
def test_policy_says_whose_mailbox_is_taken(stack: Stack, policy: dict[str, object], address: str, status: int) -> None:
    """The user's own address, or one of a listed domain, where administrators want that."""
    stack.ask("carla", "PUT", f"{FUNCTION}/policy", json=policy)

    answer = claim(stack, "anna", ticket_of(stack, address=address))

    assert status == answer.status_code
    assert ({"connections": 1, "secrets": 1} if status == 201 else {}) == kept(stack)


def test_a_refused_claim_does_not_end_a_colleagues_grant(stack: Stack) -> None:
    """Ben's mailbox, refused for Anna, stays connected for Ben: revoking would have hit both."""
    stack.connect("ben")
    stack.ask("carla", "PUT", f"{FUNCTION}/policy", json={"mailbox_must_match_user": True})

    assert (403, "mailbox-not-allowed") == refusal(
        claim(stack, "anna", ticket_of(stack, address="ben@demo-crm.example"))
    )
    assert is_granted(stack, "ben")


def test_a_claim_may_be_tried_again_while_google_is_down(stack: Stack) -> None:
    """503 of Google's token endpoint consumes nothing: the same ticket works a moment later."""
    ticket = ticket_of(stack)
    stack.faults.inject(Fault("oauth", "token", status=503))

    assert (503, "google-unavailable") == refusal(claim(stack, "anna", ticket))
    assert 201 == claim(stack, "anna", ticket).status_code


def test_a_code_whose_answer_was_lost_mints_nothing(stack: Stack) -> None:
    """If Google took the code but its answer was lost, trying again is refused, and Google ends what it had minted."""
    ticket = ticket_of(stack)
    stack.faults.inject(Fault("oauth", "token", drop_answer=True))

    assert (503, "google-unavailable") == refusal(claim(stack, "anna", ticket))
    assert (400, "code-refused") == refusal(claim(stack, "anna", ticket))
    assert {} == kept(stack)


def test_an_identity_that_cannot_be_checked_mints_nothing(stack: Stack) -> None:
    """Without Google's keys nobody knows whose grant it is: 503, and the grant is given back."""
    ticket = ticket_of(stack)
    stack.google.oauth.rotate_keys()
    stack.advance(61)
    stack.faults.inject(Fault("jwks", "certs", status=503, count=3))

    assert (503, "keys-unavailable") == refusal(claim(stack, "anna", ticket))
    assert ({}, False) == (kept(stack), is_granted(stack))


def test_a_failing_secret_manager_leaves_no_grant(stack: Stack) -> None:
    """If the refresh token cannot be kept, the grant is given back and there is no connection."""
    ticket = ticket_of(stack)
    stack.faults.inject(Fault("secretmanager", "AddSecretVersion", status=503, count=9))

    assert 503 == claim(stack, "anna", ticket).status_code
    assert "connections" not in kept(stack)
    assert not is_granted(stack)


def test_reconnecting_the_same_mailbox_keeps_settings(stack: Stack) -> None:
    """A new consent for the same Google account, even renamed, keeps what was set, and the old secret goes."""
    stack.connect("anna")
    stack.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"sharing": "custom", "locale": "de"})
    before = next(iter(stack.google.secrets.dump()))
    stack.google.accounts.rename("anna@demo-crm.example", "anna.berger@demo-crm.example")
    stack.google.gmail.rename("anna@demo-crm.example", "anna.berger@demo-crm.example")

    shown = claim(stack, "anna", ticket_of(stack, address="anna.berger@demo-crm.example")).json()

    assert ("connected", "anna.berger@demo-crm.example", "custom", "de") == (
        shown["status"],
        shown["address"],
        shown["sharing"]["level"],
        shown["locale"],
    )
    assert {"connections": 1, "secrets": 1} == kept(stack)
    assert before not in stack.google.secrets.dump()


def test_connecting_another_mailbox_starts_afresh(stack: Stack) -> None:
    """Another Google account is another connection: settings begin anew, and the former grant is revoked."""
    stack.connect("anna")
    stack.ask("anna", "PATCH", f"{FUNCTION}/connection", json={"sharing": "public"})
    stack.google.add_account("private@elsewhere.example", "Anna")

    shown = claim(stack, "anna", ticket_of(stack, address="private@elsewhere.example")).json()
    stack.advance(61)
    stack.settle()

    assert ("private@elsewhere.example", "private") == (shown["address"], shown["sharing"]["level"])
    assert {"connections": 1, "secrets": 1} == kept(stack)
    assert not is_granted(stack)


def test_a_consent_begun_before_a_change_is_refused(stack: Stack) -> None:
    """Whoever deactivates while a consent is under way is not connected by it."""
    stack.connect("anna")
    ticket = ticket_of(stack)
    stack.ask("anna", "DELETE", f"{FUNCTION}/connection")

    assert (400, "invalid-ticket") == refusal(claim(stack, "anna", ticket))
    assert "connections" not in kept(stack)


def test_two_users_may_connect_one_mailbox(stack: Stack) -> None:
    """A team's mailbox has a connection and a secret for each of its users."""
    stack.connect("anna", address="carla@demo-crm.example")
    stack.connect("ben", address="carla@demo-crm.example")

    assert {"connections": 2, "secrets": 2} == kept(stack)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/authorize"),
        ("POST", "/connection"),
        ("GET", "/connection"),
        ("PATCH", "/connection"),
        ("DELETE", "/connection"),
        ("GET", "/connection/data"),
        ("GET", "/policy"),
        ("PUT", "/policy"),
        ("GET", "/audit"),
        ("GET", "/connections"),
        ("DELETE", "/connections/anna"),
        ("POST", "/tasks/housekeeping"),
    ],
)
def test_nothing_is_open_without_a_token(stack: Stack, method: str, path: str) -> None:
    """Every route but Google's two and the description needs somebody's token."""
    assert (401, "missing-token") == refusal(stack.call(None, method, FUNCTION + path, json={}))


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/policy"), ("PUT", "/policy"), ("GET", "/audit"), ("GET", "/connections")]
)
def test_what_is_for_administrators_is_refused_to_others(stack: Stack, method: str, path: str) -> None:
    """A user without the role gets 403."""
    assert (403, "administrators-only") == refusal(stack.call("anna", method, FUNCTION + path, json={}))


def test_a_users_token_does_not_open_the_internal_route(stack: Stack) -> None:
    """Housekeeping takes one service account's token, for this function, and no other."""
    url = stack.url(f"{FUNCTION}/tasks/housekeeping")
    for token in (
        stack.token("carla"),
        stack.google.tokens.mint("cloud-tasks@local-project.iam.gserviceaccount.com", stack.url(FUNCTION)),
        stack.google.tokens.mint("housekeeping@local-project.iam.gserviceaccount.com", stack.url("/mail_proxy")),
    ):
        answer = requests.post(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        assert 401 == answer.status_code


def test_the_function_describes_itself(stack: Stack) -> None:
    """GET /openapi.json is open to all and lists every route."""
    described = stack.call(None, "GET", f"{FUNCTION}/openapi.json").json()

    assert "3.1.0" == described["openapi"]
    assert {"get", "post", "patch", "delete"} == described["paths"]["/connection"].keys()
