"""Owns the stable codes of problems: the statuses and the meaning of each, and which ones a kind of work may end with.

Routes name theirs when they are registered, and openapi.yaml tells them. Imports nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Codes = tuple[str, ...]

ALWAYS: Final[Codes] = ("internal-error", "temporarily-unavailable")
"""What every route may answer with."""

TOKEN: Final[Codes] = ("missing-token", "invalid-token", "keys-unavailable")
USER: Final[Codes] = (*TOKEN, "permission-missing")
ADMIN: Final[Codes] = (*USER, "administrators-only", "user-inactive")
BODY: Final[Codes] = ("invalid-json", "invalid-body", "body-too-large")
QUERY: Final[Codes] = ("invalid-query",)
KEY: Final[Codes] = ("idempotency-key-missing", "invalid-idempotency-key", "idempotency-key-reused", "send-in-flight")
FILES: Final[Codes] = ("invalid-multipart", "instance-busy")

PAGE: Final[Codes] = ("invalid-page-token",)
FEATURE: Final[Codes] = ("user-inactive", "feature-not-allowed")
CONNECTED: Final[Codes] = ("user-inactive", "not-connected")
_GMAIL: Final[Codes] = (
    "reauth-required",
    "google-unavailable",
    "secrets-unavailable",
    "gmail-unavailable",
    "gmail-busy",
    "gmail-rate-limited",
    "gmail-daily-limit",
    "gmail-refused",
    "gmail-conflict",
    "budget-used-up",
)
MAILBOX: Final[Codes] = (*CONNECTED, "feature-not-allowed", "scope-missing", *_GMAIL)
MAIL: Final[Codes] = (*MAILBOX, "not-found", "instance-busy")
TIMELINE: Final[Codes] = (*FEATURE, *PAGE, "not-found", "unsupported-search")
SHARED_MAIL: Final[Codes] = (*FEATURE, "not-found", "instance-busy", *_GMAIL)
SHARE: Final[Codes] = (*FEATURE, "not-found", "connection-busy")
_WRITE: Final[Codes] = (
    *MAIL,
    "sender-not-verified",
    "too-many-attachments",
    "attachment-unreadable",
    "message-too-large",
    "mail-too-large",
    "too-many-recipients",
    "invalid-address",
    "name-too-long",
    "subject-too-long",
    "header-injection",
    "invalid-header",
    "invalid-text",
    "invalid-content-id",
    "invalid-message-id",
)
DRAFT: Final[Codes] = _WRITE
SEND_DRAFT: Final[Codes] = (*MAIL, "no-recipients", "sender-not-verified", "mail-too-large")
SEND: Final[Codes] = (*_WRITE, "no-recipients", "invalid-send-at")
SWEEP: Final[Codes] = (*MAILBOX, "mailbox-busy", "history-unavailable")
CLAIM: Final[Codes] = (
    "invalid-ticket",
    "ticket-of-another-user",
    "code-refused",
    "google-policy",
    "google-refused",
    "google-unavailable",
    "email-not-verified",
    "mailbox-not-allowed",
    "scopes-missing",
    "grant-ended-meanwhile",
    "connection-changed-meanwhile",
)
SETTINGS: Final[Codes] = (
    *FEATURE,
    "not-connected",
    "reauth-required",
    "scope-missing",
    "mailmagnet-required",
    "labels-elsewhere",
    "sharing-set-by-policy",
    "level-not-asked",
    "terms-not-asked",
    "invalid-domain",
    "connection-changed-meanwhile",
)

# By code: the statuses that it comes with, and what it means to whoever calls.
CATALOGUE: Final[Mapping[str, tuple[tuple[int, ...], str]]] = {
    "missing-token": ((401,), "The request has no bearer token."),
    "invalid-token": ((401,), "The token is not valid, or not any more: get a new one and ask once more."),
    "permission-missing": ((403,), "The token does not say that its user has the permission needed here."),
    "administrators-only": ((403,), "The user's role is not an administrator's."),
    "user-inactive": ((403,), "The CRM's directory says that the user is not active, or it has not heard of the user."),
    "keys-unavailable": ((503,), "The keys that verify tokens cannot be fetched just now."),
    "invalid-json": ((400,), "The body is not JSON in UTF-8."),
    "invalid-body": ((400,), "The body does not have the form described here; `detail` names the place."),
    "invalid-query": ((400,), "The query does not have the form described here; `detail` names the place."),
    "invalid-multipart": ((400,), "The body is not multipart/form-data as described here."),
    "body-too-large": ((413,), "The body has more bytes than are taken here."),
    "invalid-page-token": ((400,), "The page token is not one of this user, this query and this connection."),
    "unsupported-search": ((400,), "The search uses an operator that has no meaning over several mailboxes."),
    "idempotency-key-missing": ((400,), "The header Idempotency-Key is missing."),
    "invalid-idempotency-key": ((400,), "The key is not 1 to 128 visible ASCII characters without a slash."),
    "idempotency-key-reused": ((422,), "The key stands for another mail: a new mail takes a new key."),
    "send-in-flight": ((409,), "The first request with this key is still under way: ask again with the same key."),
    "not-found": ((404,), "There is no such thing, or not for this user: which of them is never told."),
    "not-connected": ((409,), "The user has connected no mailbox: `POST /authorize` begins it."),
    "reauth-required": ((409,), "Google takes the connection's grant no more: the user has to connect again."),
    "scope-missing": (
        (409,),
        "The user has not granted what this needs: `POST /authorize` with `features` asks for it.",
    ),
    "feature-not-allowed": ((403,), "The administrators' policy leaves this feature out."),
    "gmail-busy": ((429,), "Gmail has too many requests for this mailbox just now."),
    "gmail-rate-limited": ((429,), "Gmail takes no requests for this mailbox until the time that Retry-After says."),
    "gmail-daily-limit": ((429,), "The mailbox's or the project's limit for the day is used up."),
    "budget-used-up": ((429,), "The share of the mailbox's quota that colleagues may spend is used up for now."),
    "gmail-unavailable": ((503,), "Gmail does not answer just now."),
    "gmail-refused": ((400, 409), "Gmail does not take this request."),
    "gmail-conflict": ((409,), "Gmail says that there is such a thing already."),
    "google-unavailable": ((503,), "Google's sign-in does not answer just now."),
    "google-refused": ((502,), "Google's sign-in does not take our client: the operators are told."),
    "secrets-unavailable": ((503,), "The secret of this connection cannot be read just now."),
    "instance-busy": ((503,), "Too many bytes of mail are under way on this instance."),
    "sender-not-verified": ((422,), "`from` is none of the user's verified addresses: `GET /identities` lists them."),
    "invalid-send-at": ((422,), "`send_at` has no time zone, or does not lie ahead by at most a year."),
    "too-many-attachments": ((422,), "The mail to forward has too many attachments: forward it as one."),
    "attachment-unreadable": ((422,), "An attachment of the mail to forward cannot be read: forward it as one."),
    "message-too-large": ((413,), "The mail, with its files and what it forwards, is too large."),
    "no-recipients": ((422,), "The mail is to nobody."),
    "too-many-recipients": ((422,), "The mail is to more people than Gmail takes."),
    "invalid-address": ((422,), "One of the addresses is none; `field` says where."),
    "name-too-long": ((422,), "A recipient's name is too long; `field` says where."),
    "subject-too-long": ((422,), "The subject is too long."),
    "header-injection": ((422,), "A line break, or a NUL, stands where it would begin another header."),
    "invalid-header": ((422,), "A header cannot be written like this."),
    "invalid-text": ((422,), "The text is not Unicode, or holds a NUL."),
    "invalid-content-id": ((422,), "An inline image's id cannot stand in a mail."),
    "invalid-message-id": ((422,), "The mail that is answered has an id that cannot be named."),
    "mail-too-large": ((413,), "The mail has more bytes than Gmail takes."),
    "not-scheduled": ((409,), "Only a mail that still waits can be moved or cancelled."),
    "mailmagnet-required": ((409,), "This needs MailMagnet to be on."),
    "labels-off": ((409,), "This needs MailMagnet and labels to be on."),
    "labels-elsewhere": ((409,), "Another user of the same mailbox has labels on; `owner` says who."),
    "label-refused": ((400,), "Gmail does not make one of our labels: there are too many, or its name is taken."),
    "label-busy": ((409,), "The label that hides mails is being made by another request."),
    "mail-thrown-away": ((409,), "The mail lies in the trash or in spam."),
    "mailbox-busy": ((409,), "The mailbox changes just now: ask again in a minute."),
    "history-unavailable": ((503,), "Gmail has lost the history, and it is being read anew."),
    "notices-busy": ((409,), "The notices change just now."),
    "connection-busy": ((409,), "The connection changes just now."),
    "connection-changed-meanwhile": ((409, 503), "The connection changed while this was under way."),
    "grant-ended-meanwhile": ((409,), "Another user of the mailbox was just leaving: start again."),
    "addresses-changed": ((409,), "The contact has other addresses than the user was shown: show them first."),
    "sharing-set-by-policy": ((409,), "The administrators' policy sets the level."),
    "level-not-asked": ((409,), "The administrators' policy does not ask for this level."),
    "terms-not-asked": ((409,), "These are not the terms that the policy asks for now: show them first."),
    "invalid-domain": ((422,), "One of the domains is none."),
    "invalid-time-zone": ((422,), "The time zone is no IANA name, such as Europe/Berlin."),
    "policy-changed-meanwhile": ((409, 412), "Another administrator was faster: read the policy again."),
    "return-to-not-allowed": ((400,), "`return_to` is none of the configured URLs, to the letter."),
    "invalid-state": ((400,), "The sign-in is unknown, over or used already."),
    "invalid-ticket": ((400,), "The ticket is unknown, over or used."),
    "ticket-of-another-user": ((403,), "Somebody else had begun this sign-in, which is void now."),
    "code-refused": ((400,), "Google does not take this sign-in any more: start again."),
    "google-policy": ((403,), "The administrators of the Google account do not allow it."),
    "email-not-verified": ((403,), "Google has not verified the account's address."),
    "mailbox-not-allowed": ((403,), "The administrators' policy does not take this mailbox."),
    "scopes-missing": ((403,), "Without leave to read mail there is nothing to connect."),
    "directory-busy": ((409,), "Others are writing the same records."),
    "too-many-records": ((413,), "More records than are taken at a time."),
    "full-load-missing": ((400,), "`done` ends a full load: `full_load` names it."),
    "full-load-unknown": ((409,), "No full load of this id has begun, or a later one has."),
    "full-load-ended": ((409,), "This full load has ended: the next one takes an id of its own."),
    "invalid-security-event": ((400,), "The security event token is none of Google's for our client."),
    "housekeeping-unfinished": ((503,), "Some of the day's work is left: the scheduler comes again."),
    "webhook-failing": ((503,), "The CRM's webhook does not take the news: the queue tries again."),
    "webhook-unreachable": ((503,), "The CRM's webhook cannot be reached: the queue tries again."),
    "method-not-allowed": ((405,), "The path has no such method; `allow` says which it has."),
    "temporarily-unavailable": ((503,), "Trouble that passes."),
    "internal-error": ((500,), "Trouble of our own, which is logged."),
}
