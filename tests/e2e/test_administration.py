"""Administration and one's own data in the browser: policy, acceptance, audit, connections, and who read my mail."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from local.stack import Stack
from tests.e2e.conftest import Sit

pytestmark = pytest.mark.integration

MIA = "Mia Schneider <mia@customer.example>"
POLICY = "/oauth_callback/policy"


def sharing(stack: Stack, user: str) -> str:
    return str(stack.ask(user, "GET", "/oauth_callback/connection")["sharing"]["effective"])


def test_wider_sharing_waits_for_its_owner(stack: Stack, sit: Sit) -> None:
    """Carla asks everyone to share; Anna is shown as waiting until she has read what is asked and accepted it."""
    stack.connect("anna")
    carla = sit("Carla Nowak", place="#/admin/policy")
    expect(carla.page.get_by_text("Everyone has accepted")).to_be_visible()
    carla.page.get_by_label("For everyone").select_option("All contacts")
    carla.page.get_by_label("Domains kept out").fill("bank.example\nlawyer.example")
    carla.press("Save the policy")
    carla.hears("The policy is saved.")
    expect(carla.page.get_by_text("1 person has not accepted yet")).to_be_visible()
    expect(carla.page.locator(".note .tag")).to_have_text("Anna Berger")
    carla.shot("policy")
    assert "private" == sharing(stack, "anna")

    anna = sit("Anna Berger", place="#/me")
    expect(anna.page.get_by_text("Level: All contacts")).to_be_visible()
    expect(anna.page.get_by_text("bank.example, lawyer.example")).to_be_visible()
    anna.press("Accept")
    expect(anna.page.get_by_text("Colleagues see your mail with every contact")).to_be_visible()
    assert "public" == sharing(stack, "anna")
    carla.page.reload()
    carla.settle()
    expect(carla.page.get_by_text("Everyone has accepted")).to_be_visible()
    expect(carla.page.get_by_label("Domains kept out")).to_have_value("bank.example\nlawyer.example")


def test_a_policy_is_written_whole_and_by_the_faster(stack: Stack, sit: Sit) -> None:
    """Levels of people, times and features are saved as set; who was slower is told, and sees what holds."""
    carla = sit("Carla Nowak", place="#/admin/policy")
    carla.page.get_by_role("group", name="Other levels by person").get_by_role("button", name="Add one").click()
    carla.page.get_by_label("Other levels by person").and_(carla.page.locator("select")).select_option("Ben Okafor")
    carla.page.get_by_label("Time zone").fill("Europe/Berlin")
    carla.page.get_by_label("Keep notices for (days)").fill("60")
    carla.page.get_by_label("Internal domains").fill("not a domain")
    carla.press("Save the policy")
    carla.hears("That is not a domain.")
    carla.page.get_by_label("Internal domains").fill("demo-crm.example")
    carla.page.get_by_role("checkbox", name="Changing mail").uncheck()
    carla.page.get_by_role("switch", name="New addresses open no older mail").uncheck()
    carla.press("Save the policy")
    carla.hears("The policy is saved.")
    held = stack.ask("carla", "GET", POLICY)
    assert {"ben": "private"} == held["sharing_by_user"]
    assert ("Europe/Berlin", 60) == (held["time_zone"], held["notice_retention_days"])
    assert (["mail", "mailmagnet", "labels"], False) == (held["features"], held["address_time_limit"])

    carla.settle()
    stack.ask("carla", "PUT", POLICY, json={"sharing": "private"})
    carla.press("Save the policy")
    carla.hears("Another administrator was faster.")
    expect(carla.page.get_by_label("For everyone")).to_have_value("private")


def test_connections_are_seen_and_ended(stack: Stack, sit: Sit) -> None:
    """Carla sees how everyone's connection is, ends Ben's, and finds it all in the audit; Anna gets none of this."""
    stack.connect("anna")
    stack.connect("ben")
    carla = sit("Carla Nowak", place="#/admin/connections")
    rows = carla.page.locator(".connection")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="Anna Berger")).to_contain_text("anna@demo-crm.example")
    rows.filter(has_text="Ben Okafor").get_by_role("button", name="Deactivate").click()
    carla.page.get_by_role("dialog").get_by_role("button", name="Deactivate").click()
    carla.hears("The connection of Ben Okafor has ended.")
    expect(rows).to_have_count(1)
    carla.link("Audit")
    expect(carla.page.locator(".audit li").first).to_contain_text("Carla Nowak ended the connection of Ben Okafor.")
    assert "absent" == stack.ask("ben", "GET", "/oauth_callback/connection")["status"]

    anna = sit("Anna Berger", place="#/admin")
    expect(anna.page.get_by_text("This is for administrators.")).to_be_visible()


def test_who_read_my_mail_and_what_is_held(stack: Stack, sit: Sit, tmp_path: Path) -> None:
    """Anna sees that Ben read, how often and of whom; all that is held, in words and as a file, and no mail in it."""
    stack.connect("anna")
    stack.connect("ben")
    mail_id = stack.mail("anna", MIA, "Twelve desks")
    stack.ask("anna", "PATCH", "/oauth_callback/connection", json={"sharing": "custom"})
    stack.ask("anna", "PUT", "/mail_proxy/contacts/mia/share")
    desk = sit("Anna Berger", place="#/me")
    expect(desk.page.get_by_text("Nobody has read any mail of yours.")).to_be_visible()
    stack.ask("ben", "GET", f"/mail_proxy/contacts/mia/emails/anna/{mail_id}")
    desk.page.reload()
    desk.settle()

    expect(desk.page.locator(".reader")).to_contain_text("Ben Okafor")
    expect(desk.page.locator(".reader")).to_contain_text("Mia Schneider")
    desk.page.get_by_text("The connection and its settings").click()
    expect(desk.page.locator("[data-part=connection] dd", has_text="anna@demo-crm.example").first).to_be_visible()
    desk.shot("my-data")
    with desk.page.expect_download() as saved:
        desk.press("Download")
    saved.value.save_as(tmp_path / "held.json")
    held = json.loads((tmp_path / "held.json").read_text())
    assert ("anna", ["mia"]) == (held["user"]["user_id"], [one["contact_id"] for one in held["shares"]])
    assert "Twelve desks" not in str(held)
