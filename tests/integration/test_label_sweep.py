"""label_sweep: customers' mail goes under three labels, follows its deals, and stays where people put it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from local import environment
from local.faults import Fault
from local.ledger import units
from local.stack import Stack
from tests.integration.magnet_rig import counted, deliver_all, encoded, gmail_calls, notices, unpushed
from tests.integration.sweep_rig import (
    CLOSING,
    CUSTOMERS,
    EMILY,
    JONAS,
    LUKAS,
    MIA,
    OPEN,
    OURS,
    arrive,
    call_as,
    calls_of_sweep,
    change_deal,
    connection,
    filed,
    generation,
    hand,
    has_work,
    label_id,
    load_directory,
    modifies,
    pending_sweeps,
    place,
    places,
    send_task,
    start_labels,
    state,
    sweep,
    sweeps,
    while_modifying,
)

pytestmark = pytest.mark.integration

ADDRESS = "anna@demo-crm.example"
# What a dispatch with one changed deal asks of Firestore before the sweep begins.
_CALLS_OF_DISPATCH = 10


@pytest.fixture(params=[False, True], ids=["separate", "joined"])
def either_history(stack: Stack, request: pytest.FixtureRequest) -> Stack:
    """The same, where one action is written to the history as several records, or as one."""
    load_directory(stack)
    stack.google.gmail.joined_history = request.param
    return start_labels(stack)


# Filing


def test_mail_is_filed_by_category(either_history: Stack) -> None:
    """Each contact's mail leaves the inbox for the label of its category; a contact without deals keeps it there."""
    mails = [arrive(either_history, sender) for sender in (MIA, JONAS, EMILY, LUKAS)]
    sweep(either_history)

    assert [{CLOSING}, {OPEN}, {CUSTOMERS}, {"INBOX"}] == places(either_history, *mails)
    expected = [(one, "", False) for one in ("closing_this_month", "open_deals", "customers", "none")]
    assert expected == [state(either_history, mail) for mail in mails]
    assert not has_work(either_history)


def test_other_labels_stay(sorted_mailbox: Stack) -> None:
    """A label of the user's own, a nested one too, stays on a mail that is filed."""
    own = sorted_mailbox.google.gmail.person_creates_label(ADDRESS, "Projekte/Büro")
    mail = sorted_mailbox.mail("anna", MIA, labels=("INBOX", "STARRED", own.id))
    sorted_mailbox.settle()
    sweep(sorted_mailbox)

    assert {CLOSING, "STARRED", "Projekte/Büro"} == sorted_mailbox.labels_of("anna", mail)


def test_plan_after_a_sweep_is_empty(either_history: Stack) -> None:
    """Work set again finds nothing to do: it costs one history.list."""
    filed(either_history, MIA)
    send_task(either_history, kind="start")
    either_history.settle()

    calls = calls_of_sweep(either_history)

    assert ({"history.list": 1}, 2) == (counted(calls), units(calls))


def test_sweep_of_thirty_mails_costs_152(sorted_mailbox: Stack) -> None:
    """Thirty mails in three categories: one history.list and one batchModify a label."""
    deliver_all(sorted_mailbox, *[MIA, JONAS, EMILY] * 10)
    sorted_mailbox.settle()

    calls = calls_of_sweep(sorted_mailbox)

    assert ({"history.list": 1, "messages.batchModify": 3}, 152) == (counted(calls), units(calls))


def test_sweep_with_nothing_due_costs_nothing(sorted_mailbox: Stack) -> None:
    """Where no work is set, a sweep asks Gmail nothing, also when a task for it comes."""
    mark = sorted_mailbox.ledger.mark()
    assert 204 == send_task(sorted_mailbox, kind="sweep")
    sweep(sorted_mailbox)
    assert [] == gmail_calls(sorted_mailbox, mark)


def test_unauthenticated_mail_stays(sorted_mailbox: Stack) -> None:
    """Mail that Gmail could not authenticate stays in the inbox."""
    mail = filed(sorted_mailbox, MIA, auth="mx.google.com; dmarc=fail")
    assert {"INBOX"} == place(sorted_mailbox, mail)


def test_mail_kept_out_of_the_inbox_is_not_filed(sorted_mailbox: Stack) -> None:
    """What a filter of Gmail's kept out of the inbox gets a notice and no label."""
    mail = filed(sorted_mailbox, MIA, labels=("UNREAD",))
    assert (set(), "outside") == (place(sorted_mailbox, mail), notices(sorted_mailbox)[mail]["filed"])


def test_reply_in_a_filed_thread_is_filed_on_its_own(sorted_mailbox: Stack) -> None:
    """A new mail of a thread comes into the inbox, and the next sweep files it."""
    filed(sorted_mailbox, MIA, subject="Angebot")
    reply = arrive(sorted_mailbox, MIA, subject="Re: Angebot")
    assert {"INBOX"} == place(sorted_mailbox, reply)
    sweep(sorted_mailbox)
    assert {CLOSING} == place(sorted_mailbox, reply)


# Following


def test_won_deal_takes_its_mail_along(either_history: Stack) -> None:
    """When a deal is won, mail already filed follows to Customers within the next sweep."""
    mail = filed(either_history, MIA)
    change_deal(either_history, "d-01", state="won")
    sweep(either_history)
    assert {CUSTOMERS} == place(either_history, mail)


def test_mail_of_a_lost_deal_returns_to_the_inbox(either_history: Stack) -> None:
    """To none: our label goes, and INBOX returns for mail of the last 30 days only."""
    young = filed(either_history, MIA)
    change_deal(either_history, "d-01", state="lost")
    sweep(either_history)
    assert ({"INBOX"}, ("none", "", False)) == (place(either_history, young), state(either_history, young))


def test_old_mail_of_a_lost_deal_only_loses_the_label(stack: Stack) -> None:
    """Mail older than 30 days loses our label and does not come back into the inbox."""
    load_directory(stack)
    stack.ask("carla", "PUT", "/oauth_callback/policy", json={"notice_retention_days": 90})
    start_labels(stack)
    mail = filed(stack, JONAS)
    stack.advance(31 * 24 * 3600)
    stack.run_job("magnet-renew")
    stack.catch_up(within_s=3600)
    write_lost = {
        "id": "d-02",
        "state": "lost",
        "title": "x",
        "contacts": ["jonas", "karl"],
        "visible_to": ["everyone"],
    }
    stack.ask("crm-backend", "POST", "/mail_proxy/directory", json={"deals": [write_lost]})
    sweep(stack)
    assert set() == place(stack, mail)


# Hands


@pytest.mark.parametrize(
    ("add", "remove", "there"),
    [
        (["INBOX"], [CLOSING], {"INBOX"}),
        ([OPEN], [CLOSING], {OPEN}),
        ([], [CLOSING], set()),
        (["TRASH"], [], {"TRASH", CLOSING}),
        (["INBOX"], [], {"INBOX", CLOSING}),
    ],
    ids=["back to the inbox", "to another label", "unlabelled", "thrown away", "into the inbox besides"],
)
def test_hands_win(sorted_mailbox: Stack, add: list[str], remove: list[str], there: set[str]) -> None:
    """What a person has moved stays there, though its deal changes afterwards."""
    mail = filed(sorted_mailbox, MIA)
    hand(sorted_mailbox, mail, add=add, remove=remove)
    change_deal(sorted_mailbox, "d-01", state="won")
    sweep(sorted_mailbox)
    assert (there, True) == (place(sorted_mailbox, mail), state(sorted_mailbox, mail)[2])


def test_hand_before_the_first_sweep_wins(sorted_mailbox: Stack) -> None:
    """A mail archived before the sweep came is left alone, for no more than the drain."""
    mail = arrive(sorted_mailbox, MIA)
    hand(sorted_mailbox, mail, remove=["INBOX"])
    calls = calls_of_sweep(sorted_mailbox)
    assert ({"history.list": 1}, set()) == (counted(calls), place(sorted_mailbox, mail))


@pytest.mark.parametrize(
    ("add", "remove", "there"),
    [([OPEN], ["INBOX"], {OPEN}), ([OPEN], [], {OPEN, "INBOX"}), (["TRASH"], ["INBOX"], {"TRASH"})],
    ids=["to another label", "another label besides", "thrown away"],
)
def test_hand_between_plan_and_step_is_put_back(
    either_history: Stack, add: list[str], remove: list[str], there: set[str]
) -> None:
    """A hand that comes after the sweep has drained and before Gmail acts gets its way, by one more modify."""
    mail = arrive(either_history, MIA)
    ids = [[label_id(either_history, name) for name in names] for names in (add, remove)]

    def move() -> None:
        either_history.google.gmail.person_moves(ADDRESS, mail, add=ids[0], remove=ids[1])

    mark = either_history.ledger.mark()
    with while_modifying(either_history, move):
        sweep(either_history)

    assert (there, True) == (place(either_history, mail), state(either_history, mail)[2])
    assert 2 == modifies(gmail_calls(either_history, mark))


def test_mail_deleted_for_good_delays_no_other(sorted_mailbox: Stack) -> None:
    """A mail that is gone when the sweep comes keeps nothing from being filed."""
    gone, other = (arrive(sorted_mailbox, MIA) for _ in range(2))
    with unpushed(sorted_mailbox):
        sorted_mailbox.google.gmail.person_deletes(ADDRESS, gone)
    sweep(sorted_mailbox)
    assert ({CLOSING}, [other]) == (place(sorted_mailbox, other), list(notices(sorted_mailbox)))


# Labels


def test_labels_are_named_by_the_locale(stack: Stack) -> None:
    """With the German locale the labels have German names."""
    load_directory(stack)
    start_labels(stack, locale="de")
    ours = {"Geschäftsabschlüsse in diesem Monat (CTM)", "Offene Deals", "Kunden"}
    assert ours <= stack.label_names("anna")
    assert not OURS & stack.label_names("anna")


def test_label_of_the_same_name_is_adopted(stack: Stack) -> None:
    """A label that has our name already, in whatever case, becomes ours."""
    load_directory(stack)
    own = stack.google.gmail.person_creates_label(ADDRESS, "customers")
    start_labels(stack)
    mail = filed(stack, EMILY)
    assert (own.id, {"customers"}) == (
        connection(stack)["label_ids"]["customers"],
        stack.labels_of("anna", mail) - {"UNREAD"},
    )


def test_backlog_of_thirty_days_is_filed(stack: Stack) -> None:
    """Turned on, labels take the contacts' mail of the last 30 days out of the inbox; older mail stays."""
    load_directory(stack)
    now = stack.clock.now()
    mails = [stack.mail("anna", MIA, at=now - timedelta(days=days)) for days in (3, 20, 45)]
    start_labels(stack)
    assert [{CLOSING}, {CLOSING}, {"INBOX"}] == places(stack, *mails)


def test_renamed_label_is_respected(sorted_mailbox: Stack) -> None:
    """The user's own name for a label of ours stays, and mail goes on being filed under it."""
    ours = label_id(sorted_mailbox, CLOSING)
    sorted_mailbox.google.gmail.person_renames_label(ADDRESS, ours, "Heiß")
    mail = filed(sorted_mailbox, MIA)
    assert "Heiß" in sorted_mailbox.labels_of("anna", mail)
    assert CLOSING not in sorted_mailbox.label_names("anna")


def test_deleted_label_is_healed(either_history: Stack) -> None:
    """A label that the user deleted comes back, with the mails filed under it, and counts as nobody's hand."""
    mails = [arrive(either_history, MIA) for _ in range(3)]
    sweep(either_history)
    either_history.advance(2)
    either_history.google.gmail.person_deletes_label(ADDRESS, label_id(either_history, CLOSING))
    either_history.settle()
    sweep(either_history)

    assert [{CLOSING}] * 3 == places(either_history, *mails)
    assert {("closing_this_month", "", False)} == {state(either_history, mail) for mail in mails}


def test_label_deleted_just_before_the_step_is_healed(sorted_mailbox: Stack) -> None:
    """A label that vanishes between drain and batchModify is made anew, and the step done after all."""
    mail = arrive(sorted_mailbox, MIA)
    gone = label_id(sorted_mailbox, CLOSING)
    with while_modifying(sorted_mailbox, lambda: sorted_mailbox.google.gmail.person_deletes_label(ADDRESS, gone)):
        sweep(sorted_mailbox)
    assert ({CLOSING}, "closing_this_month") == (place(sorted_mailbox, mail), state(sorted_mailbox, mail)[0])


def test_label_renamed_to_another_of_ours_is_not_taken_for_it(sorted_mailbox: Stack) -> None:
    """Where the user gave one label another's name and deleted that, both categories keep labels of their own."""
    gmail = sorted_mailbox.google.gmail
    customers = label_id(sorted_mailbox, CUSTOMERS)
    gmail.person_deletes_label(ADDRESS, label_id(sorted_mailbox, OPEN))
    gmail.person_renames_label(ADDRESS, customers, OPEN)
    send_task(sorted_mailbox, kind="start")
    ids = connection(sorted_mailbox)["label_ids"]
    assert (customers, 3) == (ids["customers"], len(set(ids.values())))
    assert "Open Deals (CRM)" in sorted_mailbox.label_names("anna")


# Trouble


@pytest.mark.parametrize(
    "fault",
    [
        Fault("gmail", "users.messages.batchModify", status=503),
        Fault("gmail", "users.messages.batchModify", drop_answer=True),
        Fault("gmail", "users.history.list", status=500),
        Fault("gmail", "users.messages.batchModify", status=429, reason="rateLimitExceeded"),
        Fault("firestore", "Commit", status=14),
    ],
    ids=["refused", "answer lost", "history fails", "too many at once", "store fails"],
)
def test_sweep_that_fails_ends_like_one_that_did_not(sorted_mailbox: Stack, fault: Fault) -> None:
    """Trouble on the way leaves the work; what comes later brings every mail to its place, pinned by nobody."""
    mails = [arrive(sorted_mailbox, sender) for sender in (MIA, JONAS)]
    sorted_mailbox.advance(600)
    sorted_mailbox.faults.inject(Fault(**{**vars(fault), "count": 1, "struck": 0}))
    sorted_mailbox.sweep()
    sorted_mailbox.catch_up(within_s=120)
    sweep(sorted_mailbox)

    assert [{CLOSING}, {OPEN}] == places(sorted_mailbox, *mails)
    assert [("closing_this_month", "", False), ("open_deals", "", False)] == [
        state(sorted_mailbox, mail) for mail in mails
    ]
    assert not has_work(sorted_mailbox)


@pytest.mark.parametrize("skip", range(18))
def test_sweep_that_dies_anywhere_ends_like_one_that_did_not(sorted_mailbox: Stack, skip: int) -> None:
    """Whichever call to Firestore a sweep, or what leads to it, fails at: the end is the same, and pinned by nobody."""
    old = filed(sorted_mailbox, EMILY)
    change_deal(sorted_mailbox, "d-03", state="open")
    mails = [old, *(arrive(sorted_mailbox, sender) for sender in (MIA, LUKAS))]
    sorted_mailbox.advance(600)
    # A refusal that no client tries again.
    fault = sorted_mailbox.faults.inject(Fault("firestore", "*", status=7, skip=skip + _CALLS_OF_DISPATCH))
    sorted_mailbox.sweep()
    sorted_mailbox.catch_up(within_s=120)
    sorted_mailbox.faults.clear()
    sweep(sorted_mailbox)

    assert 1 == fault.struck
    assert [{OPEN}, {CLOSING}, {"INBOX"}] == places(sorted_mailbox, *mails)
    expected = [("open_deals", "", False), ("closing_this_month", "", False), ("none", "", False)]
    assert (expected, False) == ([state(sorted_mailbox, mail) for mail in mails], has_work(sorted_mailbox))


def test_begun_step_that_changed_nothing_is_settled(sorted_mailbox: Stack) -> None:
    """A step whose answer and echo were both lost is done again once nobody can be at it, settled, and left alone."""
    mail = arrive(sorted_mailbox, MIA)
    with unpushed(sorted_mailbox):
        sorted_mailbox.faults.inject(Fault("gmail", "users.messages.batchModify", status=503))
        sorted_mailbox.advance(600)
        sorted_mailbox.sweep()
        assert ("", "closing_this_month", False) == state(sorted_mailbox, mail)
    sorted_mailbox.catch_up(within_s=120)
    assert ("", "closing_this_month", False) == state(sorted_mailbox, mail)
    sweep(sorted_mailbox)
    assert ("closing_this_month", "", False) == state(sorted_mailbox, mail)
    assert [] == [call for call in calls_of_sweep(sorted_mailbox) if call.method.endswith("Modify")]


def test_rate_limit_leaves_a_task_for_its_time(sorted_mailbox: Stack) -> None:
    """While Google asks to wait, nothing is asked of Gmail; then the sweep goes on by itself."""
    mail = arrive(sorted_mailbox, MIA)
    until = sorted_mailbox.clock.now() + timedelta(minutes=14)
    message = f"User-rate limit exceeded.  Retry after {until:%Y-%m-%dT%H:%M:%S.000Z}"
    sorted_mailbox.faults.inject(
        Fault("gmail", "users.history.list", status=403, reason="userRateLimitExceeded", message=message)
    )
    sorted_mailbox.advance(600)
    sorted_mailbox.sweep()
    assert (1, True) == (pending_sweeps(sorted_mailbox), has_work(sorted_mailbox))
    mark = sorted_mailbox.ledger.mark()
    sorted_mailbox.sweep()
    assert [] == gmail_calls(sorted_mailbox, mark)
    sorted_mailbox.catch_up(within_s=300)
    assert {CLOSING} == place(sorted_mailbox, mail)


def test_parallel_sweeps_end_as_one_does(sorted_mailbox: Stack) -> None:
    """Four sweeps of one user at once bring each mail to its place, and record it once."""
    mails = [arrive(sorted_mailbox, sender) for sender in (MIA, JONAS, EMILY)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: send_task(sorted_mailbox, kind="sweep"), range(4)))
    sorted_mailbox.settle()
    sweep(sorted_mailbox)

    assert [204] * 4 == answers
    assert [{CLOSING}, {OPEN}, {CUSTOMERS}] == places(sorted_mailbox, *mails)
    assert {False} == {state(sorted_mailbox, mail)[2] for mail in mails}
    assert sorted(mails) == sorted(move["mail_id"] for one in sweeps(sorted_mailbox) for move in one["moves"])


# Who may


@pytest.mark.parametrize("setting", ["labels", "mailmagnet"])
def test_switched_off_files_nothing(sorted_mailbox: Stack, setting: str) -> None:
    """What is turned off stops at once: work and waiting tasks do nothing."""
    mail = arrive(sorted_mailbox, MIA)
    sorted_mailbox.ask("anna", "PATCH", "/oauth_callback/connection", json={setting: False})
    send_task(sorted_mailbox, kind="sweep")
    sweep(sorted_mailbox)
    assert ({"INBOX"}, False) == (place(sorted_mailbox, mail), has_work(sorted_mailbox))


def test_inactive_user_is_not_served(sorted_mailbox: Stack) -> None:
    """For a user made inactive nothing is filed, and the work ends."""
    mail = arrive(sorted_mailbox, MIA)
    inactive = {"id": "anna", "active": False, "role": "sales", "permissions": ["mail_integration"]}
    sorted_mailbox.ask("crm-backend", "POST", "/mail_proxy/directory", json={"users": [inactive]})
    sweep(sorted_mailbox)
    assert ({"INBOX"}, False) == (place(sorted_mailbox, mail), has_work(sorted_mailbox))


def test_task_of_an_older_generation_does_nothing(sorted_mailbox: Stack) -> None:
    """A task of a connection that was replaced leaves the new one's work alone."""
    mail = arrive(sorted_mailbox, MIA)
    before = generation(sorted_mailbox)
    sorted_mailbox.connect("anna")
    assert 204 == send_task(sorted_mailbox, kind="sweep", generation=before)
    assert ({"INBOX"}, True) == (place(sorted_mailbox, mail), has_work(sorted_mailbox))
    sweep(sorted_mailbox)
    assert {CLOSING} == place(sorted_mailbox, mail)


def test_dead_grant_ends_the_work(sorted_mailbox: Stack) -> None:
    """A revoked grant is marked once, and nothing is tried again."""
    arrive(sorted_mailbox, MIA)
    sorted_mailbox.google.accounts.revoke_account(ADDRESS)
    sweep(sorted_mailbox)
    assert ("reauth_required", False) == (connection(sorted_mailbox)["status"], has_work(sorted_mailbox))


@pytest.mark.parametrize("payload", [{"kind": "dance"}, {"user": "ben"}, {"user": 7}, {"generation": None}], ids=str)
def test_poison_task_is_acknowledged(sorted_mailbox: Stack, payload: dict[str, object]) -> None:
    """A task that cannot be read, or names another user than its address, is passed over."""
    full = {"user": "anna", "generation": "x", **payload}
    assert 204 == call_as(sorted_mailbox, environment.TASKS, f"/users/{encoded('anna')}", full)


@pytest.mark.parametrize(
    ("account", "path", "status"),
    [
        (environment.TASKS, "/", 401),
        (environment.SCHEDULER, "/users/YW5uYQ", 401),
        (environment.PUSH, "/", 403),
        (environment.SCHEDULER, "/", 204),
    ],
)
def test_each_route_takes_one_account(sorted_mailbox: Stack, account: str, path: str, status: int) -> None:
    """Dispatch is the scheduler's, a user's sweep the tasks'."""
    assert status == call_as(sorted_mailbox, account, path, {"user": "anna"})
