"""Owns what can go wrong, as the caller of a route is told it. Imports nothing of the project.

    Problem                      an RFC 9457 answer: status, code, retryable
    ├── BadRequest               400  the request itself is wrong
    ├── Unauthenticated          401  no valid token
    ├── Forbidden                403  a valid token that may not do this
    ├── NotFound                 404  not there, or not for this caller: never told apart
    ├── Conflict                 409  the state forbids it, or somebody else was faster
    ├── PreconditionFailed       412  what the caller has read is not what there is any more
    ├── TooLarge                 413  the body is above a limit
    ├── Unprocessable            422  well-formed, but not acceptable
    ├── RateLimited              429  Gmail's or our own budget is used up, until ``retry_at``
    ├── ReauthRequired           409  Google takes this connection's grant no more
    └── Unavailable              503  trouble that will pass

None of their texts may ever hold anything of a mail, a token or an address.
"""

from __future__ import annotations

import inspect
import traceback
from datetime import datetime
from http import HTTPStatus
from types import FrameType
from typing import Final

# Emptying one that may go on would end it.
_IS_RESUMABLE: Final = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def empty_frames(error: BaseException) -> None:
    """Lets go of what the functions held that an error has ended, whole mails too.

    An error that one of them knows by name would keep all of them until the garbage collector comes by.
    """
    known: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in known:
        known.add(id(link))
        for frame, _line in traceback.walk_tb(link.__traceback__):
            _empty(frame)
        link = link.__cause__ or link.__context__


def _empty(frame: FrameType | None) -> None:
    # Interceptors of gRPC know the error, too, and only their callees are in the traceback.
    while frame is not None and not frame.f_code.co_flags & _IS_RESUMABLE:
        try:
            frame.clear()
        except RuntimeError:
            # It is still running, and so are its callers.
            return
        frame = frame.f_back


class Problem(Exception):
    """An error with a stable, kebab-case ``code``; ``retry_at`` is when to try again, where that is known."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal-error"
    retryable = False

    def __init__(
        self,
        code: str | None = None,
        detail: str = "",
        *,
        retry_at: datetime | None = None,
        **members: str | int | bool | list[str],
    ) -> None:
        self.code = code or type(self).code
        super().__init__(self.code)
        self.detail = detail
        self.retry_at = retry_at
        self.members = members


class BadRequest(Problem):
    status = HTTPStatus.BAD_REQUEST
    code = "bad-request"


class Unauthenticated(Problem):
    status = HTTPStatus.UNAUTHORIZED
    code = "invalid-token"


class Forbidden(Problem):
    status = HTTPStatus.FORBIDDEN
    code = "forbidden"


class NotFound(Problem):
    status = HTTPStatus.NOT_FOUND
    code = "not-found"


class MethodNotAllowed(Problem):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method-not-allowed"


class Conflict(Problem):
    status = HTTPStatus.CONFLICT
    code = "conflict"


class RetryableConflict(Conflict):
    retryable = True


class PreconditionFailed(Problem):
    status = HTTPStatus.PRECONDITION_FAILED
    code = "changed-meanwhile"


class TooLarge(Problem):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "too-large"


class Unprocessable(Problem):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "unprocessable"


class RateLimited(Problem):
    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "rate-limited"
    retryable = True


class ReauthRequired(Problem):
    status = HTTPStatus.CONFLICT
    code = "reauth-required"


class Unavailable(Problem):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "temporarily-unavailable"
    retryable = True
