"""Owns the rotation of the webhook's key and the sealing keys: which value comes next (pure), and its new version."""

from __future__ import annotations

import argparse
import base64
import os
from typing import Any, Final, Literal

from ops import google, names
from ops.output import OK, Output, Trouble, Usage

Step = Literal["add", "promote", "drop", "clean"]

SECRET: Final = {"webhook": "webhook-key", "sealing": "sealing-keys"}
_VARIABLE: Final = {"webhook": "webhook_key", "sealing": "sealing_keys"}
_KEY_BYTES: Final = 32

HELP = {
    "rotate": """
        Each step adds a version to the secret, which nothing reads until its number stands in terraform.tfvars
        (secret_versions) and `terraform apply` has run: so every step can be taken back by the old number. The HMAC
        key is never rotated, since it names documents and secrets.

        The webhook's key, known to the CRM, too:
          rotate webhook --step add       a new key; have the CRM take both, then apply
          rotate webhook --step clean     destroys the old versions, once all instances read the new one

        The sealing keys (page tokens, consents under way; nothing sealed needs to live longer than a day):
          rotate sealing --step add       the new key stands second: it opens; apply
          rotate sealing --step promote   the new key stands first: it seals, both open; apply
          rotate sealing --step drop      a day later, the old key goes; apply
          rotate sealing --step clean     destroys the old versions

        `clean` cannot be taken back, so it wants to hear which version is applied: --applied N.

        examples:
          python -m ops rotate sealing --step add
          python -m ops rotate webhook --step clean --applied 3
        """
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=list(SECRET))
    parser.add_argument("--step", choices=["add", "promote", "drop", "clean"], required=True)
    parser.add_argument("--applied", type=int, metavar="N", help="clean: the version that secret_versions names")


def run(options: argparse.Namespace, output: Output) -> int:
    """Does one step and says what must follow."""
    name = SECRET[options.what]
    if options.step == "clean":
        return _clean(name, options.applied, output)
    if options.what == "webhook" and options.step != "add":
        raise Usage("the webhook's key knows the steps add and clean")
    value = new_key() if options.what == "webhook" else plan_sealing(_read_latest(name), options.step, new_key())
    version = _add_version(name, value)
    variable = _VARIABLE[options.what]
    result = {"secret": name, "version": version, "set": {"secret_versions": {variable: version}}}
    output.show(result, [f"{name} has version {version}.", *_advice(options.what, options.step, version)])
    return OK


def new_key() -> str:
    """A fresh key as the configuration takes it: 32 random bytes in base64."""
    return base64.b64encode(os.urandom(_KEY_BYTES)).decode()


def plan_sealing(current: str, step: Step, fresh: str) -> str:
    """The secret's next value; the first key seals, all of them open. Raises Trouble where the step does not fit."""
    held = [key.strip() for key in current.split(",") if key.strip()]
    match step, held:
        case "add", [only]:
            return f"{only},{fresh}"
        case "promote", [first, second]:
            return f"{second},{first}"
        case "drop", [first, _]:
            return first
        case "add", [_, _]:
            raise Trouble("rotation-under-way", "there are two keys already: promote and drop come first")
        case _:
            raise Trouble("step-does-not-fit", f"there are {len(held)} keys: begin with --step add")


def _advice(what: str, step: Step, version: int) -> list[str]:
    lines = [
        f"Next: secret_versions = {{ {_VARIABLE[what]} = {version} }} in terraform.tfvars, then terraform apply.",
        "Leave other numbers in it as they are.",
    ]
    if what == "webhook":
        lines.insert(0, "First give the CRM the new key, beside the old one:")
        lines.insert(1, f"  gcloud secrets versions access {version} --secret={SECRET[what]}")
        return [*lines, f"Then: rotate webhook --step clean --applied {version}."]
    follows = {
        "add": "Then: rotate sealing --step promote.",
        "promote": "Then, a day later: rotate sealing --step drop.",
        "drop": f"Then: rotate sealing --step clean --applied {version}.",
    }
    return [*lines, follows[step]]


def _clean(name: str, applied: int | None, output: Output) -> int:
    if applied is None:
        raise Usage("--applied N is missing: the version that secret_versions names, and that is applied")
    versions = list(google.secret_manager().list_secret_versions(parent=names.secret(name), timeout=google.TIMEOUT_S))
    states = {_number(one): one.state.name for one in versions}
    if states.get(applied) != "ENABLED":
        raise Trouble("version-not-enabled", f"version {applied} of {name} is not there to be read")
    old = sorted(number for number, state in states.items() if number < applied and state != "DESTROYED")
    for number in old:
        path = f"{names.secret(name)}/versions/{number}"
        google.secret_manager().destroy_secret_version(name=path, timeout=google.TIMEOUT_S)
        output.progress(f"version {number} destroyed")
    output.show({"secret": name, "kept": applied, "destroyed": old}, [f"{len(old)} old versions of {name} destroyed"])
    return OK


def _read_latest(name: str) -> str:
    from google.api_core.exceptions import FailedPrecondition, NotFound

    path = f"{names.secret(name)}/versions/latest"
    try:
        answer = google.secret_manager().access_secret_version(name=path, timeout=google.TIMEOUT_S)
    except (NotFound, FailedPrecondition):
        raise Trouble(
            "secret-empty", f"{name} has no value: terraform output secrets_to_fill tells how it gets one"
        ) from None
    return str(answer.payload.data.decode())


def _add_version(name: str, value: str) -> int:
    from google.api_core.exceptions import NotFound

    request = {"parent": names.secret(name), "payload": {"data": value.encode()}}
    try:
        return _number(google.secret_manager().add_secret_version(request=request, timeout=google.TIMEOUT_S))
    except NotFound:
        raise Trouble("secret-missing", f"there is no secret {name}: terraform apply makes it") from None


def _number(version: Any) -> int:
    return int(version.name.rpartition("/")[2])
