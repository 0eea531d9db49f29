"""Runs parsed queries over the documents: candidates from a sorted index, then filter, order, cursors, offset, limit.

Callers hold the documents' lock.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from local.firestore.conditions import CONTAINS, EQUALITIES, RANGES, Condition, Conjunction
from local.firestore.documents import Document, Documents, Entry, IndexName
from local.firestore.plans import Cursor, Query
from local.firestore.values import Key


@dataclass(frozen=True)
class Answer:
    """The documents found, and how many were skipped by the offset (they are billed too)."""

    found: list[Document]
    skipped: int


def run(documents: Documents, query: Query) -> Answer:
    """The query's answer, in its order."""
    ordered = _walked(documents, query)
    if ordered is None:
        candidates = {doc.name: doc for one in query.disjuncts for doc in _candidates(documents, query, one)}
        ordered = iter(_sorted(_matching(query, candidates.values()), query))
    skipped = sum(1 for _ in islice(ordered, query.offset))
    return Answer(list(islice(ordered, query.limit)), skipped)


def _walked(documents: Documents, query: Query) -> Iterator[Document] | None:
    """The answer read off one index in its own order, where that is the query's; None where it is not."""
    first = query.orders[0]
    by_name = len(query.orders) == 1
    if len(query.disjuncts) > 1 or len(query.orders) > 2 or query.orders[-1].descending != first.descending:
        return None
    if any(one.operator in EQUALITIES | CONTAINS for one in query.disjuncts[0]):
        return None
    entries = documents.index(query.scope, IndexName(first.path))
    slices = [_slice(entries, one) for one in query.disjuncts[0] if one.path == first.path and one.operator in RANGES]
    low = max((one[0] for one in slices), default=0)
    high = min((one[1] for one in slices), default=len(entries))
    low, high = _between(entries, query, by_name=by_name, low=low, high=high)
    positions: Iterable[int] = range(high - 1, low - 1, -1) if first.descending else range(low, high)
    return _matching(query, (entries[position][2] for position in positions))


def _between(entries: list[Entry], query: Query, *, by_name: bool, low: int, high: int) -> tuple[int, int]:
    """Narrows the slice by the cursors."""
    descending = query.orders[0].descending
    for cursor, is_start in ((query.start, True), (query.end, False)):
        if cursor is None or not cursor.keys:
            continue
        position = _position(entries, cursor, by_name=by_name, at_end=cursor.before == descending)
        if is_start != descending:
            low = max(low, position)
        else:
            high = min(high, position)
    return low, high


def _position(entries: list[Entry], cursor: Cursor, *, by_name: bool, at_end: bool) -> int:
    wanted: tuple[Any, ...] = cursor.keys
    if len(wanted) == 2:
        wanted = (wanted[0], wanted[1][1])  # the name's key without its rank, as entries hold it
    width = 1 if by_name else len(wanted)
    find = bisect_right if at_end else bisect_left
    heads: Any = entries  # bisect compares the first parts of entries only
    return find(heads, wanted[:width], key=lambda entry: entry[:width])


def _candidates(documents: Documents, query: Query, conjunction: Conjunction) -> Iterator[Document]:
    """Documents among which all that meet the conjunction are: by its most selective condition with an index."""
    best: list[tuple[list[Entry], int, int]] | None = None
    for condition in conjunction:
        slices = _slices(documents, query, condition)
        if slices is not None and (best is None or _length(slices) < _length(best)):
            best = slices
    if best is None:
        return iter(documents.members(query.scope).values())
    return (entries[position][2] for entries, low, high in best for position in range(low, high))


def _slices(documents: Documents, query: Query, condition: Condition) -> list[tuple[list[Entry], int, int]] | None:
    if condition.operator in EQUALITIES | CONTAINS:
        entries = documents.index(query.scope, IndexName(condition.path, condition.operator in CONTAINS))
        return [(entries, *_span(entries, key)) for key in set(condition.keys)]
    if condition.operator in RANGES:
        entries = documents.index(query.scope, IndexName(condition.path))
        return [(entries, *_slice(entries, condition))]
    return None


def _length(slices: list[tuple[list[Entry], int, int]]) -> int:
    return sum(high - low for _, low, high in slices)


def _span(entries: list[Entry], key: Key) -> tuple[int, int]:
    return bisect_left(entries, key, key=_key_of), bisect_right(entries, key, key=_key_of)


def _slice(entries: list[Entry], condition: Condition) -> tuple[int, int]:
    """The positions of the values that a range condition allows: of its operand's type only."""
    (bound,) = condition.keys
    low, high = bisect_left(entries, bound[:1], key=_key_of), bisect_left(entries, (bound[0] + 1,), key=_key_of)
    match condition.operator:
        case "LESS_THAN":
            high = bisect_left(entries, bound, key=_key_of)
        case "LESS_THAN_OR_EQUAL":
            high = bisect_right(entries, bound, key=_key_of)
        case "GREATER_THAN":
            low = bisect_right(entries, bound, key=_key_of)
        case _:
            low = bisect_left(entries, bound, key=_key_of)
    return low, high


def _key_of(entry: Entry) -> Key:
    return entry[0]


def _matching(query: Query, candidates: Iterable[Document]) -> Iterator[Document]:
    paths = [order.path for order in query.orders]
    for document in candidates:
        if query.scope.group and not document.name.startswith(query.within):
            continue
        if any(document.key(path) is None for path in paths):
            continue
        if any(all(one.holds(document) for one in conjunction) for conjunction in query.disjuncts):
            yield document


def _sorted(found: Iterable[Document], query: Query) -> list[Document]:
    ordered = [document for document in found if _inside(document, query)]
    for order in reversed(query.orders):
        ordered.sort(key=lambda document, path=order.path: document.key(path) or (), reverse=order.descending)  # type: ignore[misc]
    return ordered


def _inside(document: Document, query: Query) -> bool:
    if query.start is not None and query.start.keys:
        side = query.start.side(document, query.orders)
        if side < 0 or (side == 0 and not query.start.before):
            return False
    if query.end is not None and query.end.keys:
        side = query.end.side(document, query.orders)
        if side > 0 or (side == 0 and query.end.before):
            return False
    return True
