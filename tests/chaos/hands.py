"""Mail that arrives in a chaos run, and what people do with it and with our labels in Gmail's own page.

Tells the model what was done, and which hands may be taken for steps of the sweep's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tests.chaos.events import Event
from tests.chaos.model import AWAY, INBOX, NONE, SPAM, TRASH, Mail
from tests.chaos.stage import SECRET, Stage

_NAMES: Final = ("Renamed", "My own name", "Kunden und mehr")


class Hands(Stage):
    """Plays mail and hands."""

    def _play_mail(self, event: Event) -> None:
        box, place = event["box"], event["place"]
        answered = self.model.mails.get(event["answers"] or "")
        reference = f"<{answered.name}@x.example>" if answered else ""
        thread: dict[str, Any] = {"in_reply_to": reference, "references": reference} if reference else {}
        labels = ["UNREAD", *([place] if place in (INBOX, SPAM) else [])]
        mail_id = self.stack.mail(
            self.address(box),
            event["sender"],
            f"{SECRET} subject",
            auth=event["auth"],
            labels=labels,
            text=f"{SECRET} body",
            cc=f"{SECRET}@elsewhere.example",
            message_id=f"<{event['name']}@x.example>",
            **thread,
        )
        self._note_mail(event["name"], box, mail_id, event["sender"], frozenset(labels), event["auth"] == "pass")

    def _play_own_mail(self, event: Event) -> None:
        box, labels = event["box"], event["labels"]
        raw = f"From: {self.address(box)}\r\nTo: {self.address(box)}\r\nSubject: {SECRET}\r\n\r\n{SECRET}\r\n".encode()
        mail_id = self.stack.deliver(raw, to=self.address(box), labels=labels)[self.address(box)]
        self._note_mail(event["name"], box, mail_id, self.address(box), frozenset(labels), True)
        self.model.mails[event["name"]].is_received = False

    def _note_mail(
        self, name: str, box: str, mail_id: str, sender: str, labels: frozenset[str], is_verified: bool
    ) -> None:
        arrival, others = labels & {INBOX, *AWAY}, labels - {INBOX, *AWAY}
        self.model.mails[name] = Mail(
            name, box, mail_id, sender, self.stack.clock.now(), arrival, others, self.model.known_now, is_verified
        )

    def _play_hand(self, event: Event, *, calm: bool | None = None) -> None:
        mail = self.model.mails.get(event["mail"])
        if mail is None:
            return
        is_calm = self._is_calm() if calm is None else calm
        if not is_calm or self.model.filer(mail.box) == "":
            self._learn_labels()
        mailbox = self.stack.google.gmail.mailbox(self.address(mail.box))
        with mailbox.changing():
            before = frozenset(mailbox.message(mail.mail_id).labels)
            add, remove = self._plan_move(mail, event["move"], before)
            notice = self._notice(mail)
            if event["move"] != "delete":
                mailbox.change_labels([mailbox.message(mail.mail_id)], add - before, remove & before)
            after = frozenset(mailbox.message(mail.mail_id).labels)
        if event["move"] == "delete":
            self._delete(mail)
        elif after != before:
            self._note_hand(mail, before, after, notice, is_calm)

    def _plan_move(self, mail: Mail, move: str, labels: frozenset[str]) -> tuple[set[str], set[str]]:
        """The label ids that the hand puts on and takes off; none where the move means nothing for the mail."""
        ours = {category: label for label, category in self.model.ours[mail.box].items()}
        every = {*ours.values(), INBOX}
        is_away, is_own = bool(labels & AWAY), bool(labels & {"SENT", "DRAFT"})
        match move.partition(":"):
            case ("star", _, _):
                return {"STARRED"}, set()
            case ("project", _, _):
                return {self._projects[mail.box]}, set()
            case ("untrash", _, _) if TRASH in labels:
                return {INBOX}, {TRASH}
            case ("unspam", _, _) if SPAM in labels:
                return {INBOX}, {SPAM}
            case _ if is_away or is_own:
                return set(), set()
            case ("archive", _, _):
                return set(), {INBOX}
            case ("inbox", _, _):
                return {INBOX}, every - {INBOX}
            case ("label", _, category) if category in ours:
                return {ours[category]}, every - {ours[category]}
            case ("unlabel", _, _):
                return set(), every - {INBOX}
            case ("trash" | "spam", _, _):
                return {move.upper()}, set()
        return set(), set()

    def _note_hand(
        self, mail: Mail, before: frozenset[str], after: frozenset[str], notice: Mapping[str, Any] | None, calm: bool
    ) -> None:
        """Tells the model, and whether this hand may be taken for a step of the sweep's own."""
        mail.others = after - {INBOX, *AWAY} - self.model.ever_ours[mail.box]
        was, now = self.model.places_of(mail.box, before), self.model.places_of(mail.box, after)
        if was == now:
            return
        filer = self.model.filer(mail.box)
        target = self.model.category(filer, mail.sender, self.today) if filer and mail.is_verified else NONE
        is_under_way = not calm or bool(notice and notice["intent"])
        looks_like_ours = self._looks_like_ours(was, now, target, str(notice["intent"]) if notice else "")
        is_known = notice is not None or (INBOX in mail.arrival and not (was | now) & AWAY and self._drains(mail))
        mail.is_loose = mail.is_loose and not (notice and calm)
        if (is_under_way and looks_like_ours) or not is_known:
            mail.is_loose = True
        mail.was_taken_out = mail.was_taken_out or bool(was & AWAY and not now & AWAY)
        mail.is_moved = mail.moved_since_peace = True
        mail.healing = frozenset() if calm else mail.lost_labels
        mail.places, mail.lost_labels = now, frozenset()

    @staticmethod
    def _looks_like_ours(was: frozenset[str], now: frozenset[str], target: str, intent: str) -> bool:
        meant = {one for one in (target, intent) if one}
        added = now - was
        # What only takes off, the step takes off as well: both come to the same.
        return not added or bool(added & meant) or INBOX in added

    def _drains(self, mail: Mail) -> bool:
        """Whether history will tell of a mail's arrival and of this hand, in this order."""
        filer = self.model.filer(mail.box)
        return bool(filer) and mail.is_new and self.model.notice(filer, mail, self.stack.clock.now()) == "must"

    def _delete(self, mail: Mail) -> None:
        self.stack.google.gmail.person_deletes(self.address(mail.box), mail.mail_id)
        self.model.gone.add(mail.mail_id)
        del self.model.mails[mail.name]

    def _play_label(self, event: Event) -> None:
        self._learn_labels()
        box, category = event["box"], event["category"]
        label = next((one for one, name in self.model.ours[box].items() if name == category), "")
        gmail = self.stack.google.gmail
        if not label:
            return
        if event["act"] == "rename":
            names = {str(one["name"]) for one in gmail.mailbox(self.address(box)).labels.as_json()}
            name = next((one for one in _NAMES if one not in names), "")
            if name:
                gmail.person_renames_label(self.address(box), label, name)
            return
        gmail.person_deletes_label(self.address(box), label)
        del self.model.ours[box][label]
        for mail in self.model.mails_of(box):
            mail.lost_labels |= {category}
            mail.is_loose = mail.is_loose or mail.moved_since_peace
