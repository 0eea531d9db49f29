"""Owns the judgements of ``doctor``: what each finding means, and how it is mended. Pure: what was found comes in."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

from ops.output import moment
from ops.reach import Reached

State = Literal["ok", "trouble", "skipped"]

PUBLISHER: Final = "roles/pubsub.publisher"
# In Google's terms; both forbid grants to members outside the organisation.
_DOMAIN_POLICY: Final = "iam.allowedPolicyMemberDomains (or iam.managed.allowedPolicyMembers)"


@dataclass(frozen=True)
class Check:
    """One finding. ``advice`` says how to mend it, for trouble alone."""

    name: str
    state: State
    detail: str
    advice: str = ""


def ok(name: str, detail: str) -> Check:
    return Check(name, "ok", detail)


def trouble(name: str, detail: str, advice: str) -> Check:
    return Check(name, "trouble", detail, advice)


def judge_public(reached: Reached) -> Check:
    """A public function must answer everybody."""
    name = f"{reached.name} answers"
    if reached.is_ok:
        return ok(name, reached.url)
    if reached.status in (401, 403):
        policy = f"allow allUsers for run.invoker: an exception from the organisation policy {_DOMAIN_POLICY}"
        return trouble(name, f"Google refuses strangers (HTTP {reached.status})", f"{policy}; then apply again")
    if reached.status == 404:
        return trouble(name, "nothing is there (HTTP 404)", "is it deployed, and the address right? terraform apply")
    what = f"HTTP {reached.status}" if reached.status else reached.trouble
    return trouble(name, what, f"read the log of {reached.name}: gcloud run services logs read")


def judge_private(reached: Reached) -> Check:
    """A private function must answer nobody without a token of its callers."""
    name = f"{reached.name} refuses strangers"
    if reached.is_ok:
        return ok(name, f"HTTP {reached.status}")
    if not reached.status:
        return trouble(name, reached.trouble, "is it deployed, and the address right? terraform apply")
    return trouble(
        name,
        f"it answered a stranger (HTTP {reached.status})",
        "take allUsers and allAuthenticatedUsers off its run.invoker, and apply again, at once",
    )


def judge_grant(bindings: Iterable[Mapping[str, Any]], member: str) -> Check:
    """Gmail must be allowed to publish to our topic."""
    name = "Gmail may publish"
    for binding in bindings:
        if binding.get("role") == PUBLISHER and member in binding.get("members", ()) and not binding.get("condition"):
            return ok(name, PUBLISHER)
    advice = f"terraform apply; if it is refused, ask for an exception from the organisation policy {_DOMAIN_POLICY}"
    return trouble(name, f"{member.partition(':')[2]} has no {PUBLISHER} on the topic", advice)


def judge_client(status: int, answer: Mapping[str, Any]) -> Check:
    """The token endpoint, asked with a code that nobody issued: it must refuse the code, not the client."""
    name = "OAuth client"
    error = str(answer.get("error", ""))
    if error == "invalid_grant":
        return ok(name, "Google takes its id and secret")
    if error in ("invalid_client", "unauthorized_client", "deleted_client"):
        advice = "compare id and secret with the console (APIs & Services, Credentials); add the right secret, apply"
        return trouble(name, f"Google refuses the client ({error})", advice)
    if error == "redirect_uri_mismatch":
        return trouble(name, "the redirect URI is not registered", _redirect_advice(""))
    return trouble(name, f"Google answered HTTP {status} {error}".rstrip(), "try again in a few minutes")


def judge_redirect(status: int, location: str, redirect_uri: str) -> Check:
    """Google's consent page must open for our redirect URI: it shows an error page for one that is not registered."""
    name = "redirect URI"
    parts = urlsplit(location)
    if status >= 400 or "/oauth/error" in parts.path:
        reason = _auth_error(parts.query)
        if reason and reason != "redirect_uri_mismatch":
            return trouble(name, f"Google's consent page says {reason}", "look at the OAuth client in the console")
        return trouble(name, "Google does not know it", _redirect_advice(redirect_uri))
    return ok(name, redirect_uri)


def _redirect_advice(uri: str) -> str:
    return f"register it with the OAuth client, to the letter: {uri or 'terraform output redirect_uri'}"


def _auth_error(query: str) -> str:
    """The reason on Google's error page: the first text in a base64 protobuf."""
    packed = parse_qs(query).get("authError", [""])[0]
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_")
    except (binascii.Error, ValueError):
        return ""
    length = raw[1] if len(raw) > 2 and raw[0] == 0x0A else 0
    return raw[2 : 2 + length].decode("ascii", "replace")


def judge_job(name: str, job: Any, late_h: float, now: datetime) -> list[Check]:
    """A job must be on, and its last run recent and taken."""
    title = f"job {name}"
    if job is None:
        return [trouble(title, "it is missing", "terraform apply")]
    if job.state.name != "ENABLED":
        return [trouble(title, f"it is {job.state.name.lower()}", f"python -m ops resume --job {name}")]
    last = job.last_attempt_time or None
    again = f"python -m ops sweep-now --job {name}"
    if last is None:
        return [Check(title, "skipped", f"on, but it has not run yet; first at {moment(job.schedule_time)}", again)]
    if job.status.code:
        return [
            trouble(title, f"its last run failed (code {job.status.code}, {moment(last)})", f"read the log; {again}")
        ]
    if now - last > timedelta(hours=late_h):
        return [trouble(title, f"it last ran {moment(last)}", f"look at Cloud Scheduler in the console; {again}")]
    return [ok(title, f"on, last run {moment(last)}")]


def judge_secret(name: str, states: Sequence[str] | None, *, is_given: bool) -> Check:
    """A secret must have a version that can be read; ``states`` is None where there is no such secret."""
    title = f"secret {name}"
    if states is not None and "ENABLED" in states:
        return ok(title, f"{states.count('ENABLED')} enabled versions")
    if is_given:
        return ok(title, "its value is in the environment")
    if states is None:
        return trouble(title, "it is missing", "terraform apply makes it")
    return trouble(title, "it has no enabled version", "terraform output secrets_to_fill tells how to fill it")


# An index as text: collection, scope, fields with their order.
Index = tuple[str, str, tuple[tuple[str, str], ...]]


def parse_declared(declared: Iterable[Mapping[str, Any]]) -> set[Index]:
    """The composite indexes that ``common/store/indexes.json`` declares."""
    return {
        (
            one["collectionGroup"],
            one["queryScope"],
            tuple((field["fieldPath"], field["order"]) for field in one["fields"]),
        )
        for one in declared
    }


def judge_indexes(declared: set[Index], built: Mapping[Index, str]) -> Check:
    """Every declared index must be there and built."""
    name = "indexes"
    missing = sorted(one for one in declared if one not in built)
    building = sorted(one for one in declared if built.get(one, "READY") != "READY")
    if missing:
        shown = "; ".join(f"{group} by {', '.join(field for field, _ in fields)}" for group, _, fields in missing)
        return trouble(name, f"{len(missing)} are missing: {shown}", "terraform apply")
    if building:
        return trouble(name, f"{len(building)} are not built yet", "wait some minutes, then run doctor again")
    return ok(name, f"all {len(declared)} are built")
