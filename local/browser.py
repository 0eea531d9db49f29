"""A user's browser, as far as the consent page needs one: opens it, ticks, presses a button, over HTTP.

For tests, the demo and benchmarks. May import nothing of ``local``: it sees what a browser sees.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import requests

if TYPE_CHECKING:
    from collections.abc import Collection

_TIMEOUT_S = 30


class ConsentRefused(Exception):
    """Google showed a page of its own instead of the consent page, or had no such account or checkbox on it."""


class _Form(HTMLParser):
    """The fields of the page's form."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.accounts: dict[str, str] = {}
        self.chosen = ""
        self.ticked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        got = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = got["action"]
        if tag != "input":
            return
        if got["type"] == "hidden":
            self.hidden[got["name"]] = got["value"]
        elif got["type"] == "radio":
            self.accounts[got["data-address"]] = got["value"]
            if "checked" in got:
                self.chosen = got["data-address"]
        elif got["type"] == "checkbox" and "checked" in got:
            self.ticked.append(got["value"])


def consent(
    auth_url: str, address: str | None = None, *, untick: Collection[str] = (), deny: bool = False, language: str = "en"
) -> str:
    """Goes through the consent page as ``address`` (None: the preselected account) and returns where it redirects.

    ``untick`` names whole scopes. Raises ConsentRefused when the page does not come, or lacks the account or a scope.
    """
    with requests.Session() as session:
        session.headers["Accept-Language"] = language
        page = session.get(auth_url, timeout=_TIMEOUT_S)
        if page.status_code != 200:
            raise ConsentRefused(f"the consent page answered {page.status_code}")
        form = _Form()
        form.feed(page.text)
        account = form.accounts.get(address or form.chosen)
        missing = [scope for scope in untick if scope not in form.ticked]
        if account is None or missing:
            raise ConsentRefused(f"not on the consent page: {'the account' if account is None else missing}")
        fields = [*form.hidden.items(), ("account", account), ("decision", "deny" if deny else "allow")]
        fields += [("scope", scope) for scope in form.ticked if scope not in untick]
        answer = session.post(urljoin(page.url, form.action), data=fields, allow_redirects=False, timeout=_TIMEOUT_S)
        if answer.status_code != 302:
            raise ConsentRefused(f"the consent page answered {answer.status_code}")
        return answer.headers["Location"]
