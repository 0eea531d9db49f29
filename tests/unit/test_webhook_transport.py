"""Where a webhook's message may go."""

from __future__ import annotations

import pytest

from common.webhook_transport import is_allowed


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_address_is_taken(address: str) -> None:
    """A message goes to a public address over TLS, and only so."""
    assert [True, False] == [is_allowed(address, allow_loopback=False, is_tls=is_tls) for is_tls in (True, False)]


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.16.5.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "127.0.0.1",
        "::",
        "::1",
        "fd00::1",
        "fe80::1%eth0",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "2002:0a00:0001::1",
        "64:ff9b::a00:1",
        "2001:0:53aa:64c:0:0:f5ff:fffe",
    ],
)
def test_address_inside_is_refused(address: str) -> None:
    """Private, shared, link-local, multicast and loopback addresses are refused, in every disguise."""
    assert not is_allowed(address, allow_loopback=False, is_tls=True)


@pytest.mark.parametrize("is_tls", [True, False])
def test_loopback_is_the_local_stacks(is_tls: bool) -> None:
    """Loopback is taken where the local stack allows it, and nothing else inside is."""
    allowed = [is_allowed(one, allow_loopback=True, is_tls=is_tls) for one in ("127.0.0.1", "::1", "10.0.0.1")]

    assert [True, True, False] == allowed
