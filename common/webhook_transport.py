"""Owns how one message gets to a webhook: over TLS, to a public address, no redirects, little of the answer read.

Knows neither the store nor what the message says. The address is set by the deployment, but the name in it may be
pointed elsewhere at any time: what counts is where the socket goes.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import certifi

_TIMEOUT_S: Final = 15.0
_MOST_ANSWER_BYTES: Final = 64 * 1024
# RFC 6052: an address of this network is another one in disguise.
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class Undeliverable(Exception):
    """Nobody was there, or nobody whom the message may go to; ``reason`` is a word for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def post(url: str, payload: bytes, headers: Mapping[str, str], *, allow_loopback: bool = False) -> int:
    """Posts once and returns the answer's status. Raises Undeliverable.

    ``allow_loopback`` is the local stack's: then, and only to loopback, http is taken too.
    """
    parts = urlsplit(url)
    host, is_tls = parts.hostname or "", parts.scheme == "https"
    if not host or (not is_tls and not (allow_loopback and parts.scheme == "http")):
        raise Undeliverable("not-https")
    channel = _connect(host, parts.port or (443 if is_tls else 80), allow_loopback=allow_loopback, is_tls=is_tls)
    connection = http.client.HTTPConnection(host, parts.port)
    # Its own ``connect`` is never called: a connection with a socket is taken as it is.
    connection.sock = channel
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("POST", target, payload, dict(headers))
        answer = connection.getresponse()
        answer.read(_MOST_ANSWER_BYTES)
        return answer.status
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    # Raised out here, so that no cause hangs on it.
    raise Undeliverable("no-answer")


def _connect(host: str, port: int, *, allow_loopback: bool, is_tls: bool) -> socket.socket:
    """A socket to an address that the message may go to; nothing has been sent on it but TLS's own."""
    reason = "unknown-host"
    for family, address in _resolve(host, port):
        if not is_allowed(address[0], allow_loopback=allow_loopback, is_tls=is_tls):
            reason = "not-public"
            continue
        channel = socket.socket(family, socket.SOCK_STREAM)
        channel.settimeout(_TIMEOUT_S)
        try:
            channel.connect(address)
            return _tls().wrap_socket(channel, server_hostname=host) if is_tls else channel
        except OSError:
            reason = "no-connection"
            channel.close()
    raise Undeliverable(reason)


def _resolve(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [(int(family), (str(address[0]), port)) for family, _, _, _, address in found]


def is_allowed(address: str, *, allow_loopback: bool, is_tls: bool) -> bool:
    """Whether a message may go to this IP address: a public one, or loopback where that is allowed."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_loopback:
        return allow_loopback
    return is_tls and _is_public(ip)


def _is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(ip, ipaddress.IPv6Address):
        # Addresses that carry another: what they lead to must be public too.
        if ip.ipv4_mapped is not None:
            return _is_public(ip.ipv4_mapped)
        if ip.sixtofour is not None or ip.teredo is not None or ip in _NAT64:
            return False
    return ip.is_global and not ip.is_multicast


def _tls() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())
