"""Owns how a request of google-api-python-client gets to Gmail and its answer back. Alone imports that library.

The library's own httplib2 sends a request again, unasked, when a connection closes without an answer: a mail would go
out twice. So its place is taken by ``Http`` below, over urllib3, which sends once. What failed is told as
``NotSent`` or ``AnswerLost``, without the cause, whose text would hold the URL.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import IO, Any, Final

import certifi
import googleapiclient
import httplib2
import urllib3
from googleapiclient import discovery
from googleapiclient.errors import BatchError, HttpError
from googleapiclient.http import BatchHttpRequest, HttpRequest, MediaIoBaseUpload

from common.config import config
from common.gmail.errors import AnswerLost, NotSent, Refused

_DOCUMENT: Final = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / "gmail.v1.json"
_BAD_GATEWAY: Final = 502
_CONNECT_TIMEOUT_S: Final = 5.0
_READ_TIMEOUT_S: Final = 30.0
# A mail's source of the greatest size, in base64, with room.
_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
_CHUNK_BYTES: Final = 256 * 1024
# Google answers zipped only where the agent says so, too.
_AGENT: Final = "gmail-in-crm (gzip)"
# Above 5 MB Google recommends resumable uploads (Gmail API, uploads). They alone are streamed: all else the library
# holds, beside JSON several times over.
_RESUMABLE_ABOVE_BYTES: Final = 1024 * 1024


class Http:
    """What the library calls an Http, for one use. ``token`` is asked at each request, ``reject`` hears of bad ones.

    ``take``, where one is set, hears how many bytes of an answer are there, and may raise to end it.
    """

    def __init__(
        self, token: Callable[[], str], reject: Callable[[str], None], ends_s: float, *, fresh: bool = False
    ) -> None:
        self._token = token
        self._reject = reject
        self._ends_s = ends_s
        self._sent_token = ""
        # A send has a connection of its own: one kept alive may have died, and a lost answer is dear.
        self._pool = _new_pool() if fresh else _shared_pool()
        self._fresh = fresh
        self.take: Callable[[int], None] | None = None

    def renew(self) -> None:
        """The token sent last was refused: the next request is to have another."""
        self._reject(self._sent_token)

    def close(self) -> None:
        """Closes the connection of a send."""
        if self._fresh:
            self._pool.clear()

    def request(
        self, uri: str, method: str = "GET", body: str | bytes | IO[bytes] | None = None, headers: Any = None
    ) -> tuple[httplib2.Response, bytes]:
        """Sends once. Raises NotSent or AnswerLost."""
        self._sent_token = self._token()
        own = {"authorization": f"Bearer {self._sent_token}", "user-agent": _AGENT}
        sent_headers = {name.lower(): value for name, value in (headers or {}).items()} | own
        failure: NotSent | AnswerLost
        try:
            return self._exchange(uri, method, body, sent_headers)
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            failure = NotSent()
        except (urllib3.exceptions.HTTPError, OSError):
            failure = AnswerLost()
        raise failure

    def _exchange(
        self, uri: str, method: str, body: str | bytes | IO[bytes] | None, headers: Mapping[str, str]
    ) -> tuple[httplib2.Response, bytes]:
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0:
            raise NotSent
        response = self._pool.urlopen(
            method,
            uri,
            body=body,
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=min(_CONNECT_TIMEOUT_S, left_s), read=min(_READ_TIMEOUT_S, left_s)),
        )
        try:
            content = self._read(response)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        answer = httplib2.Response({**response.headers, "status": str(response.status)})
        answer.reason = response.reason or ""
        return answer, content

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        # Of a BytesIO, getvalue shares its memory.
        content = io.BytesIO()
        for chunk in response.stream(_CHUNK_BYTES):
            content.write(chunk)
            if content.tell() > _MAX_ANSWER_BYTES or time.monotonic() > self._ends_s:
                raise AnswerLost
            if self.take is not None:
                self.take(content.tell())
        return content.getvalue()


class _NoHttp:
    """Stands where the library wants an Http at build time; each use brings its own."""

    def request(self, *_: object, **__: object) -> None:
        raise LookupError("every request is executed with an Http of its own")


class _Batch(BatchHttpRequest):  # type: ignore[misc]  # the library has no types
    """The library repeats parts that were answered 401, once; they need another token then."""

    def _refresh_and_apply_credentials(self, _request: HttpRequest, http: Http) -> None:
        http.renew()


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(_DOCUMENT.read_bytes())
    return document


@cache
def _build(root_url: str) -> Any:
    document = {**_document(), "rootUrl": f"{root_url}/", "baseUrl": f"{root_url}/"}
    document.pop("mtlsRootUrl", None)
    return discovery.build_from_document(document, http=_NoHttp()).users()


def users() -> Any:
    """The library's resource ``users`` of the configured Gmail; it builds requests and may be shared by threads."""
    return _build(_root_url())


def messages() -> Any:
    """The resource ``users.messages``. Kept, since the library takes longer to make one than a request."""
    return _messages_of(_root_url())


@cache
def _messages_of(root_url: str) -> Any:
    return _build(root_url).messages()


def _root_url() -> str:
    return config().gmail_url.rstrip("/")


@cache
def _shared_pool() -> urllib3.PoolManager:
    return _new_pool(connections=20)


def _new_pool(connections: int = 1) -> urllib3.PoolManager:
    return urllib3.PoolManager(num_pools=4, maxsize=connections, ca_certs=certifi.where())


def execute(request: HttpRequest, http: Http) -> Any:
    """The answer's JSON, empty where Gmail answers nothing. Raises Refused, NotSent, AnswerLost."""
    refused: Refused
    try:
        answer = request.execute(http=http)
        if _is_readable(answer):
            return answer
        refused = Refused(_BAD_GATEWAY, b"")
    except HttpError as error:
        refused = Refused(int(error.resp.status), error.content)
    except ValueError:
        refused = Refused(_BAD_GATEWAY, b"")
    raise refused


def _is_readable(answer: Any) -> bool:
    # The library hands out as text what should be JSON and is none: some machine between Gmail and here has answered.
    return not isinstance(answer, str) or not answer


def execute_batch(requests: Mapping[str, HttpRequest], http: Http) -> dict[str, Any | Refused]:
    """The answers of at most 50 requests in one. Raises Refused where all of it was refused, NotSent, AnswerLost."""
    answers: dict[str, Any | Refused] = {}

    def take(key: str, answer: Any, error: HttpError | None) -> None:
        if error is not None:
            answers[key] = Refused(int(error.resp.status), error.content)
        else:
            answers[key] = answer if _is_readable(answer) else Refused(_BAD_GATEWAY, b"")

    batch = _Batch(callback=take, batch_uri=f"{_root_url()}/{_document()['batchPath']}")
    for key, request in requests.items():
        batch.add(request, request_id=key)
    failure: Exception
    try:
        batch.execute(http=http)
        return answers
    except BatchError:
        failure = AnswerLost()
    except HttpError as error:
        failure = Refused(int(error.resp.status), error.content)
    except (ValueError, LookupError, TypeError):
        # A part is missing or cannot be read.
        failure = AnswerLost()
    raise failure


def media_of(mail: IO[bytes], *, beside_json: bool) -> MediaIoBaseUpload:
    """A mail as the library uploads it: at once, or streamed in a resumable upload where it is big.

    In one body with JSON the library takes nothing but ASCII (it treats the mail as text), so all else is streamed too.
    """
    size_bytes = mail.seek(0, io.SEEK_END)
    mail.seek(0)
    resumable = size_bytes > _RESUMABLE_ABOVE_BYTES or (beside_json and not mail.read().isascii())
    mail.seek(0)
    return MediaIoBaseUpload(mail, mimetype="message/rfc822", chunksize=-1, resumable=resumable)


def execute_upload(request: HttpRequest, http: Http) -> Any:
    """The answer to an upload. Raises Refused, NotSent (nothing of the mail was taken), AnswerLost."""
    if request.resumable is None:
        return execute(request, http)
    failure: Exception
    try:
        _, answer = request.next_chunk(http=http)
        if isinstance(answer, dict):
            return answer
        # 308 (None) says that Gmail has not got all of it. The library would go on at a wrong place.
        failure = NotSent() if answer is None else AnswerLost()
    except HttpError as error:
        failure = Refused(int(error.resp.status), error.content)
    except AnswerLost:
        # Until Google has named the place for the upload, it has nothing of the mail.
        failure = AnswerLost() if request.resumable_uri else NotSent()
    except ValueError:
        failure = AnswerLost()
    raise failure
