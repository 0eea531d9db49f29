"""Owns the way from an HTTP request to a handler and back: routes, who may call, bodies, problem+json, CORS.

A function is one ``App``. Knows no store and no Gmail. What it logs holds no body, no query and no id.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final, TypeVar

import flask
import msgspec
from werkzeug import Request, Response

from common import auth, clock, log
from common.config import config
from common.errors import (
    BadRequest,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Problem,
    TooLarge,
    Unavailable,
    empty_frames,
)
from common.keys import decode_id
from common.lazy import passing_errors

T = TypeVar("T")

MAX_JSON_BYTES: Final = 1024 * 1024
GMAIL_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SAFE_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class Who:
    """Who may call a route. ``service`` and ``audience`` name the configuration's fields."""

    kind: str
    permission: str = ""
    service: str = ""
    audience: str = ""


ANYONE: Final = Who("anyone")
USER: Final = Who("user", permission=auth.PERMISSION)
# Who is no longer permitted anything may still see what is held, and end it.
HELD: Final = Who("user")
ADMIN: Final = Who("admin", permission=auth.PERMISSION)
DIRECTORY: Final = Who("user", permission=auth.DIRECTORY_PERMISSION)


def service(account: str, audience: str) -> Who:
    """An internal route: the configuration's fields that hold the one service account and the function's URL."""
    return Who("service", service=account, audience=audience)


@dataclass
class Call:
    """One request on its way: the values of the route's ``{names}``, and the CRM user who calls, where there is one."""

    request: Request
    params: Mapping[str, str] = field(default_factory=dict)
    _caller: auth.Caller | None = None

    @property
    def caller(self) -> auth.Caller:
        if self._caller is None:
            raise LookupError("this route has no caller")
        return self._caller

    @cached_property
    def raw_body(self) -> bytes:
        """The body, at most 1 MiB. Raises TooLarge."""
        return read_body(self.request, MAX_JSON_BYTES)

    def body(self, kind: type[T]) -> T:
        """The JSON body as ``kind``, a msgspec Struct. Raises BadRequest that names the place, never the value."""
        return parse_json(self.raw_body or b"{}", kind)

    def errand(self, kind: type[T]) -> T | None:
        """A task's body; None, and a line in the log, where it cannot be read or is not of the user in the path.

        Such a task is acknowledged, as trying it again would mend nothing.
        """
        try:
            errand = self.body(kind)
            if "id" not in self.params or decode_id(self.params["id"]) == getattr(errand, "user", None):
                return errand
        except (BadRequest, TooLarge, ValueError):
            pass
        log.event("task-poison", severity="WARNING")
        return None

    def query(self, kind: type[T]) -> T:
        """The query as ``kind``, a msgspec Struct. Raises BadRequest that names the place, never the value."""
        try:
            return msgspec.convert(self.request.args.to_dict(), type=kind, strict=False)
        except msgspec.ValidationError as error:
            raise BadRequest("invalid-query", _describe(str(error))) from error


def parse_json(unverified_body: bytes, kind: type[T]) -> T:
    """The JSON as ``kind``, a msgspec Struct. Raises BadRequest that names the place, never the value."""
    try:
        return msgspec.json.decode(unverified_body, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest("invalid-body", _describe(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest("invalid-json", "the body is not JSON in UTF-8") from error


def read_body(request: Request, limit_bytes: int) -> bytes:
    """The whole body. Raises TooLarge beyond ``limit_bytes``, also where no length was declared."""
    if (request.content_length or 0) > limit_bytes:
        raise TooLarge("body-too-large", f"at most {limit_bytes} bytes are taken here")
    body: bytes = request.stream.read(limit_bytes + 1)
    if len(body) > limit_bytes:
        raise TooLarge("body-too-large", f"at most {limit_bytes} bytes are taken here")
    return body


def _describe(validation_text: str) -> str:
    # msgspec may quote the offending value ("Invalid enum value 'x'"); the place and the expectation are enough.
    return re.sub(r"'[^']*'", "…", validation_text)


Handler = Callable[[Call], Response]


@dataclass(frozen=True)
class Wire:
    """What the description tells of a route beyond its types: names of headers, and media types that are not JSON.

    ``takes`` are headers that it reads, ``gives`` those of its answer. ``media`` is the answer's type, ``page`` that of
    a problem which people see, ``body`` the request's.
    """

    takes: tuple[str, ...] = ()
    gives: tuple[str, ...] = ()
    media: str = ""
    page: str = ""
    body: str = ""


FILE: Final = Wire(media="*/*", gives=("Content-Disposition",))


@dataclass(frozen=True)
class Route:
    method: str
    template: str
    who: Who
    handler: Handler
    pattern: re.Pattern[str]
    body: Any = None
    answer: Any = None
    summary: str = ""
    status: int = 200
    query: Any = None
    files: bool = False
    keyed: bool = False
    accepts: bool = False
    problems: tuple[str, ...] = ()
    wire: Wire = Wire()


class App:
    """The routes of one function. Calling it answers a request; it raises nothing.

    ``examples`` are the fields of its Structs as the description shows them.
    """

    def __init__(self, name: str, examples: Mapping[Any, Mapping[str, Any]] | None = None) -> None:
        self.name = name
        self.examples = dict(examples or {})
        self.routes: list[Route] = []
        log.silence_libraries()
        # functions-framework imports the entry point within its application, which answers some paths by itself.
        if flask.has_app_context():
            flask.current_app.register_error_handler(HTTPStatus.NOT_FOUND, self._answer_unrouted)

    def route(
        self,
        method: str,
        template: str,
        who: Who,
        *,
        body: Any = None,
        answer: Any = None,
        status: int = 200,
        query: Any = None,
        files: bool = False,
        keyed: bool = False,
        accepts: bool = False,
        problems: tuple[str, ...] = (),
        wire: Wire | None = None,
    ) -> Callable[[Handler], Handler]:
        """Registers a handler. ``body``, ``answer`` and ``query`` are msgspec types: openapi.yaml comes from them.

        For it alone: ``files`` may come beside the body, as multipart; ``keyed`` requests have an Idempotency-Key; what
        takes longer is answered 202 where it ``accepts``; ``problems`` are its own codes, besides those of its kind.
        """
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template))

        def register(handler: Handler) -> Handler:
            summary = (handler.__doc__ or "").strip().partition("\n")[0]
            described = (body, answer, summary, status, query, files, keyed, accepts, problems, wire or Wire())
            self.routes.append(Route(method, template, who, handler, pattern, *described))
            return handler

        return register

    def __call__(self, request: Request) -> Response:
        started_s = time.monotonic()
        route: Route | None = None
        try:
            if request.method == "OPTIONS":
                response = self._answer_preflight(request)
            else:
                route, params = self._find(request)
                response = route.handler(Call(request, params, authenticate(route.who, request)))
        except Exception as error:  # noqa: BLE001  (the last line of defence)
            response = problem_response(self._told(error, route))
            empty_frames(error)
        _add_headers(request, response)
        self._log(request, route, response, started_s)
        return response

    def _told(self, error: Exception, route: Route | None) -> Problem:
        """What the caller is told of an error; one that no handler foresaw is logged by class and frames alone."""
        if isinstance(error, Problem):
            return error
        passes = isinstance(error, passing_errors())
        log.failure(
            "upstream" if passes else "crash", error, function=self.name, route=route.template if route else None
        )
        return Unavailable() if passes else Problem()

    def _answer_unrouted(self, _error: Exception) -> Response:
        """What never reaches a route, /robots.txt and a path with a line break, is not found as all else is."""
        response = problem_response(NotFound())
        _add_headers(flask.request, response)
        return response

    def _find(self, request: Request) -> tuple[Route, dict[str, str]]:
        allowed: set[str] = set()
        for route in self.routes:
            match = route.pattern.fullmatch(request.path)
            if match and route.method == request.method:
                return route, match.groupdict()
            if match:
                allowed.add(route.method)
        if allowed:
            raise MethodNotAllowed(detail=f"allowed here: {', '.join(sorted(allowed))}", allow=sorted(allowed))
        raise NotFound

    def _answer_preflight(self, request: Request) -> Response:
        methods = sorted({route.method for route in self.routes if route.pattern.fullmatch(request.path)})
        response = Response(status=HTTPStatus.NO_CONTENT)
        if methods and _is_allowed_origin(request):
            response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
            response.headers["Access-Control-Allow-Headers"] = (
                "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Accept-Language"
            )
            response.headers["Access-Control-Max-Age"] = "600"
        return response

    def _log(self, request: Request, route: Route | None, response: Response, started_s: float) -> None:
        log.event(
            "request",
            severity="INFO" if response.status_code < 500 else "ERROR",
            function=self.name,
            method=request.method if request.method in _METHODS else "other",
            route=route.template if route else None,
            status=response.status_code,
            code=response.headers.get("X-Problem-Code"),
            duration_ms=round((time.monotonic() - started_s) * 1000),
        )


_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"})


def authenticate(who: Who, request: Request) -> auth.Caller | None:
    """The CRM user who calls, where there is one. Raises Unauthenticated, Forbidden or Unavailable."""
    if who.kind == "anyone":
        return None
    if who.kind == "service":
        settings = config()
        auth.verify_service(
            request.headers, audience=getattr(settings, who.audience), email=getattr(settings, who.service)
        )
        return None
    caller = auth.verify_caller(request.headers.get("Authorization", ""), permission=who.permission)
    if who.kind == "admin" and not caller.is_admin:
        raise Forbidden("administrators-only")
    return caller


def json_response(value: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON; times become RFC 3339 in UTC."""
    response = Response(msgspec.json.encode(value), status=status, content_type="application/json")
    response.headers.update(headers or {})
    return response


def no_content() -> Response:
    """An answer that says only that it is done."""
    return Response(status=HTTPStatus.NO_CONTENT)


def problem_response(problem: Problem) -> Response:
    """RFC 9457's problem details. ``Retry-After`` (whole seconds, RFC 9110) where a time is known."""
    members: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": int(problem.status),
        "code": problem.code,
        "retryable": problem.retryable,
    }
    if problem.detail:
        members["detail"] = problem.detail
    members.update(problem.members)
    response = Response(msgspec.json.encode(members), status=problem.status, content_type="application/problem+json")
    if problem.retry_at is not None:
        wait_s = math.ceil((problem.retry_at - clock.now()).total_seconds())
        response.headers["Retry-After"] = str(max(wait_s, 1))
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED and isinstance(problem.members.get("allow"), list):
        response.headers["Allow"] = ", ".join(problem.members["allow"])  # type: ignore[arg-type]
    if problem.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    response.headers["X-Problem-Code"] = problem.code
    return response


def _is_allowed_origin(request: Request) -> bool:
    return request.headers.get("Origin", "") in config().allowed_origins


def _add_headers(request: Request, response: Response) -> None:
    for name, value in _SAFE_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.add("Vary", "Origin")
    if _is_allowed_origin(request):
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = "Retry-After, ETag, Content-Disposition"


def verify_gmail_ids(unverified_ids: Iterable[str]) -> list[str]:
    """The ids, if each has the form of one of Gmail's. Raises NotFound: what cannot be an id names nothing."""
    ids = list(unverified_ids)
    if not all(GMAIL_ID.fullmatch(one) for one in ids):
        raise NotFound
    return ids


def verify_crm_id(unverified_id: str) -> str:
    """The id, if it is one that a CRM may use. Raises NotFound."""
    if not auth.is_crm_id(unverified_id):
        raise NotFound
    return unverified_id
