"""``cost``: its figures are what the stack's ledger shows, and its sums are theirs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from local.stack import Stack
from ops.figures import PROFILES, WORK, Work
from tests.integration.ops_rig import run_here

pytestmark = pytest.mark.integration

SEARCH, MIA = "/mail_proxy/messages/search", "mia@customer.example"


@pytest.fixture
def settled(stack: Stack) -> Stack:
    """Anna with MailMagnet and labels on, 25 mails of a customer filed, and nothing left to do."""
    stack.load_directory()
    stack.connect("anna")
    for number in range(25):
        stack.mail("anna", MIA, f"Mail {number}")
    stack.switch_on("anna")
    stack.catch_up(within_s=900)
    stack.sweep()
    stack.catch_up(within_s=120)
    stack.advance(120)
    stack.sweep()
    stack.ask("anna", "GET", "/mail_proxy/labels")
    stack.advance(61)
    return stack


def taken(stack: Stack, work: Callable[[], object]) -> Work:
    """What a piece of work takes, by the ledger; its seconds are not counted."""
    mark, asked_before = stack.ledger.mark(), sum(stack.front.counts().values())
    work()
    counts: Counter[str] = Counter()
    for call in stack.ledger.since(mark):
        if call.service == "gmail":
            counts["gmail_units"] += call.units
        elif call.service == "firestore":
            counts[f"firestore_{call.method.rpartition('.')[2]}s"] += call.units
        elif call.method in ("CreateTask", "AccessSecretVersion"):
            counts["tasks" if call.method == "CreateTask" else "secret_accesses"] += 1
    return Work(**counts, requests=sum(stack.front.counts().values()) - asked_before)


def verify_figure(name: str, measured: Work) -> None:
    """The figure is not below what was measured, and not far above it."""
    for what in ("gmail_units", "firestore_reads", "firestore_writes", "firestore_deletes", "tasks"):
        figure, found = getattr(WORK[name], what), getattr(measured, what)
        assert found <= figure <= found * 1.5 + 2, (name, what, found, figure)


def test_figures_of_what_users_do(settled: Stack) -> None:
    """Pages, polls and a send take what the figures say."""
    page = {"page_size": 20}
    body = {"to": [{"address": MIA}], "subject": "x", "text": "y"}
    tag = settled.call("anna", "GET", "/mail_proxy/notices").headers["ETag"]

    verify_figure("page", taken(settled, lambda: settled.ask("anna", "POST", SEARCH, json=page)))
    verify_figure("page_again", taken(settled, lambda: settled.ask("anna", "POST", SEARCH, json=page)))
    settled.advance(61)
    contact = "/mail_proxy/contacts/mia/emails"
    verify_figure("contact_page", taken(settled, lambda: settled.ask("anna", "POST", contact, json={})))
    unchanged = {"If-None-Match": tag}
    poll = taken(settled, lambda: settled.call("anna", "GET", "/mail_proxy/notices", headers=unchanged))
    verify_figure("poll", poll)
    key = {"Idempotency-Key": "figures"}
    send = taken(settled, lambda: settled.ask("anna", "POST", "/mail_proxy/messages", json=body, headers=key))
    verify_figure("send", send)


def test_figures_of_what_goes_by_itself(settled: Stack) -> None:
    """Pushes, a sweep, an idle dispatch and a day's renewal take what the figures say."""

    def deliver(sender: str) -> None:
        settled.mail("anna", sender)
        settled.settle()

    def sweep() -> None:
        settled.sweep()
        settled.catch_up(within_s=60)

    def renew() -> None:
        settled.run_job("magnet-renew")
        # Renewals are spread over an hour.
        settled.catch_up(within_s=3600)

    verify_figure("dispatch", taken(settled, settled.sweep))
    verify_figure("customer_mail", taken(settled, lambda: deliver(MIA)))
    verify_figure("sweep", taken(settled, sweep))
    verify_figure("other_mail", taken(settled, lambda: deliver("stranger@else.example")))
    settled.advance(86_400)
    verify_figure("renewal", taken(settled, renew))


def test_a_months_estimate() -> None:
    """Without any environment: the total is the sum of its parts, and grows with the users."""
    one = run_here({}, "cost", "--users", "1", "--json").json
    thousand = run_here({}, "cost", "--users", "1000", "--json").json
    shown = run_here({}, "cost", "--users", "1000")

    assert thousand["dollars_total"] == pytest.approx(sum(thousand["dollars"].values()), abs=0.01)
    assert 60.24 == thousand["dollars"]["secrets_held"]
    assert thousand["gmail_units_a_day"] == pytest.approx(1000 * one["gmail_units_a_day"])
    assert shown.out.startswith(f"1000 users, typical: {thousand['dollars_total']:,.2f} USD a month")
    assert "% of what costs nothing" in shown.out


def test_habits_and_figures_can_be_changed(tmp_path: Path) -> None:
    """--set and --figures take part in the sum; what they do not know is a usage error."""
    still = [f"--set={name}=0" for name in PROFILES["typical"]]
    path, wrong = tmp_path / "figures.json", tmp_path / "wrong.json"
    path.write_text(json.dumps({"renewal": {"gmail_units": 1}}))
    wrong.write_text(json.dumps({"page": {"minutes": 1}}))

    quiet = run_here({}, "cost", "--users", "10", "--json", *still).json
    cheap = run_here({}, "cost", "--users", "10", "--json", "--figures", path, *still).json

    assert (1080, 10) == (quiet["gmail_units_a_day"], cheap["gmail_units_a_day"])
    for arguments in (["--set", "fly=1"], ["--set", "send"], ["--users", "0"], ["--figures", str(wrong)]):
        assert (arguments, 2) == (arguments, run_here({}, "cost", *arguments).code)
