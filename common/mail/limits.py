"""Owns the bounds that keep one mail from eating an instance. Imports nothing."""

from __future__ import annotations

MAX_HEADER_CHARS = 300_000
"""Longest header value that is parsed; the rest is cut. 500 recipients with long names fit."""

MAX_ADDRESSES = 2_000
"""Most addresses taken from one kind of header."""

MOST_IN_A_ROW = 100
"""Most addresses of To, and of Cc, in a list: fifty mails with long headers must not take minutes."""

MAX_NAME_CHARS = 250
"""Longest display name; with an address it stays within a line of 998 characters (RFC 5322, 2.1.1)."""

MAX_REFERENCES = 100
"""Most message ids kept of References: the first and the latest ones."""

MAX_PARTS = 1_000
MAX_LEVELS = 50
"""Most MIME parts and levels that are walked; what lies beyond is counted as cut."""

MAX_TEXT_CHARS = 1_000_000
MAX_HTML_CHARS = 1_000_000
"""Longest body shown, in characters; the rest is cut, with a note."""

MAX_HTML_DEPTH = 300
"""Deepest nesting of elements kept: parsers are quadratic in it."""

MAX_QUOTE_LEVELS = 12

MAX_FILENAME_BYTES = 200
"""Longest file name in UTF-8; file systems stop at 255, and browsers add to it."""

MAX_RECIPIENTS = 500
"""Gmail's limit per message (support.google.com/mail/answer/22839)."""

MAX_CONTENT_BYTES = 25 * 1024 * 1024
"""Most bytes of text and attachments together, before encoding."""

MAX_MESSAGE_BYTES = 36_700_160
"""Gmail's upload limit (discovery document, users.messages.send: mediaUpload.maxSize)."""

MAX_BODY_BYTES = 4_000_000
"""Most bytes decoded of one body part; cut to characters later."""
