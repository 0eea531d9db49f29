"""ListDocuments and ListCollectionIds: pages by name, with the missing documents that have documents below them."""

from __future__ import annotations

import base64
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from local.firestore import names
from local.firestore.documents import Documents, Scope
from local.firestore.errors import invalid, unimplemented

_DEFAULT_PAGE = 300


class Page(NamedTuple):
    """Names of documents, stored or missing, and the token of the next page; empty on the last."""

    names: list[str]
    next_token: str


def page_of(documents: Documents, request: Any) -> Page:
    """The page of documents that the request asks for. Raises INVALID_ARGUMENT for a broken token."""
    names.verify_parent(request.parent)
    names.verify_collection_id(request.collection_id)
    if request.order_by not in ("", "__name__", "__name__ asc"):
        raise unimplemented("listing in another order than by name")
    collection = f"{request.parent}/{request.collection_id}"
    found = set(documents.members(Scope(collection, group=False)))
    if request.show_missing:
        below = documents.collections_below(collection)
        found |= {f"{collection}/{path[len(collection) + 1 :].split('/', 1)[0]}" for path in below}
    return Page(*_page(sorted(found, key=names.sort_key), request))


def collection_ids(documents: Documents, request: Any) -> tuple[list[str], str]:
    """Ids of the collections directly below the parent, and the token of the next page."""
    names.verify_parent(request.parent)
    below = documents.collections_below(request.parent)
    return _page(sorted({path[len(request.parent) + 1 :].split("/", 1)[0] for path in below}), request)


def _page(ordered: Sequence[str], request: Any) -> tuple[list[str], str]:
    size = request.page_size or _DEFAULT_PAGE
    if size < 0:
        raise invalid("page_size is negative")
    start = bisect_right(ordered, names.sort_key(_last_seen(request.page_token)), key=names.sort_key)
    page = list(ordered[start : start + size])
    more = start + size < len(ordered)
    return page, base64.urlsafe_b64encode(page[-1].encode()).decode() if more else ""


def _last_seen(unverified_token: str) -> str:
    try:
        return base64.urlsafe_b64decode(unverified_token.encode()).decode()
    except ValueError as error:
        raise invalid("Invalid page token.") from error
