"""What may happen in a chaos run, as data: a history is a list of events that a seed makes, and that replays.

Owns the dice. Knows neither the stack nor what must come of it; an event that names what is not there (any more) does
nothing, so that every part of a history is a history too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

# Who uses which mailbox: the team's has two users.
BOXES: Final[Mapping[str, tuple[str, ...]]] = {"anna": ("anna",), "ben": ("ben",), "team": ("tom", "tina")}
BOX_OF: Final[Mapping[str, str]] = {user: box for box, users in BOXES.items() for user in users}
CONTACTS: Final = ("mia", "jonas", "emily", "lukas")
DEALS: Final = ("d1", "d2", "d3")
ADDRESSES: Final = tuple(f"{name}@customer.example" for name in (*CONTACTS, "office", "second"))
STRANGER: Final = "someone@stranger.example"
CATEGORIES: Final = ("closing_this_month", "open_deals", "customers")
VIEWERS: Final = (["everyone"], ["everyone"], ["everyone"], ["role:sales"], ["anna"], ["tom", "tina"])
MOVES: Final = (
    "archive", "inbox", "label:closing_this_month", "label:open_deals", "label:customers", "unlabel", "trash",
    "untrash", "spam", "unspam", "star", "project", "delete",
)  # fmt: skip

_GMAIL: Final = (
    "users.messages.get", "users.messages.batchModify", "users.messages.modify", "users.history.list",
    "users.messages.list", "users.labels.list", "users.labels.create", "users.watch", "users.getProfile", "*",
)  # fmt: skip
_OTHERS: Final = (
    ("firestore", "Commit", 503), ("firestore", "Commit", 409), ("firestore", "Commit", 0),
    ("firestore", "BatchGetDocuments", 503), ("firestore", "RunQuery", 503), ("firestore", "RunQuery", 504),
    ("cloudtasks", "CreateTask", 503), ("cloudtasks", "CreateTask", 0), ("cloudtasks", "dispatch", 503),
    ("cloudtasks", "dispatch", 0), ("pubsub", "publish", 503), ("pubsub", "push", 503), ("pubsub", "push", 0),
    ("oauth", "token", 503), ("oauth", "token", 0), ("secretmanager", "AccessSecretVersion", 503),
    ("secretmanager", "AccessSecretVersion", 0), ("jwks", "*", 503),
)  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One thing that happens. Its text is Python that makes it again."""

    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Event({self.kind!r}, {dict(self.args)!r})"

    def __getitem__(self, name: str) -> Any:
        return self.args.get(name)


class Dice:
    """Makes the history of one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._mails: dict[str, list[str]] = {box: [] for box in BOXES}
        # Of these the more is to be told: mail that was in the inbox, from somebody who was a contact then.
        self._customers_mails: dict[str, list[str]] = {box: [] for box in BOXES}
        self._addresses = {name: [f"{name}@customer.example"] for name in CONTACTS}
        self._count = 0
        others = self._random.choice([["ben"], ["team"], ["team"], ["ben", "team"]])
        self._boxes = ["anna", *others]
        self._users = [user for box in self._boxes for user in BOXES[box]]

    def history(self, length: int) -> list[Event]:
        """Everybody begins, then ``length`` things happen, with a time of peace in the middle and one at the end."""
        first = [self._event() for _ in range(length // 2)]
        second = [self._event() for _ in range(length - length // 2)]
        back = [Event("back", {"user": user}) for user in self._users]
        last = back if self._random.random() < 0.7 else []
        return [*self._beginning(), *first, Event("peace"), *back, *second, *last, Event("peace")]

    def _beginning(self) -> list[Event]:
        events = [self._contact(name, self._addresses[name], ["everyone"]) for name in CONTACTS]
        deals = [("d1", "open", "this", ["mia"]), ("d2", "open", "next", ["jonas"]), ("d3", "won", "past", ["emily"])]
        for name, state, closing, contacts in deals:
            told = {"id": name, "state": state, "closing": closing, "contacts": contacts}
            events.append(Event("deal", {**told, "visible_to": ["everyone"], "deleted": False}))
        early = [self._mail() for _ in range(self._random.randrange(3))]
        for user in self._users:
            events.append(Event("connect", {"user": user}))
            events.append(Event("switch", {"user": user, "mailmagnet": True, "labels": True}))
        return [*events[:-2], *early, *events[-2:]]

    def _event(self) -> Event:
        makers: list[tuple[int, Callable[[], Event]]] = [
            (34, self._mail), (16, self._hand), (18, self._sweep), (8, self._deal), (4, self._any_contact),
            (12, self._fault), (5, self._push), (4, self._task), (2, self._label), (3, self._advance), (3, self._month),
            (2, self._expire), (2, self._user), (3, self._connection), (2, self._switch), (1, self._job),
            (2, self._webhook), (2, self._own_mail),
        ]  # fmt: skip
        return self._random.choices([maker for _, maker in makers], [weight for weight, _ in makers])[0]()

    def _mail(self) -> Event:
        box, name = self._box(), self._name()
        known = [address for addresses in self._addresses.values() for address in addresses]
        sender = self._random.choice([*known * 2, *ADDRESSES, STRANGER])
        place = self._random.choice(["INBOX"] * 12 + ["SPAM", "archive"])
        told = {
            "box": box,
            "name": name,
            "sender": sender,
            "auth": self._random.choice(["pass"] * 11 + ["fail"]),
            "place": place,
            "answers": self._random.choice([*self._mails[box], None]),
            "rush": self._rush(),
        }
        self._mails[box].append(name)
        if place == "INBOX" and sender in known:
            self._customers_mails[box].append(name)
        return Event("mail", told)

    def _own_mail(self) -> Event:
        box, name = self._box(), self._name()
        self._mails[box].append(name)
        labels = self._random.choice([["SENT"], ["SENT", "INBOX", "UNREAD"], ["DRAFT"]])
        return Event("own_mail", {"box": box, "name": name, "labels": labels})

    def _hand(self) -> Event:
        return self._hand_on(self._box(), self._random.choice(MOVES[:-1] * 3 + MOVES[-1:]), 4)

    def _hand_on(self, box: str, move: str, among: int) -> Event:
        mails = self._customers_mails[box][-among:] if self._random.random() < 0.8 else self._mails[box][-6:]
        mail = self._random.choice(mails or ["none"])
        return Event("hand", {"box": box, "mail": mail, "move": move, "rush": self._rush()})

    def _sweep(self) -> Event:
        box, count = self._box(), self._random.choice([0, 1, 2, 2, 3])
        between = [self._hand_on(box, self._random.choice(MOVES[:-3]), 2) for _ in range(count)]
        return Event("sweep", {"between": between, "rush": self._rush()})

    def _deal(self) -> Event:
        told = {
            "id": self._random.choice(DEALS),
            "state": self._random.choice(["open", "open", "won", "lost"]),
            "closing": self._random.choice(["this", "next", "past", "none"]),
            "contacts": self._random.sample(CONTACTS, self._random.choice([0, 1, 2, 2, 3])),
            "visible_to": self._random.choice(VIEWERS),
            "deleted": self._random.random() < 0.1,
        }
        return Event("deal", told)

    def _any_contact(self) -> Event:
        name = self._random.choice(CONTACTS)
        kept = self._addresses[name] if self._random.random() < 0.6 else []
        fresh = self._random.sample(ADDRESSES, self._random.choice([0, 1, 1]))
        is_deleted = self._random.random() < 0.2
        self._addresses[name] = [] if is_deleted else list(dict.fromkeys([*kept, *fresh]))
        return self._contact(name, list(dict.fromkeys([*kept, *fresh])), self._random.choice(VIEWERS), is_deleted)

    def _contact(self, name: str, addresses: list[str], viewers: list[str], deleted: bool = False) -> Event:
        owner = self._random.choice(self._users)
        told = {"id": name, "addresses": addresses, "owner": owner, "visible_to": viewers, "deleted": deleted}
        return Event("contact", told)

    def _fault(self) -> Event:
        count, skip = self._random.choice([1, 1, 2, 4]), self._random.choice([0, 0, 1, 3])
        if self._random.random() < 0.6:
            how = self._random.choice(["hint", "limit", "concurrent", "500", "503", "lost"])
            told = {"service": "gmail", "method": self._random.choice(_GMAIL), "how": how}
        else:
            service, method, status = self._random.choice(_OTHERS)
            told = {"service": service, "method": method, "how": str(status) if status else "lost"}
        return Event("fault", {**told, "count": count, "skip": skip})

    def _push(self) -> Event:
        act = self._random.choice(["again", "again", "hold", "let go"])
        return Event("push", {"act": act, "back": self._random.randrange(8), "times": self._random.choice([1, 3])})

    def _task(self) -> Event:
        return Event("task", {"back": self._random.randrange(30)})

    def _label(self) -> Event:
        told = {"box": self._box(), "category": self._random.choice(CATEGORIES)}
        return Event("label", {**told, "act": self._random.choice(["rename", "delete"])})

    def _advance(self) -> Event:
        return Event("advance", {"seconds": self._random.choice([20, 120, 900, 7200])})

    def _month(self) -> Event:
        return Event("month")

    def _expire(self) -> Event:
        return Event("expire", {"box": self._box()})

    def _user(self) -> Event:
        return Event("user", {"user": self._random.choice(self._users), "active": self._random.random() < 0.6})

    def _connection(self) -> Event:
        kind = self._random.choice(["connect", "connect", "connect", "deactivate", "revoke"])
        return Event(kind, {"user": self._random.choice(self._users)})

    def _switch(self) -> Event:
        settings = self._random.choice(
            [{"mailmagnet": True, "labels": True}, {"mailmagnet": True, "labels": True}, {"labels": False},
             {"labels": True}, {"mailmagnet": False}]
        )  # fmt: skip
        return Event("switch", {"user": self._random.choice(self._users), **settings, "rush": self._rush()})

    def _job(self) -> Event:
        return Event("job", {"name": self._random.choice(["magnet-renew", "housekeeping"])})

    def _webhook(self) -> Event:
        return Event("webhook", {"failures": self._random.choice([1, 3, 8])})

    def _box(self) -> str:
        return self._random.choice(self._boxes)

    def _rush(self) -> bool:
        """Whether the next thing happens before this one has been dealt with."""
        return self._random.random() < 0.3

    def _name(self) -> str:
        self._count += 1
        return f"m{self._count}"
