"""The WSGI application: ordinary calls, uploads and batches over HTTP."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Request, Response

from local.gmail.batch import PATHS, parse_batch, perform_batch
from local.gmail.errors import AnswerDropped, GmailError
from local.gmail.pipeline import RawCall, Reply, Turn, error_reply
from local.gmail.upload import Session, Sessions, api_path, is_upload, plan_simple, take_chunk, too_large

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from local.gmail.pipeline import Pipeline
    from local.ledger import Ledger

# What a request may have: the largest upload (insert's) in base64, and something around it.
_MAX_BODY_BYTES = 157_286_400 * 4 // 3 + 1_000_000


class GmailApp:
    """Gmail's HTTP surface. ``latency_s`` is slept once an HTTP request, as the way to Google would take."""

    def __init__(self, pipeline: Pipeline, ledger: Ledger) -> None:
        self.latency_s = 0.0
        self._pipeline = pipeline
        self._ledger = ledger
        self._sessions = Sessions()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        turn = Turn(self._ledger.next_http_id(), time.monotonic())
        try:
            response = self._respond(Request(environ), turn)
        except AnswerDropped:
            _hang_up(environ)
            raise
        return response(environ, start_response)

    def _respond(self, request: Request, turn: Turn) -> Response:
        try:
            if (request.content_length or 0) > _MAX_BODY_BYTES:
                raise too_large()
            call = RawCall(
                request.method,
                request.path,
                request.args,
                {name.lower(): value for name, value in request.headers.items()},
                request.get_data(cache=False),
            )
            return self._in_turn(request, _unfolded(call), turn)
        except GmailError as error:
            self._pipeline.record("unknown", "", 0, error.code, turn)
            return _response(error_reply(error))

    def _in_turn(self, request: Request, call: RawCall, turn: Turn) -> Response:
        """Answers while holding one of the mailbox's places for requests at once."""
        owner = self._pipeline.owner(call)
        try:
            if owner is not None:
                self._pipeline.concurrency.enter(owner)
        except GmailError as refusal:
            return self._dispatch(request, call, replace(turn, refusal=refusal))
        try:
            if self.latency_s:
                time.sleep(self.latency_s)
            return self._dispatch(request, call, turn)
        finally:
            if owner is not None:
                self._pipeline.concurrency.leave(owner)

    def _dispatch(self, request: Request, call: RawCall, turn: Turn) -> Response:
        if call.path in PATHS:
            return self._batch(call, turn)
        if not is_upload(call.path):
            return _response(self._pipeline.perform(call, turn))
        if "upload_id" in call.query:
            return _response(self._continue_upload(call, turn))
        if call.query.get("uploadType") == "resumable":
            return _response(self._begin_upload(request, call, turn))
        return _response(self._pipeline.perform(plan_simple(call), turn))

    def _batch(self, call: RawCall, turn: Turn) -> Response:
        try:
            calls = parse_batch(call)
        except GmailError as error:
            self._pipeline.record("batch", "", 0, error.code, turn)
            return _response(error_reply(error))
        reply, content_type = perform_batch(self._pipeline, calls, turn)
        return Response(reply.body, reply.status, content_type=content_type)

    # Resumable uploads. In the ledger only the last chunk is the method's call; the others are "upload", free.

    def _begin_upload(self, request: Request, call: RawCall, turn: Turn) -> Reply:
        method = self._pipeline.admit(replace(call, path=api_path(call.path)))
        upload_id = self._sessions.begin(call, method.upload_limit_bytes)
        self._pipeline.record("upload", "", 0, 200, turn)
        location = f"{request.host_url.rstrip('/')}{call.path}?uploadType=resumable&upload_id={upload_id}"
        return Reply(200, b"", {"Location": location, "X-GUploader-UploadID": upload_id})

    def _continue_upload(self, call: RawCall, turn: Turn) -> Reply:
        session = self._sessions.find(call.query["upload_id"])
        if call.verb == "DELETE":
            self._sessions.cancel(call.query["upload_id"])
            raise GmailError(499, "cancelled", "Client Closed Request")
        with session.lock:
            return self._take(session, call, turn)

    def _take(self, session: Session, call: RawCall, turn: Turn) -> Reply:
        if session.reply is not None:
            # Asked again after the end: the answer that may have been lost.
            self._pipeline.record("upload", "", 0, session.reply.status, turn)
            return session.reply
        if not take_chunk(session, call.header("content-range"), call.body):
            self._pipeline.record("upload", "", 0, 308, turn)
            arrived = len(session.received)
            return Reply(308, b"", {"Range": f"bytes=0-{arrived - 1}"} if arrived else {})
        complete = replace(session.call, media=bytes(session.received))
        try:
            session.reply = self._pipeline.perform(complete, turn)
        finally:
            session.received.clear()
        return session.reply


def _unfolded(call: RawCall) -> RawCall:
    """The GET that a POST with X-HTTP-Method-Override stands for: googleapiclient sends those too long for a URL so."""
    if call.verb != "POST" or call.header("x-http-method-override").upper() != "GET":
        return call
    query = MultiDict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
    return replace(call, verb="GET", query=query, body=b"")


def _response(reply: Reply) -> Response:
    response = Response(reply.body, reply.status, headers=dict(reply.headers))
    if reply.body:
        response.content_type = reply.content_type
    else:
        response.headers.pop("Content-Type", None)
    return response


def _hang_up(environ: WSGIEnvironment) -> None:
    """Closes the connection under the server, so that the client sees it end without an answer."""
    connection = environ.get("werkzeug.socket")
    if isinstance(connection, socket.socket):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
