"""Mails made to hold up or fill whoever reads them: the data of the unit tests and of the tests over HTTP."""

from __future__ import annotations

from collections.abc import Mapping

_TOP = b"From: Mia <mia@customer.example>\r\nTo: anna@demo-crm.example\r\nSubject: Bomb\r\nMIME-Version: 1.0\r\n"
_TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nHello\r\n"


def _multipart(parts: list[bytes], boundary: bytes = b"b") -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n' + body + b"--" + boundary + b"--\r\n"


def _nested(levels: int) -> bytes:
    inner = _TEXT
    for level in range(levels):
        inner = _multipart([inner], b"b%d" % level)
    return inner


def _forwarded(levels: int) -> bytes:
    return b"".join(b"Content-Type: message/rfc822\r\n\r\nSubject: %d\r\n" % level for level in range(levels)) + _TEXT


def _file(name: bytes) -> bytes:
    return b"Content-Type: application/pdf\r\nContent-Disposition: attachment;" + name + b"\r\n\r\n%PDF\r\n"


def _recipients(name: bytes, count: int) -> bytes:
    return name + b": " + b",\r\n ".join(b"a%d@x.example" % number for number in range(count)) + b"\r\n"


def _continuations(count: int) -> bytes:
    return b"".join(b"\r\n filename*%d*=utf-8''%%41;" % number for number in range(count))


BOMBS: Mapping[str, bytes] = {
    "10,000 parts": _TOP + _multipart([_TEXT] * 10_000),
    "10,000 files": _TOP + _multipart([_TEXT, *[_file(b' filename="a.pdf"')] * 10_000]),
    "10,000 empty parts": _TOP + _multipart([b""] * 10_000),
    "1,000 levels": _TOP + _nested(1_000),
    "1,000 forwarded mails": _TOP + _forwarded(1_000),
    "a subject of 5 MB": _TOP.replace(b"Bomb", b"=?utf-8?q?=C3=A4?= " * 250_000) + _TEXT,
    "an unknown header of 5 MB": _TOP + b"X-Bomb: " + b"x" * 5_000_000 + b"\r\n" + _TEXT,
    "a From of 5 MB": b"From: " + b"(" * 2_500_000 + b" mia@customer.example" + b")" * 2_500_000 + b"\r\n" + _TEXT,
    "a content type of 5 MB": _TOP + b"Content-Type: text/plain; " + b'a="' * 1_600_000 + b"\r\n\r\nHello\r\n",
    "references of 5 MB": _TOP
    + b"References: "
    + b" ".join(b"<%d@x>" % one for one in range(500_000))
    + b"\r\n"
    + _TEXT,
    "a million recipients": _TOP + _recipients(b"Cc", 1_000_000) + _TEXT,
    "100,000 to answer": _TOP + _recipients(b"Reply-To", 100_000) + _TEXT,
    "brackets in To": _TOP.replace(b"To: ", b"To: " + b"<" * 100_000 + b'"' * 100_001) + _TEXT,
    "10,000 headers": _TOP + b"".join(b"X-%d: x\r\n" % one for one in range(10_000)) + _TEXT,
    "10,000 Received and Cc": _TOP + b"Received: from x by y; now\r\nCc: a@x.example\r\n" * 10_000 + _TEXT,
    "a boundary of 1 MB": _TOP + _multipart([_TEXT], b"b" * 1_000_000),
    "a boundary that is everywhere": _TOP + _multipart([b"--b\r\n" * 100_000]),
    "continued names": _TOP + _multipart([_TEXT, _file(_continuations(20_000))]),
    "a continued name far away": _TOP + _multipart([_TEXT, _file(b" filename*999999999*=x; filename*0*=y''z")]),
    "a name of 1 MB": _TOP + _multipart([_TEXT, _file(b' filename="' + b"../" * 330_000 + b'a.pdf"')]),
    "encoded words in names": _TOP + _multipart([_TEXT, _file(b' filename="' + b"=?utf-8?b?w6Q=?=" * 30_000 + b'"')]),
    "base64 that is none": _TOP + b"Content-Transfer-Encoding: base64\r\n" + _TEXT + b"\xff*=!\r\n" * 500_000,
    "quotes without end": _TOP + b"Content-Transfer-Encoding: quoted-printable\r\n" + _TEXT + b"=" * 2_000_000,
    "a text of 5 MB": _TOP + _TEXT + b"> " * 2_500_000,
    "quotes of every depth": _TOP + _TEXT + b"".join(b">" * (one % 900) + b" x\r\n" for one in range(8_000)),
    "an unknown charset": _TOP + b"Content-Type: text/plain; charset=" + b"x" * 100_000 + b"\r\n\r\nHello\r\n",
    "HTML of 5 MB": _TOP + b"Content-Type: text/html\r\n\r\n" + b"<table><tr><td><font color=red>" * 160_000,
    "100,000 links": _TOP + b"Content-Type: text/html\r\n\r\n" + b"<a href=http://a.b>www.c.d</a>" * 100_000,
    "100,000 inline images": _TOP + b"Content-Type: text/html\r\n\r\n" + b"<img src=cid:x>" * 100_000,
    "a report of 100,000": _TOP
    + b"Content-Type: multipart/report; report-type=delivery-status; boundary=r\r\n\r\n--r\r\n"
    + b"Content-Type: message/delivery-status\r\n\r\n"
    + b"Final-Recipient: rfc822; a@x.example\r\nAction: failed\r\n\r\n" * 100_000
    + b"--r--\r\n",
    "a calendar of 100,000": _TOP
    + b"Content-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\n"
    + b"BEGIN:VEVENT\r\nDTSTART:20270101T100000Z\r\nRRULE:FREQ=SECONDLY\r\nEND:VEVENT\r\n" * 100_000,
    "nothing": b"",
    "line ends": b"\r\n" * 1_000_000,
    "zeros": b"\x00" * 3_000_000,
    "no header ends": b"A" * 3_000_000 + b":" + b" \r\n" * 100_000,
}
