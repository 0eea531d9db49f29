"""``load-directory`` and ``deactivate``: what administrators do by the product's own routes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from local.faults import Fault
from local.stack import Stack
from tests.integration.ops_rig import ops

pytestmark = pytest.mark.integration

CONTACTS = """id,name,addresses,owner,visible_to
mia,Mia Schneider,mia@customer.example@2024-01-31T00:00:00Z;m.s@customer.example,anna,everyone
jonas,"Weber, Jonas",jonas@weber.example,anna,role:sales;ben
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def write_lines(path: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    return write(path, "".join(json.dumps(one) + "\n" for one in records))


def contact(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"c-{number}", "name": f"Contact {number}", "addresses": [f"c{number}@customer.example"], **more}


def stored(stack: Stack, collection: str) -> dict[str, dict[str, Any]]:
    """The records of a collection that are not deleted, by their own id."""
    found = [data for path, data in stack.documents().items() if path.startswith(f"{collection}/")]
    key = {"contacts": "contact_id", "users": "user_id", "deals": "deal_id"}[collection]
    return {data[key]: data for data in found if not data.get("deleted")}


def test_csv_files_are_loaded(stack: Stack, tmp_path: Path) -> None:
    """Lists are parted by semicolons, an address may say since when it stands, and all kinds are loaded."""
    users = write(
        tmp_path / "users.csv", "id,active,role,permissions,email\nanna,true,sales,mail_integration,a@x.example\n"
    )
    contacts = write(tmp_path / "contacts.csv", CONTACTS)
    deals = write(
        tmp_path / "deals.csv", "id,title,state,closing_date,contacts\nd-1,Office,open,2030-11-30,mia;jonas\n"
    )

    ended = ops(stack, "load-directory", "--users", users, "--contacts", contacts, "--deals", deals)
    mia = stored(stack, "contacts")["mia"]

    assert (0, "4 records loaded, 0 lines bad\n") == (ended.code, ended.out)
    assert "contacts.csv: line 3, 3 loaded, 0 bad" in ended.err
    assert ["m.s@customer.example", "mia@customer.example"] == sorted(one["address"] for one in mia["addresses"])
    assert 2024 == min(one["added_at"] for one in mia["addresses"]).year
    assert ["ben", "role:sales"] == sorted(stored(stack, "contacts")["jonas"]["visible_to"])
    assert ["jonas", "mia"] == sorted(stored(stack, "deals")["d-1"]["contact_ids"])
    assert ["anna"] == list(stored(stack, "users"))


def test_each_bad_line_is_reported_and_spoils_no_other(stack: Stack, tmp_path: Path) -> None:
    """What cannot be read here and what the product refuses are told by file and line, never by value."""
    path = write(
        tmp_path / "contacts.jsonl",
        "\n".join([json.dumps(contact(1)), "{broken", "", json.dumps(contact(2, addresses=["no address"]))]),
    )

    ended = ops(stack, "load-directory", "--contacts", path, "--json")
    shown = ops(stack, "load-directory", "--contacts", path)

    assert (1, 1) == (ended.code, ended.json["loaded"])
    assert [(2, "", "invalid-json"), (4, "c-2", "invalid-address")] == [
        (one["line"], one["id"], one["code"]) for one in ended.json["bad_lines"]
    ]
    assert "contacts.jsonl:2  -  invalid-json" in shown.out
    assert "no address" not in ended.out + shown.out
    assert ["c-1"] == list(stored(stack, "contacts"))


def test_many_lines_go_in_portions(stack: Stack, tmp_path: Path) -> None:
    """More records than one request takes are loaded in several, with a line of progress each."""
    path = write_lines(tmp_path / "contacts.jsonl", [contact(number) for number in range(901)])

    ended = ops(stack, "load-directory", "--contacts", path, "--json")

    assert (0, 901) == (ended.code, ended.json["loaded"])
    assert ["400 loaded", "800 loaded", "901 loaded"] == [
        line.split(", ")[1] for line in ended.err.splitlines() if "loaded" in line
    ]
    assert 901 == len(stored(stack, "contacts"))


def test_a_full_load_deletes_what_it_does_not_name(stack: Stack, tmp_path: Path) -> None:
    """Records of the kinds given that no file names are deleted; other kinds are left alone."""
    stack.load_directory()
    stack.advance(5)
    path = write_lines(tmp_path / "contacts.jsonl", [contact(1)])

    ended = ops(stack, "load-directory", "--full", "--contacts", path, "--json")

    assert (0, True) == (ended.code, ended.json["deleted_unnamed"])
    assert ["c-1"] == list(stored(stack, "contacts"))
    assert 10 == len(stored(stack, "deals"))


def test_a_full_load_with_a_bad_line_deletes_nothing(stack: Stack, tmp_path: Path) -> None:
    """A bad line may be the record of somebody: what is not named stays, and that is said."""
    stack.load_directory()
    before = set(stored(stack, "contacts"))
    stack.advance(5)
    path = write(tmp_path / "contacts.jsonl", json.dumps(contact(1)) + "\n{broken\n")

    ended = ops(stack, "load-directory", "--full", "--contacts", path)

    assert (1, True) == (ended.code, "nothing was deleted, since lines were bad" in ended.out)
    assert before | {"c-1"} == set(stored(stack, "contacts"))


def test_an_empty_file_deletes_nothing_by_accident(stack: Stack, tmp_path: Path) -> None:
    """A full load of an empty file ends with 1 unless --allow-empty says that it is meant."""
    stack.load_directory()
    stack.advance(5)
    path = write(tmp_path / "deals.csv", "id,title,state\n")

    refused = ops(stack, "load-directory", "--full", "--deals", path)
    count = len(stored(stack, "deals"))
    meant = ops(stack, "load-directory", "--full", "--deals", path, "--allow-empty")

    assert (1, True, 10) == (refused.code, refused.err.startswith("file-empty: deals.csv"), count)
    assert (0, {}) == (meant.code, stored(stack, "deals"))


def test_a_passing_refusal_is_waited_for(stack: Stack, tmp_path: Path) -> None:
    """Where Firestore is in trouble for a moment the portion is sent again."""
    stack.faults.inject(Fault("firestore", "Commit", status=503, count=1))
    path = write_lines(tmp_path / "contacts.jsonl", [contact(1)])

    ended = ops(stack, "load-directory", "--contacts", path, "--json")

    assert (0, 1) == (ended.code, ended.json["loaded"])


def test_files_and_tokens_that_cannot_be_used_are_told(stack: Stack, tmp_path: Path) -> None:
    """No file, an unknown column or ending, no token, and tokens that may not do it each have a word of their own."""
    good = write_lines(tmp_path / "contacts.jsonl", [contact(1)])
    columns, ending = write(tmp_path / "a.csv", "id,nickname\nx,y\n"), write(tmp_path / "a.xlsx", "")
    anna = write(tmp_path / "anna.jwt", stack.token("anna") + "\n")
    stale = write(tmp_path / "stale.jwt", stack.token("crm-backend", expires_in_s=-9999))

    def load(*arguments: str | Path, **changes: str | None) -> tuple[int, str]:
        ended = ops(stack, "load-directory", "--json", *arguments, **changes)
        return ended.code, ended.json["error"]["code"]

    assert (2, "usage") == load()
    assert (2, "usage") == load("--contacts", columns)
    assert (2, "usage") == load("--contacts", ending)
    assert (1, "no-token") == load("--contacts", good, CRM_TOKEN=None)
    assert (1, "invalid-token") == load("--contacts", good, "--token-file", stale)
    assert 1 == load("--contacts", good, "--token-file", anna)[0]
    assert {} == stored(stack, "contacts")


def test_an_administrator_deactivates_a_user(stack: Stack, tmp_path: Path) -> None:
    """The connection is gone, and the audit names the administrator whose token it was."""
    stack.connect("anna")
    token = write(tmp_path / "carla.jwt", stack.token("carla"))

    ended = ops(stack, "deactivate", "anna", "--token-file", token)
    again = ops(stack, "deactivate", "anna", "nobody", "--token-file", token, "--json")
    newest = json.loads(ops(stack, "export", "audit").out.splitlines()[0])

    assert (0, "1 of 1: anna has no connection any more\n") == (ended.code, ended.err)
    assert (0, {"user_ids": ["anna", "nobody"], "labels": "keep"}) == (again.code, again.json)
    assert ("connection_deactivated", "carla", "anna") == (newest["action"], newest["actor"], newest["subject"])
    assert "absent" == stack.ask("anna", "GET", "/oauth_callback/connection")["status"]


def test_only_administrators_deactivate(stack: Stack, tmp_path: Path) -> None:
    """The token of a user who is none changes nothing."""
    stack.connect("anna")
    token = write(tmp_path / "ben.jwt", stack.token("ben"))

    ended = ops(stack, "deactivate", "anna", "--token-file", token, "--json")

    assert (1, "administrators-only") == (ended.code, ended.json["error"]["code"])
    assert "connected" == stack.ask("anna", "GET", "/oauth_callback/connection")["status"]
