"""The examples of mail_proxy's bodies and answers, as openapi.yaml shows them; what is left out has its default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from common import (
    contact_share,
    contact_summary,
    directory_load,
    directory_records,
    drafts,
    explain,
    mail_actions,
    mailbox_view,
    notices,
    reading_api,
    send_api,
    send_tasks,
    sweep_review,
    timeline_api,
    timeline_words,
)

_AT = "2026-03-02T09:15:00Z"
_ID = "18df3a5c0b7e1d42"
_THREAD_ID = "18df3a5c0b7e1d40"
_NEXT = "u8Tz…"
_CATEGORY_TEXT = {
    "en": "A deal closes this month: Office furniture.",
    "de": "Ein Deal schließt in diesem Monat ab: Office furniture.",
}

_READING: Final[Mapping[Any, Mapping[str, Any]]] = {
    mailbox_view.SearchBody: {"q": "from:mia@customer.example has:attachment", "label": "INBOX", "page_size": 20},
    mailbox_view.MessagePageAnswer: {"next_page_token": _NEXT, "estimate": 42},
    reading_api.Person: {"name": "Mia Schneider", "address": "mia@customer.example"},
    reading_api.MessageRow: {
        "id": _ID,
        "thread_id": _THREAD_ID,
        "to": [{"name": "Anna Berger", "address": "anna@example.com"}],
        "cc": [],
        "subject": "Your offer",
        "date": _AT,
        "received_at": _AT,
        "snippet": "Dear Ms Berger, thank you for",
        "labels": ["INBOX", "UNREAD"],
        "unread": True,
        "starred": False,
        "message_id": "<offer-1@customer.example>",
        "authenticated": True,
        "has_attachments": True,
    },
    reading_api.AttachmentRow: {
        "part_id": "1",
        "filename": "offer.pdf",
        "content_type": "application/pdf",
        "size_bytes": 48123,
        "inline": False,
        "content_id": "",
        "kind": "file",
    },
    reading_api.MessageAnswer: {
        "bcc": [],
        "reply_to": [],
        "text": "Dear Ms Berger,\n\nthank you for your offer.",
        "html": "<p>Dear Ms Berger,</p><p>thank you for your offer.</p>",
        "blocked_remote": 1,
        "delivery_report": None,
        "calendar_method": None,
        "invitation": None,
        "cut": False,
    },
    reading_api.Frame: {
        "csp": "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'",
        "sandbox": "allow-popups allow-popups-to-escape-sandbox",
        "style": "body{font-family:sans-serif}",
    },
    reading_api.Missing: {"id": "18df3a5c0b7e1d99", "code": "gmail-busy", "retryable": True, "retry_at": _AT},
    reading_api.ThreadAnswer: {"id": _THREAD_ID},
    mail_actions.ModifyBody: {"ids": [_ID], "action": "archive"},
    mail_actions.LabelRow: {"id": "Label_7", "name": "Customers", "kind": "category", "category": "customers"},
}

_CONTACTS: Final[Mapping[Any, Mapping[str, Any]]] = {
    timeline_api.EmailsBody: {"q": "offer", "page_size": 20},
    timeline_api.UserRef: {"id": "anna", "name": "Anna Berger"},
    timeline_api.AddressRow: {"address": "mia@customer.example", "added_at": _AT, "confirmed": True},
    timeline_api.CategoryRow: {
        "category": "closing_this_month",
        "considered": ["d-01", "d-04"],
        "deciding": ["d-01"],
        "text": _CATEGORY_TEXT,
    },
    timeline_api.ContactRow: {"id": "mia", "name": "Mia Schneider", "shared": True},
    timeline_api.DealRow: {"id": "d-01", "title": "Office furniture", "state": "open", "closing_date": "2026-03-31"},
    timeline_api.CopyRef: {"owner": "ben", "id": "18df3a5c0b7e2f10"},
    timeline_words.AudienceMember: {"kind": "user", "id": "anna", "name": "Anna Berger"},
    timeline_words.Audience: {
        "shared": True,
        "reason": "shared_contact",
        "text": {"en": "Anna shares the mail with this contact.", "de": "Anna teilt die E-Mails mit diesem Kontakt."},
    },
    timeline_api.EntryRow: {
        "id": _ID,
        "owner": "anna",
        "owner_name": "Anna Berger",
        "own": True,
        "direction": "in",
        "contact_ids": ["mia"],
        "to": [{"name": "Anna Berger", "address": "anna@example.com"}],
        "cc": [],
        "subject": "Your offer",
        "snippet": "Dear Ms Berger, thank you for",
        "date": _AT,
        "received_at": _AT,
        "has_attachments": True,
        "authenticated": True,
        "thread_id": _THREAD_ID,
        "labels": ["INBOX"],
        "unread": False,
        "starred": False,
    },
    timeline_api.MailboxRow: {"owner": "ben", "name": "Ben Okafor", "own": False, "state": "ok", "has_more": True},
    timeline_api.Timeline: {"next_page_token": _NEXT},
    timeline_api.SharedMessageAnswer: {"owner": "anna", "owner_name": "Anna Berger", "contact_id": "mia"},
    contact_share.ShareBody: {"addresses": ["mia@customer.example"]},
    contact_share.ShareAnswer: {
        "contact_id": "mia",
        "shared": True,
        "addresses": ["mia@customer.example"],
        "level": "custom",
        "opening": ["mia@customer.example"],
    },
    contact_summary.ContactsBody: {"ids": ["mia", "jonas"]},
    contact_summary.ContactSummary: {"id": "mia", "category": "customers", "unread": 2, "last_received_at": _AT},
    directory_load.DirectoryBody: {
        "users": [{"id": "anna", "active": True, "role": "sales", "permissions": ["mail_integration"]}],
        "contacts": [
            {
                "id": "mia",
                "name": "Mia Schneider",
                "addresses": [{"address": "mia@customer.example", "added_at": _AT}],
                "owner": "anna",
                "visible_to": ["role:sales"],
            }
        ],
        "deals": [{"id": "d-01", "title": "Office furniture", "state": "open", "closing_date": "2026-03-31"}],
    },
    directory_records.DirectoryUser: {"id": "anna", "active": True},
    directory_records.DirectoryContact: {"id": "mia"},
    directory_records.DirectoryDeal: {"id": "d-01", "state": "open"},
    directory_load.DirectoryAnswer: {
        "results": [
            {"kind": "users", "index": 0, "ok": True, "id": "anna"},
            {"kind": "deals", "index": 0, "ok": False, "id": "d-01", "code": "invalid-record", "detail": "state"},
        ]
    },
}

_SENDING: Final[Mapping[Any, Mapping[str, Any]]] = {
    send_api.Recipient: {"address": "mia@customer.example", "name": "Mia Schneider"},
    send_api.DraftBody: {
        "to": [{"address": "mia@customer.example", "name": "Mia Schneider"}],
        "subject": "Our offer",
        "html": "<p>Dear Ms Schneider, …</p>",
    },
    send_api.SendBody: {
        "mode": "reply",
        "message_id": _ID,
        "from_address": "anna@example.com",
        "html": "<p>Dear Ms Schneider, …</p>",
        "send_at": "2026-03-03T07:00:00Z",
    },
    send_api.MoveBody: {"send_at": "2026-03-03T08:00:00Z"},
    send_api.SendAnswer: {"state": "sent", "id": _ID, "thread_id": _THREAD_ID},
    send_api.IdentityRow: {
        "address": "anna@example.com",
        "name": "Anna Berger",
        "signature": "<p>Anna Berger<br>Sales</p>",
        "reply_to": "",
        "primary": True,
        "default": True,
    },
    send_tasks.SendTask: {"kind": "send", "user": "anna", "key": "a2V5", "generation": "Zm9vYmFy", "version": 1},
    drafts.DraftSaved: {"id": "r-4821", "message_id": _ID, "thread_id": _THREAD_ID},
    drafts.DraftRow: {"id": "r-4821"},
    drafts.DraftsAnswer: {"next_page_token": _NEXT},
    drafts.DraftAnswer: {"id": "r-4821"},
}

_MAGNET: Final[Mapping[Any, Mapping[str, Any]]] = {
    notices.ContactRef: {"id": "mia", "name": "Mia Schneider"},
    notices.NoticeRow: {
        "id": _ID,
        "mail_id": _ID,
        "from_address": "mia@customer.example",
        "received_at": _AT,
        "place": "customers",
    },
    notices.NoticesAnswer: {"unread": 1, "mailmagnet": True, "next_page_token": _NEXT},
    notices.ReadBody: {"ids": [_ID]},
    notices.ReadAnswer: {"marked": 1},
    explain.ContactMatch: {"id": "mia", "name": "Mia Schneider"},
    explain.DealConsidered: {
        "id": "d-01",
        "title": "Office furniture",
        "state": "open",
        "closing_date": "2026-03-31",
        "decides": True,
    },
    explain.SweptBy: {"id": "s-20260302-0920", "at": _AT},
    explain.Explanation: {
        "mail_id": _ID,
        "reason": "closing-this-month",
        "text": _CATEGORY_TEXT,
        "place": "closing_this_month",
        "category": "closing_this_month",
    },
    sweep_review.SweepMove: {"mail_id": _ID, "source": "inbox", "target": "customers"},
    sweep_review.PreviewAnswer: {"counts": {"customers": 1}},
    sweep_review.SweepEntry: {"id": "s-20260302-0920", "at": _AT, "counts": {"customers": 1}},
    sweep_review.SweepsAnswer: {"next_page_token": _NEXT},
    sweep_review.UndoAnswer: {"restored": 12, "kept": 1},
}

EXAMPLES: Final[Mapping[Any, Mapping[str, Any]]] = {**_READING, **_CONTACTS, **_SENDING, **_MAGNET}
