"""The guides: what they name exists, what they add up is right, and no alert is without its word."""

from __future__ import annotations

import re
from math import isclose
from pathlib import Path

import pytest

from ops import openapi
from ops.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
GUIDES = {path.name: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
OPERATIONS, INTEGRATE = GUIDES["operations.md"], GUIDES["integrate.md"]
TERRAFORM = ROOT / "terraform"


def section(text: str, title: str) -> str:
    """What stands under a heading of the second level."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def figures(cell: str) -> float:
    return float(cell.replace("*", "").replace(",", "").strip())


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, its head left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]


def test_every_alert_says_what_to_do() -> None:
    """docs/operations.md has a section for each alert of Terraform, and for no other."""
    defined = re.search(r"\n  alerts = \{\n(.*?)\n  \}\n", (TERRAFORM / "monitoring.tf").read_text(), re.DOTALL)
    assert defined is not None
    named = re.findall(r"^    ([a-z-]+) = \{$", defined[1], re.MULTILINE)

    assert len(named) > 10
    assert sorted(named) == sorted(re.findall(r"^### (.*)$", section(OPERATIONS, "Alerts"), re.MULTILINE))


def parts(text: str) -> tuple[str, str]:
    """What a guide shows as commands, a line each, and what is left without its blocks of code."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join([*(block for kind, block in blocks if not kind), *re.findall(r"`([^`]+)`", prose)]), prose


def test_the_log_lines_of_the_alerts_are_written() -> None:
    """Each line of the log that an alert's section names is one that the code writes."""
    named = set(re.findall(r"lines?\s`([a-z-]+)`", section(OPERATIONS, "Alerts")))
    code = "".join(path.read_text() for path in (ROOT / "common").rglob("*.py"))
    calls = re.findall(r"log\.(?:event|failure)\(([^,]*),", code)
    written = {name for call in calls for name in re.findall(r'"([a-z-]+)"', call)}

    assert len(named) > 3
    assert set() == named - written


@pytest.mark.parametrize("guide", sorted(GUIDES))
def test_what_a_guide_names_exists(guide: str) -> None:
    """Each command of ops, target of make and output of Terraform that a guide names is there; each link leads on."""
    shown, prose = parts(GUIDES[guide])
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    outputs = set(re.findall(r'^output "(\w+)"', (TERRAFORM / "outputs.tf").read_text(), re.MULTILINE))
    base = ROOT if guide == "README.md" else ROOT / "docs"
    links = re.findall(r"\]\((?!https?:)([^)#]+)", prose)

    assert set() == set(re.findall(r"\bops (?:--environment ops\.json |--local )?([a-z][a-z-]+)", shown)) - set(
        COMMANDS
    )
    assert set() == set(re.findall(r"(?m)^make ([a-z][a-z-]+)", shown)) - targets
    assert set() == set(re.findall(r"terraform output (?:-json )?(\w+)", shown)) - outputs
    assert [] == [link for link in links if not (base / link).exists()]


def test_variables_of_terraform_exist() -> None:
    """What the guides call a part of crm, alerts, limits, secret_versions or queue_rates is one."""
    variables = (TERRAFORM / "variables.tf").read_text()
    named = {
        part
        for text in GUIDES.values()
        for part in re.findall(r"`(?:crm|crm\.claims|alerts|limits|secret_versions)\.(\w+)", text)
    }

    assert len(named) > 10
    assert [] == [part for part in sorted(named) if not re.search(rf"^ +{part} += ", variables, re.MULTILINE)]


def test_the_routes_that_a_crm_calls_exist() -> None:
    """docs/integrate.md and docs/operations.md name no route that is not served."""
    served = {(route.method, route.template) for app in openapi.load_apps() for route in app.routes}
    named = {
        (method, path)
        for text in (INTEGRATE, OPERATIONS, GUIDES["deploy.md"])
        for methods, path in re.findall(r"`([A-Z ]+) (/[^` ]*)", text)
        for method in methods.split()
    }

    assert len(named) > 25
    assert set() == named - served


def test_the_cost_of_a_thousand_users_adds_up() -> None:
    """The day's sums follow from its rows, and the month's prices from the sums at list price."""
    day, month = (rows(part) for part in section(OPERATIONS, "Cost of 1,000 users").split("\n\n")[1:3])
    sums = [sum(figures(row[1]) * figures(row[column]) for row in day[1:-1]) for column in (2, 3, 4)]
    told = {row[0]: row for row in month[1:]}
    prices = [figures(row[2]) for row in month[1:]]

    assert sums == [figures(cell) for cell in day[-1][2:]]
    assert isclose(sum(prices[:-1]), prices[-1], abs_tol=0.01)
    for name, per_day, price in (("Firestore reads", sums[0], 0.03), ("Firestore writes", sums[1], 0.09)):
        documents = per_day * 21 * 1000
        assert f"{documents / 1e6:.1f} M" == told[name][1]
        assert isclose(documents / 1e5 * price, figures(told[name][2]), abs_tol=0.01)
