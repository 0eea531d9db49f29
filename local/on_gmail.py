"""``make run-gmail CLIENT=client_secret.json``: the functions on this machine, on Google's own OAuth and Gmail.

Everything else is local: Firestore, Secret Manager, Tasks, Scheduler, the demo CRM. Google cannot push to a laptop,
so there is no topic, and the product drains each mailbox by the minute. Refresh tokens live in the memory of the
local Secret Manager alone, and are gone with it; the client's secret stays where it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from local.crm.people import ANNA, BEN, CARLA, directory
from local.functions import FunctionFailed
from local.http import HttpServer
from local.key_sets import KeySets
from local.oauth_client import ClientRefused, OAuthClient, load_client
from local.stack import Stack
from local.terminal import end_on_signals, is_taken

_CRM_PORT = 8600
_JWKS_URL = "https://www.googleapis.com/oauth2/v3/certs"
# Empty is Google's own address (common/config.py); tests name a stand-in's in the environment.
_ADDRESSES = ("GOOGLE_AUTH_URL", "GOOGLE_TOKEN_URL", "GOOGLE_REVOKE_URL", "GOOGLE_RISC_URL", "GMAIL_URL")
# How a company's network is left, where it takes more than a route. The stand-ins are never beyond it.
_NETWORK = ("HTTPS_PROXY", "https_proxy", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "HTTPLIB2_CA_CERTS")
_LOCAL = "localhost,127.0.0.1"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until Ctrl-C, and returns the exit status: 2 where the client cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m local.on_gmail", description=__doc__)
    parser.add_argument("client", type=Path, help="the OAuth client's JSON, as Google's console gives it")
    parser.add_argument("--contacts", default="", help="addresses of the CRM's contacts, separated by commas")
    asked = parser.parse_args(arguments)
    end_on_signals()
    try:
        with OnGmail(load_client(asked.client), os.environ, asked.contacts.split(",")) as running:
            _tell(running.stack)
            while True:
                time.sleep(3600)
    except (ClientRefused, FunctionFailed) as refused:
        print(refused, file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        return 0


class OnGmail:
    """The running product, once entered; ``stack`` is the local part of it, where nobody's Gmail is."""

    def __init__(self, client: OAuthClient, environ: Mapping[str, str], contacts: Iterable[str] = ()) -> None:
        self.client = client
        self._contacts = [one.strip() for one in contacts if one.strip()]
        port = _verify_free(client.port)
        self._keys = HttpServer(
            KeySets(environ.get("GOOGLE_JWKS_URL") or _JWKS_URL, lambda: self.stack.google.oauth.keys.jwks()).app
        )
        # The front writes down whole URLs, as Google's does, and codes stand in them: here nobody needs that.
        self.stack = Stack(
            crm_port=_CRM_PORT if not is_taken(_CRM_PORT) else 0,
            front_port=port,
            automatic_jobs=True,
            extra_environment=_variables(client, self._keys.url, environ),
            request_log=Path(os.devnull),
            # Its buttons move the clock and write into mailboxes: neither is there with the real Google.
            inside=False,
        )

    def __enter__(self) -> OnGmail:
        try:
            self.stack.__enter__()
            records = contacts_as_records(self._contacts, self.stack.clock.now().date())
            self.stack.crm.records = lambda: records
            self.stack.load_directory(records)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.stop()
        self._keys.stop()


def contacts_as_records(addresses: Sequence[str], today: date) -> dict[str, list[dict[str, Any]]]:
    """The directory for these addresses; the demo's own where there are none.

    In turn they have a deal that closes this month, one that closes in a year, and one that is won.
    """
    demo = directory(today)
    if not addresses:
        return demo
    deals = (("open", today), ("open", today.replace(year=today.year + 1, day=1)), ("won", today))
    contacts = [
        {"id": f"c{number}", "name": address, "addresses": [address], "owner": ANNA.id, "visible_to": ["everyone"]}
        for number, address in enumerate(addresses)
    ]
    dealt = [
        {"id": f"d{number}", "title": f"Deal with {address}", "state": state, "closing_date": closing.isoformat(),
         "contacts": [f"c{number}"], "owner": ANNA.id, "visible_to": ["everyone"]}
        for number, address in enumerate(addresses)
        for state, closing in [deals[number % len(deals)]]
    ]  # fmt: skip
    return {"users": demo["users"], "contacts": contacts, "deals": dealt}


def _variables(client: OAuthClient, keys_url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What differs from the local stack's own environment."""
    network = {name: environ[name] for name in _NETWORK if name in environ}
    return {
        **{name: environ.get(name, "") for name in _ADDRESSES},
        **network,
        "NO_PROXY": _LOCAL,
        "no_proxy": _LOCAL,
        "GOOGLE_JWKS_URL": f"{keys_url}/",
        "OAUTH_CLIENT_ID": client.client_id,
        "OAUTH_CLIENT_SECRET": client.secret,
        "OAUTH_REDIRECT_URI": client.redirect_uri,
        # No topic: nothing is watched, and each mailbox is drained by the minute.
        "PUBSUB_TOPIC": "",
    }


def _tell(stack: Stack) -> None:
    print(f"""\
The demo CRM: {stack.crm_url}
1. Sign in as {ANNA.name}, open her Gmail settings, connect a Gmail account that is a test user of your client.
2. Turn on MailMagnet. New mail from contacts is noticed within a minute.
3. Labels move contacts' mail out of this account's inbox, every ten minutes; "sweeps" can be undone.
{BEN.name} and {CARLA.name} can connect other accounts. Logs: {stack.directory}
Deactivate before Ctrl-C and Google forgets the grant; else take it back at https://myaccount.google.com/connections.""",
          flush=True)  # fmt: skip


def _verify_free(port: int) -> int:
    if is_taken(port):
        raise ClientRefused(
            f"Port {port}, to which the client's redirect URI leads, is taken: end what uses it (another `make run`?), "
            "or register a redirect URI with another port."
        )
    return port


if __name__ == "__main__":
    sys.exit(main())
