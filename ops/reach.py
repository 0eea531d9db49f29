"""Owns how the four functions are asked from outside, without any rights: public ones answer, private ones refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ops import google, names
from ops.output import Trouble

# Without ingress from outside Google shows 404, as if there were nothing.
REFUSALS: Final = (401, 403, 404)


@dataclass(frozen=True)
class Reached:
    """A function as it is seen from outside; ``status`` 0: nobody answered."""

    name: str
    url: str
    status: int
    is_public: bool
    trouble: str = ""

    @property
    def is_ok(self) -> bool:
        return self.status == 200 if self.is_public else self.status in REFUSALS


def fetch_public(name: str) -> Reached:
    """A public function's own description, which is open to all."""
    base = names.public_url(name)
    try:
        answer = google.call("GET", f"{base}/openapi.json")
    except Trouble as trouble:
        return Reached(name, base, 0, is_public=True, trouble=trouble.text)
    return Reached(name, base, answer.status_code, is_public=True)


def fetch_private(name: str) -> Reached:
    """A private function, asked without any token for what its callers ask for: it must not be done."""
    base = names.url(name)
    try:
        answer = google.call("POST", f"{base}/", json={})
    except Trouble as trouble:
        return Reached(name, base, 0, is_public=False, trouble=trouble.text)
    return Reached(name, base, answer.status_code, is_public=False)


def fetch_all() -> list[Reached]:
    """All four."""
    return [fetch_public(name) for name in names.PUBLIC] + [fetch_private(name) for name in names.PRIVATE]
