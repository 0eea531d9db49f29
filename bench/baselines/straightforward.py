"""The straightforward way to a page of mails: Google's client library, call by call, as its guides show it.

A program of its own: reads how many mails a page has from a line of its input, answers with a line of JSON: the rows,
and how long they took. Environment: ``GMAIL_URL``, ``ACCESS_TOKEN``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from google.oauth2.credentials import Credentials
from googleapiclient import discovery


def fetch_page(gmail: Any, count: int) -> list[dict[str, Any]]:
    """The newest mails: who wrote, when, what about, which labels."""
    listed = gmail.users().messages().list(userId="me", maxResults=count).execute()
    rows = []
    for entry in listed.get("messages", []):
        mail = gmail.users().messages().get(userId="me", id=entry["id"], format="metadata").execute()
        headers = {header["name"]: header["value"] for header in mail["payload"]["headers"]}
        rows.append({"id": mail["id"], "labels": mail["labelIds"], "snippet": mail["snippet"], "headers": headers})
    return rows


def main() -> None:
    """Answers line by line until its input ends."""
    gmail = discovery.build(
        "gmail",
        "v1",
        credentials=Credentials(os.environ["ACCESS_TOKEN"]),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": os.environ["GMAIL_URL"]},
    )
    for line in sys.stdin:
        started_s = time.perf_counter()
        rows = fetch_page(gmail, int(line))
        print(json.dumps({"ms": (time.perf_counter() - started_s) * 1000, "rows": len(rows)}), flush=True)


if __name__ == "__main__":
    main()
