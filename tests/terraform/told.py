"""What a function's code reads of its configuration, and what Terraform tells it."""

from __future__ import annotations

import ast
from dataclasses import fields

from common.config import Config
from tests.terraform import hcl
from tests.terraform.reach import attributes_of, reached

FIELDS = {entry.name for entry in fields(Config)}
# What the configuration never prints is secret.
SECRETS = {entry.name for entry in fields(Config) if not entry.repr}
# What the platform wants to know: not the functions' code.
PLATFORM = {"THREADS", "MALLOC_MMAP_THRESHOLD_"}


def read_fields(function: str) -> set[str]:
    """The configuration's fields that the function's code reads."""
    found = {
        node.attr for definition in reached(function) for node in definition.attributes if _is_config(node.value)
    } & FIELDS
    found |= {field for account, audience in service_fields(function) for field in (account, audience)}
    # Keys hold the sealing keys in every function; they are used where something is sealed.
    return found if {"seal", "unseal"} & attributes_of(function) else found - {"sealing_keys"}


def service_fields(function: str) -> set[tuple[str, str]]:
    """The account and the audience of each ``web.service`` of the function's files: names of the configuration."""
    calls = [call for definition in reached(function) for call in definition.calls]
    return {
        (_text(call.args[0]), _text(call.args[1]))
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "service"
    }


def told_plainly(function: str) -> dict[str, str]:
    """The function's environment without the secrets, as ``environments`` of functions.tf puts it together.

    Each name's expression; the limits, which Terraform names by a rule, have none.
    """
    values = hcl.local_values()
    is_public = values["functions"][function]["is_public"]
    of_its_kind = values["environment_of_public" if is_public else "environment_of_private"]
    found = dict.fromkeys((name.upper() for name in hcl.optional_fields("limits")), "")
    for one in (values["environment_of_all"], of_its_kind, values["environment_of_one"][function]):
        found |= hcl.assigned(one)
    return found | hcl.assigned(values["environments"])


def told_secretly(function: str) -> set[str]:
    """The fields that the function gets from Secret Manager."""
    return set(hcl.texts(hcl.local_values()["functions"][function]["secrets"]))


def _is_config(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "config"
    return isinstance(node, ast.Name) and node.id == "settings"


def _text(node: ast.expr) -> str:
    assert isinstance(node, ast.Constant)
    return str(node.value)
