"""mail_proxy over HTTP: what a colleague's search tells of mail that is not to be seen, which is nothing at all."""

from __future__ import annotations

from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import pytest
import requests

from local.faults import Fault
from local.stack import Stack

pytestmark = pytest.mark.integration

MIA = "Mia Schneider <mia@customer.example>"
ANNA = "anna@demo-crm.example"
CONNECTION = "/oauth_callback/connection"
EMAILS = "/mail_proxy/contacts/mia/emails"
SECRET = "Kuendigung"
NOWHERE = "Wolkenkuckucksheim"
Hiding = Callable[[Stack], None]


@pytest.fixture
def team(stack: Stack) -> Stack:
    """Anna shares all mail with contacts, and Ben looks for words in it."""
    stack.load_directory()
    stack.connect("anna")
    stack.connect("ben", features=("mail",))
    stack.ask("anna", "PATCH", CONNECTION, json={"sharing": "public"})
    stack.mail("anna", MIA, "Angebot", text=f"{SECRET} {NOWHERE}")
    return stack


def deliver(stack: Stack, **headers: str) -> str:
    """A mail of which the secret word is a part, as it lies in Anna's mailbox."""
    mail = EmailMessage()
    for name, value in {"From": MIA, "To": ANNA, "Subject": SECRET, **headers}.items():
        mail[name] = value
    mail.set_content("Vertraulich")
    return stack.deliver(mail.as_bytes(), to=ANNA)[ANNA]


def under_a_renamed_label(stack: Stack) -> None:
    ids = [deliver(stack) for _ in range(3)]
    stack.ask("anna", "POST", "/mail_proxy/messages/modify", json={"ids": ids, "action": "hide"})
    labels = stack.ask("anna", "GET", "/mail_proxy/labels")["labels"]
    (hidden,) = (one["id"] for one in labels if one["kind"] == "hidden")
    stack.google.gmail.person_renames_label(ANNA, hidden, "Nur für mich")


def by_bcc_alone(stack: Stack) -> None:
    for _ in range(3):
        deliver(stack, From=f"Anna <{ANNA}>", To="x@elsewhere.example", Bcc="mia@customer.example")


def in_an_excluded_domains_mail(stack: Stack) -> None:
    stack.ask("anna", "PATCH", CONNECTION, json={"excluded_domains": ["bank.example"]})
    deliver(stack, Cc="x@bank.example")
    # Not an address that a search by domain is sure to find.
    deliver(stack, Cc="undisclosed: x@kredit.bank.example.;")


def of_a_name_like_the_address(stack: Stack) -> None:
    for _ in range(3):
        deliver(stack, From='"mia@customer.example" <x@elsewhere.example>')


def in_the_trash(stack: Stack) -> None:
    ids = [deliver(stack) for _ in range(2)]
    stack.ask("anna", "POST", "/mail_proxy/messages/modify", json={"ids": ids, "action": "trash"})


EVERY_HIDING = [
    under_a_renamed_label, by_bcc_alone, in_an_excluded_domains_mail, of_a_name_like_the_address, in_the_trash,
]  # fmt: skip


def ask(stack: Stack, q: str, **body: Any) -> requests.Response:
    return stack.call("ben", "POST", EMAILS, json={"q": q, **body})


def told(answer: requests.Response) -> tuple[int, bytes, dict[str, str]]:
    """All that a caller can see of an answer but the time."""
    return answer.status_code, answer.content, {name: one for name, one in answer.headers.items() if name != "Date"}


def calls(stack: Stack, work: Callable[[], object]) -> list[tuple[str, str, str, int]]:
    """The calls to Google's services, in order of service and method, with their HTTP requests numbered."""
    mark = stack.ledger.mark()
    work()
    made = stack.ledger.since(mark)
    http = list(dict.fromkeys(one.http_id for one in made if one.service == "gmail"))
    return sorted((one.service, one.method, one.mailbox, len(http)) for one in made)


@pytest.mark.parametrize("hide", EVERY_HIDING)
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
def test_a_guessed_word_is_answered_like_one_that_is_nowhere(team: Stack, hide: Hiding, warm: bool) -> None:
    """A word of hidden mail is answered byte for byte as one that stands in no mail, with as many requests to Gmail."""
    hide(team)
    team.advance(60)
    if warm:
        ask(team, "nichts")

    guessed = told(ask(team, f"subject:{SECRET}"))
    nowhere = told(ask(team, f"subject:{NOWHERE}"))

    assert nowhere == guessed
    assert b'"entries":[]' in guessed[1].replace(b" ", b"")


@pytest.mark.parametrize("hide", EVERY_HIDING)
@pytest.mark.parametrize("size", [1, 20])
def test_a_mail_full_of_guesses_tells_nothing_of_others(team: Stack, hide: Hiding, size: int) -> None:
    """Who plants a visible mail with the words to be tried sees no difference in how the list ends."""
    hide(team)
    team.advance(60)

    guessed = told(ask(team, SECRET, page_size=size))
    nowhere = told(ask(team, NOWHERE, page_size=size))

    assert nowhere == guessed
    assert b"Angebot" in guessed[1]


def test_a_hidden_hit_makes_no_request_more(team: Stack) -> None:
    """In what Gmail is asked, a word of one hidden mail looks like a word of none."""
    deliver(team, From='"mia@customer.example" <x@elsewhere.example>')
    team.advance(60)
    ask(team, "nichts")

    guessed = calls(team, lambda: ask(team, f"subject:{SECRET}"))
    nowhere = calls(team, lambda: ask(team, f"subject:{NOWHERE}"))

    assert nowhere == guessed
    assert 1 == sum(method == "users.messages.get" for _, method, _, _ in guessed)


def test_gmails_opinion_of_the_id_asked_for_in_vain_is_no_trouble(team: Stack) -> None:
    """A search without hits is well, also where Gmail takes no such id for one."""
    ask(team, "nichts")
    fault = Fault("gmail", "users.messages.get", ANNA, status=400, reason="invalidArgument", message="Invalid id value")
    team.faults.inject(fault)

    page = ask(team, "nichts").json()

    assert 1 == fault.struck
    assert ["ok", "ok"] == [row["state"] for row in page["mailboxes"]]


def test_trouble_strikes_searches_with_and_without_hits_alike(team: Stack) -> None:
    """Where Gmail gives out no mail just now, that says nothing of what was found."""
    deliver(team, From='"mia@customer.example" <x@elsewhere.example>')
    team.advance(60)
    ask(team, "nichts")
    told_of: list[object] = []
    for word in (SECRET, NOWHERE):
        team.faults.inject(Fault("gmail", "users.messages.get", ANNA, status=500, reason="backendError", count=9))
        told_of.append([row["state"] for row in ask(team, f"subject:{word}").json()["mailboxes"]])
        team.faults.clear()

    assert [["ok", "unavailable"]] * 2 == told_of


def test_a_renamed_label_is_left_out_once_its_name_is_known(team: Stack) -> None:
    """From the second search on, hidden mail is not even looked at, and the name is asked for once in five minutes."""
    under_a_renamed_label(team)
    team.advance(60)

    first = calls(team, lambda: ask(team, SECRET))
    second = calls(team, lambda: ask(team, SECRET))

    def count(made: list[tuple[str, str, str, int]], method: str) -> int:
        return sum(one[1] == method and one[2] == ANNA for one in made)

    assert (1, 4) == (count(first, "users.labels.list"), count(first, "users.messages.get"))
    assert (0, 1) == (count(second, "users.labels.list"), count(second, "users.messages.get"))


def test_behind_many_hidden_hits_a_search_is_silent_and_says_so_beforehand(team: Stack) -> None:
    """A search looks at fifty hits of a colleague's mailbox; that more lie behind them is told of no search."""
    for _ in range(52):
        deliver(team, From='"mia@customer.example" <x@elsewhere.example>')
    team.advance(60)

    guessed, nowhere = ask(team, f"subject:{SECRET}"), ask(team, f"subject:{NOWHERE}")

    assert told(nowhere) == told(guessed)
    rows = {row["owner"]: (row["state"], row["has_more"], row["search_limit"]) for row in guessed.json()["mailboxes"]}
    assert {"ben": ("ok", False, 0), "anna": ("ok", False, 50)} == rows


def test_without_words_pages_go_on_behind_hidden_mail(team: Stack) -> None:
    """Hidden mail neither makes a page empty nor hides what lies below it, however much of it there is."""
    below = team.ask("ben", "POST", EMAILS, json={})["entries"][0]["id"]
    for _ in range(52):
        deliver(team, From='"mia@customer.example" <x@elsewhere.example>')

    first = team.ask("ben", "POST", EMAILS, json={"page_size": 5})
    second = team.ask("ben", "POST", EMAILS, json={"page_size": 5, "page_token": first["next_page_token"]})

    assert ([], [below]) == tuple([one["id"] for one in page["entries"]] for page in (first, second))
    assert "" == second["next_page_token"]


def test_a_last_page_has_no_token_whatever_is_hidden_below(team: Stack) -> None:
    """That there is more is said of mail that the reader will see."""
    visible = [team.mail("anna", MIA, f"Mail {number}") for number in range(2)][::-1]
    by_bcc_alone(team)
    visible.insert(0, team.mail("anna", MIA, "Mail 3"))

    first = team.ask("ben", "POST", EMAILS, json={"page_size": 3})
    last = team.ask("ben", "POST", EMAILS, json={"page_size": 3, "page_token": first["next_page_token"]})

    assert visible == [one["id"] for one in first["entries"]]
    assert ["Angebot"] == [one["subject"] for one in last["entries"]]
    assert ("", [("anna", False)]) == (
        last["next_page_token"],
        [(row["owner"], row["has_more"]) for row in last["mailboxes"]],
    )
