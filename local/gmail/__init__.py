"""A strict Gmail v1 on one machine: it refuses what Gmail refuses, and counts what Gmail counts.

``GmailService`` is the whole of it; serve its ``app`` with ``local.http.HttpServer``. Imports nothing of the other
stand-ins but the clock, the ledger and the faults.
"""

from local.gmail.contract import AccessChecker, Grant, Publish, SendAs
from local.gmail.mailbox import Mailbox, Message
from local.gmail.service import TOPIC, GmailService

__all__ = ["TOPIC", "AccessChecker", "GmailService", "Grant", "Mailbox", "Message", "Publish", "SendAs"]
