"""Owns opening mails: one with all that its body needs, and a conversation.

Works on an open mailbox, whosever it is: who may see the mail is decided before. Opening marks nothing as read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from common.errors import BadRequest, NotFound, Problem
from common.gmail.client import Gmail
from common.gmail.results import Message
from common.mail.html import SanitisedHtml, image_data_url
from common.mail.reading import (
    FULL_FIELDS,
    PartSource,
    find_part,
    missing_bodies,
    missing_calendar,
    read_known,
    read_message,
)
from common.mail.view import MessageView, displayed_html
from common.memory import byte_budget
from common.reading_api import MessageAnswer, ThreadAnswer, message

# Bounds on what one mail may make us ask Gmail for, at 20 units each.
_MOST_BODIES: Final = 5
_MOST_IMAGES: Final = 20
_MOST_IMAGE_BYTES: Final = 5 * 1024 * 1024
_AT_ONCE: Final = 4
# A conversation is answered whole up to here; of what is more, the reader opens one mail at a time.
_MOST_THREAD_CHARS: Final = 4_000_000
# Gmail's JSON holds base64, which is read, decoded and copied before it goes out.
COPIES: Final = 4
_NO_BODY: Final = SanitisedHtml("", 0)


@dataclass(frozen=True)
class Look:
    """How a mail is to be shown. ``images``: inline ones stand in the body; else its ``cid:`` URLs name their parts."""

    remote: bool = False
    images: bool = True
    with_bcc: bool = False
    hidden_label_id: str = ""


@contextmanager
def named_thing() -> Iterator[None]:
    """For one that is asked for by its id: what Gmail does not take for an id names nothing. Raises NotFound."""
    try:
        yield
    except BadRequest:
        raise NotFound from None


def fetch_full(gmail: Gmail, message_id: str) -> Message:
    """The whole mail as Gmail has it, without its attachments' content. Raises NotFound."""
    with named_thing():
        return gmail.fetch_message(message_id, fields=FULL_FIELDS)


def read_whole(gmail: Gmail, resource: Message) -> MessageView:
    """The mail of ``fetch_full`` with its long texts, which Gmail keeps apart. Raises the Problem of one of them."""
    bodies = missing_bodies(resource)[:_MOST_BODIES]
    return read_message(resource, _fetch_parts(gmail, str(resource["id"]), bodies, []))


def open_message(gmail: Gmail, resource: Message, look: Look) -> MessageAnswer:
    """The mail of ``fetch_full`` for a reader. Long texts and inline images are fetched at once, where there are any.

    An image or an invitation that cannot be had is left out; a text that cannot raises its Problem.
    """
    view, bodies = read_known(resource)
    bodies = bodies[:_MOST_BODIES]
    calendar = missing_calendar(resource)
    extras = [*([calendar] if calendar else []), *(_images(resource, view) if look.images else [])]
    fetched = _fetch_parts(gmail, view.id, bodies, extras)
    if bodies or calendar:
        view = read_message(resource, fetched)
        # Which images a long text shows is known only now.
        late = [one for one in _images(resource, view) if one.part_id not in fetched] if look.images else []
        fetched |= _fetch_parts(gmail, view.id, [], late)
    return _answer(view, look, displayed_html(view, remote=look.remote, cid_urls=_cid_urls(view, fetched)))


def open_thread(gmail: Gmail, thread_id: str, look: Look) -> ThreadAnswer:
    """The conversation, in one call to Gmail. Raises NotFound.

    The newest mails come with their bodies, as far as there is room; their inline images are named by their parts.
    """
    # How big it is shows only while it comes in: asking before would cost a call each time.
    with byte_budget().reserve(0) as reservation:
        with named_thing():
            resources = gmail.fetch_thread(thread_id, take=lambda read_bytes: reservation.resize(read_bytes * COPIES))
        return ThreadAnswer(id=thread_id, messages=_open_all(resources, look))


def _open_all(resources: Sequence[Message], look: Look) -> list[MessageAnswer]:
    left_chars = _MOST_THREAD_CHARS
    opened: list[MessageAnswer] = []
    for resource in reversed(resources):
        view, bodies = read_known(resource)
        size_chars = len(view.text or "") + len(view.unverified_html or "")
        if size_chars > left_chars or bodies:
            answer = _answer(view, look, _NO_BODY)
            answer.text, answer.body_left_out = None, True
        else:
            left_chars -= size_chars
            body = displayed_html(view, remote=look.remote, cid_urls=_cid_urls(view, {}))
            answer = _answer(view, look, body)
        opened.append(answer)
    return opened[::-1]


def _answer(view: MessageView, look: Look, body: SanitisedHtml) -> MessageAnswer:
    return message(view, body, remote=look.remote, with_bcc=look.with_bcc, hidden_label_id=look.hidden_label_id)


def _images(resource: Message, view: MessageView) -> list[PartSource]:
    """The inline images that the body shows, as far as they fit."""
    found: list[PartSource] = []
    left_bytes = _MOST_IMAGE_BYTES
    for attachment in view.attachments:
        source = find_part(resource, attachment.part_id) if attachment.inline else None
        if source is not None and source.size_bytes <= left_bytes and len(found) < _MOST_IMAGES:
            left_bytes -= source.size_bytes
            found.append(source)
    return found


def _cid_urls(view: MessageView, fetched: Mapping[str, bytes]) -> dict[str, str]:
    urls: dict[str, str] = {}
    for attachment in view.attachments:
        if attachment.inline:
            content = fetched.get(attachment.part_id)
            data_url = image_data_url(attachment.content_type, content) if content else None
            urls.setdefault(attachment.content_id, data_url or f"cid:{attachment.part_id}")
    return urls


def _fetch_parts(
    gmail: Gmail, message_id: str, bodies: Sequence[PartSource], images: Sequence[PartSource]
) -> dict[str, bytes]:
    """The parts' contents by part id. Raises the Problem of a body; images with one are left out."""
    wanted = [*bodies, *images]
    fetched = {one.part_id: one.data for one in wanted if one.data is not None}
    asked = {one.part_id: one.attachment_id for one in wanted if one.attachment_id and one.part_id not in fetched}
    if not asked:
        return fetched
    size_bytes = sum(one.size_bytes for one in wanted)
    with byte_budget().reserve(size_bytes * COPIES), ThreadPoolExecutor(_AT_ONCE, "gmail-part") as threads:
        running = {
            part_id: threads.submit(gmail.fetch_attachment, message_id, attachment_id)
            for part_id, attachment_id in asked.items()
        }
        return fetched | _collect(running, {one.part_id for one in bodies})


def _collect(running: Mapping[str, Future[bytes]], needed: Iterable[str]) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    for part_id, future in running.items():
        try:
            contents[part_id] = future.result()
        except Problem:
            if part_id in set(needed):
                raise
    return contents
