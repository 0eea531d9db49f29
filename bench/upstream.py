"""Google at a steady distance, as cheap as can be: answers to what was asked before come from memory.

``python -m bench.upstream`` stands before Firestore and Gmail of a local stack in a process of its own, so that what a
function can do at most is not what the stand-ins can. Only what is the same byte for byte gets the same answer, and
only reads are to be asked here. ``GET /-/latency/0.06`` on its HTTP port sets how long each answer takes.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio

_LATENCY_PATH = b"/-/latency/"


class Upstream:
    """The answers, and the way to who gives them the first time."""

    def __init__(self, firestore: str, gmail: str) -> None:
        self.latency_s = 0.0
        self._channel = grpc.aio.insecure_channel(firestore)
        self._gmail = urlsplit(gmail)
        self._documents: dict[tuple[str, bytes], list[bytes]] = {}
        self._pages: dict[tuple[bytes, bytes], bytes] = {}

    async def read_documents(self, method: str, request: bytes) -> AsyncIterator[bytes]:
        """The answers of a Firestore method, as bytes."""
        await asyncio.sleep(self.latency_s)
        key = (method, request)
        if key not in self._documents:
            ask: Any = self._channel.unary_stream(method)
            self._documents[key] = [one async for one in ask(request)]
        for answer in self._documents[key]:
            yield answer

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one connection's HTTP requests until it closes."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(_length(head))
                target = head.split(b" ", 2)[1]
                if target.startswith(_LATENCY_PATH):
                    self.latency_s = float(target.removeprefix(_LATENCY_PATH))
                    writer.write(_answer(204, b""))
                else:
                    await asyncio.sleep(self.latency_s)
                    writer.write(await self._page(head, target, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _page(self, head: bytes, target: bytes, body: bytes) -> bytes:
        key = (target, body)
        if key not in self._pages:
            self._pages[key] = await asyncio.to_thread(self._ask, head, body)
        return self._pages[key]

    def _ask(self, head: bytes, body: bytes) -> bytes:
        first, *lines = head.decode("latin-1").rstrip().split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = dict(line.split(": ", 1) for line in lines)
        headers.pop("accept-encoding", None)
        connection = http.client.HTTPConnection(self._gmail.hostname or "", self._gmail.port, timeout=10)
        connection.request(method, target, body or None, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return _answer(answer.status, content)


def _answer(status: int, content: bytes) -> bytes:
    head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method

        async def answer(request: bytes, _context: Any) -> AsyncIterator[bytes]:
            async for one in self._upstream.read_documents(method, request):
                yield one

        return grpc.unary_stream_rpc_method_handler(answer)


async def serve(firestore: str, gmail: str) -> None:
    """Serves until the process ends; the first line of the output says where."""
    upstream = Upstream(firestore, gmail)
    documents = grpc.aio.server()
    documents.add_generic_rpc_handlers((_Handlers(upstream),))
    port = documents.add_insecure_port("127.0.0.1:0")
    await documents.start()
    pages = await asyncio.start_server(upstream.talk, "127.0.0.1", 0)
    http_port = pages.sockets[0].getsockname()[1]
    print(json.dumps({"firestore": f"127.0.0.1:{port}", "gmail": f"http://127.0.0.1:{http_port}"}), flush=True)
    async with pages:
        await pages.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("firestore")
    parser.add_argument("gmail")
    given = parser.parse_args()
    asyncio.run(serve(given.firestore, given.gmail))
