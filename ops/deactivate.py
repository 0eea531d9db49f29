"""Owns the end of users' connections by an administrator: the product's own route, so that its rules hold."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import quote

from ops import google, names
from ops.environment import TOKEN, load_token
from ops.output import OK, Output

HELP = {
    "deactivate": f"""
        The watch is stopped, access revoked at Google, the refresh token destroyed, notices and shares deleted.
        It is done by the product's own route in the name of an administrator of the CRM, whom the audit then
        names: a token of the CRM for one is needed ({TOKEN}, or --token-file). Labels stay in the user's Gmail
        unless --remove-labels is given. The user may connect again.

        To end the connections of people who left, tell the directory that they are inactive: that ends them by
        itself after seven days, and hides their mail at once.

        examples:
          {TOKEN}=$(my-crm token carla) python -m ops deactivate anna
          python -m ops deactivate anna ben --token-file carla.jwt --remove-labels
          python -m ops export connections | jq -r .user_id | xargs python -m ops deactivate --token-file carla.jwt
        """
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("users", nargs="+", metavar="USER", help="a user's id in the CRM")
    parser.add_argument("--remove-labels", action="store_true", help="take our three labels out of Gmail, too")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="a file that holds the CRM's token")


def run(options: argparse.Namespace, output: Output) -> int:
    """Calls the route for each user; that there was no connection is no trouble. The first refusal ends it."""
    token = load_token(options.token_file)
    labels = "remove" if options.remove_labels else "keep"
    for number, user in enumerate(options.users, 1):
        url = f"{names.public_url('oauth_callback')}/connections/{quote(user, safe='')}?labels={labels}"
        google.verify_answer(google.call("DELETE", url, token=token))
        output.progress(f"{number} of {len(options.users)}: {user} has no connection any more")
    result = {"user_ids": options.users, "labels": labels}
    output.show(result, [f"{len(options.users)} ended; what Google still owes is retried for 72 hours"])
    return OK
