"""What the tests of sweeps share: a user with labels on, hands in Gmail's own page, and how to see what is stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any

from local import environment
from local.crm.people import BACKEND, directory
from local.faults import Fault
from local.ledger import Call
from local.stack import Stack
from tests.integration.magnet_rig import encoded, gmail_calls, notices, unpushed

MIA, JONAS, EMILY, LENA = (
    "mia@customer.example",
    "jonas.weber@weber-bau.example",
    "emily@carter-design.example",
    "lena@krueger-energie.example",
)
LUKAS = "lukas.gross@gross-logistik.example"
CLOSING, OPEN, CUSTOMERS = "Closing This Month (CTM)", "Open Deals", "Customers"
OURS = {CLOSING, OPEN, CUSTOMERS}


def load_directory(stack: Stack) -> None:
    """The demo's records, at a time from which no test that does not mean to runs into another month."""
    now = stack.clock.now()
    if now.day > 25:
        following = (now.replace(day=1, hour=9) + timedelta(days=32)).replace(day=2)
        stack.advance((following - now).total_seconds())
    stack.load_directory()


def start_labels(stack: Stack, user: str = "anna", **settings: Any) -> Stack:
    """A user connected, with MailMagnet and labels on, and nothing left to do."""
    stack.connect(user)
    stack.switch_on(user, mailmagnet=True, labels=True, **settings)
    stack.catch_up(within_s=300)
    sweep(stack)
    return stack


def sweep(stack: Stack) -> None:
    """The scheduler fires ten minutes later, and what follows runs to its end, searches for new addresses too."""
    stack.advance(600)
    stack.sweep()
    stack.catch_up(within_s=60)


def arrive(stack: Stack, sender: str, **more: Any) -> str:
    """A mail to Anna, pushed and noticed."""
    mail_id = stack.mail("anna", sender, **more)
    stack.settle()
    return mail_id


def filed(stack: Stack, sender: str, **more: Any) -> str:
    """A mail to Anna after the sweep that filed it."""
    mail_id = arrive(stack, sender, **more)
    sweep(stack)
    return mail_id


def place(stack: Stack, mail_id: str) -> set[str]:
    """Which of our labels, and of INBOX and TRASH, the mail has."""
    return stack.labels_of("anna", mail_id) & (OURS | {"INBOX", "TRASH"})


def places(stack: Stack, *mail_ids: str) -> list[set[str]]:
    return [place(stack, mail_id) for mail_id in mail_ids]


def label_id(stack: Stack, name: str, user: str = "anna") -> str:
    mailbox = stack.google.gmail.mailbox(stack.people[user].email)
    with mailbox.lock:
        return next((str(one["id"]) for one in mailbox.labels.as_json() if one["name"] == name), "")


def hand(stack: Stack, mail_id: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
    """A person moves a mail in Gmail's own page; labels by name."""
    stack.advance(2)
    ids = [[label_id(stack, name) for name in names] for names in (add, remove)]
    stack.google.gmail.person_moves(stack.people["anna"].email, mail_id, add=ids[0], remove=ids[1])
    stack.settle()


def state(stack: Stack, mail_id: str) -> tuple[str, str, bool]:
    """Where the notice says that the mail is, what is about to be done, and whether it is pinned."""
    stored = notices(stack)[mail_id]
    return stored["filed"], stored["intent"], stored["pinned"]


def has_work(stack: Stack, user: str = "anna") -> bool:
    return f"work/{encoded(user)}" in stack.documents()


def sweeps(stack: Stack) -> list[dict[str, Any]]:
    answer: dict[str, Any] = stack.ask("anna", "GET", "/mail_proxy/sweeps")
    found: list[dict[str, Any]] = answer["sweeps"]
    return found


def write(stack: Stack, **records: list[dict[str, Any]]) -> None:
    """The CRM's back end writes records."""
    stack.ask(BACKEND.id, "POST", "/mail_proxy/directory", json=records)


def record(stack: Stack, kind: str, record_id: str, **changes: Any) -> dict[str, Any]:
    """One of the demo's records, changed."""
    found = next(one for one in directory(stack.clock.now().date())[kind] if one["id"] == record_id)
    return {**found, **changes}


def change_deal(stack: Stack, deal_id: str, **changes: Any) -> None:
    write(stack, deals=[record(stack, "deals", deal_id, **changes)])


def change_contact(stack: Stack, contact_id: str, **changes: Any) -> None:
    write(stack, contacts=[record(stack, "contacts", contact_id, **changes)])


def modifies(calls: list[Call]) -> int:
    """How many of the calls changed labels of mails."""
    return sum(call.method in ("users.messages.batchModify", "users.messages.modify") for call in calls)


def calls_of_sweep(stack: Stack) -> list[Call]:
    """What the next sweep asks of Gmail, without what its own echo causes."""
    mark = stack.ledger.mark()
    with unpushed(stack):
        stack.advance(600)
        stack.sweep()
        return gmail_calls(stack, mark)


def while_modifying(stack: Stack, act: Callable[[], object], delay_s: float = 0.4) -> AbstractContextManager[None]:
    """Within the block, ``act`` happens just before Gmail carries out the first batchModify."""
    return while_calling(stack, "users.messages.batchModify", act, delay_s)


@contextmanager
def while_calling(stack: Stack, method: str, act: Callable[[], object], delay_s: float = 0.4) -> Iterator[None]:
    """Within the block, ``act`` happens just before Gmail carries out the first call of ``method``."""
    fault = stack.faults.inject(Fault("gmail", method, delay_s=delay_s))

    def wait() -> None:
        ends_s = time.monotonic() + 20
        while not fault.struck and time.monotonic() < ends_s:
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()


def call_as(stack: Stack, account: str, path: str, payload: Any = None) -> int:
    """Calls a route of label_sweep as a service account, through the front."""
    token = stack.google.tokens.mint(account, stack.url("/label_sweep"))
    headers = {"Authorization": f"Bearer {token}"}
    return stack.call(None, "POST", f"/label_sweep{path}", json=payload, headers=headers).status_code


def send_task(stack: Stack, **payload: Any) -> int:
    """Calls ``POST /users/{id}`` for Anna as Cloud Tasks would, and returns the status of the answer."""
    full = {"user": "anna", "generation": generation(stack), **payload}
    return call_as(stack, environment.TASKS, f"/users/{encoded('anna')}", full)


def connection(stack: Stack, user: str = "anna") -> dict[str, Any]:
    return stack.documents()[f"connections/{encoded(user)}"]


def generation(stack: Stack, user: str = "anna") -> str:
    found: str = connection(stack, user)["generation"]
    return found


def pending_sweeps(stack: Stack) -> int:
    """How many tasks of label_sweep wait."""
    return sum("/label_sweep/" in task.http_request.url for task in stack.google.tasks.pending())
