"""Queries as plain data: what a StructuredQuery means, the orders that Firestore adds, and its needs of indexes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from google.cloud.firestore_v1.types import query

from local.firestore import names, values
from local.firestore.conditions import CONTAINS, EQUALITIES, Conjunction, parse_filter
from local.firestore.documents import Document, Scope, group_of
from local.firestore.errors import invalid, unimplemented
from local.firestore.fields import NAME, FieldPath, parse_path
from local.firestore.indexes import ASCENDING, DESCENDING, IndexField, Needs
from local.firestore.values import Key

_DESCENDING = query.StructuredQuery.Direction.DESCENDING


@dataclass(frozen=True)
class Order:
    """One field to order by."""

    path: FieldPath
    descending: bool


@dataclass(frozen=True)
class Cursor:
    """A position in the order: keys for the first orders; ``before`` as google.firestore.v1.Cursor has it."""

    keys: tuple[Key, ...]
    before: bool

    def side(self, document: Document, orders: tuple[Order, ...]) -> int:
        """Negative where the document comes before the position, zero at it, positive after it."""
        for key, order in zip(self.keys, orders, strict=False):
            own = document.key(order.path)
            if own is not None and own != key:
                return -1 if (own < key) != order.descending else 1
        return 0


@dataclass(frozen=True)
class Query:
    """A parsed query. ``orders`` are complete and end with the name; ``within`` is the prefix that bounds a group."""

    scope: Scope
    within: str
    disjuncts: tuple[Conjunction, ...]
    orders: tuple[Order, ...]
    start: Cursor | None
    end: Cursor | None
    offset: int
    limit: int | None
    projection: tuple[FieldPath, ...] | None
    names_itself: bool  # the query orders by the name in so many words

    def summing(self, paths: tuple[FieldPath, ...]) -> Query:
        """The query that an aggregation of these fields runs: it reads them off the index, so they order it too.

        Raises INVALID_ARGUMENT where the name orders or bounds the query: no index has fields after the name.
        """
        missing = [path for path in paths if path not in {one.path for one in self.orders}]
        if missing and (self.names_itself or any(one.path == NAME for part in self.disjuncts for one in part)):
            raise invalid("This query requires an index that has fields after __name__.")
        *before, name = self.orders
        return replace(self, orders=(*before, *(Order(path, name.descending) for path in missing), name))

    def needs(self) -> tuple[Needs, ...]:
        """What each disjunct needs of the indexes."""
        return tuple(self._needs(conjunction) for conjunction in self.disjuncts)

    def _needs(self, conjunction: Conjunction) -> Needs:
        equal = frozenset(one.path for one in conjunction if one.operator in EQUALITIES and one.path != NAME)
        contains = frozenset(one.path for one in conjunction if one.operator in CONTAINS)
        sort = [one for one in self.orders if one.path not in equal]
        fields = tuple(IndexField(one.path, DESCENDING if one.descending else ASCENDING) for one in sort)
        return Needs(self.scope, equal, contains, fields)


def parse_query(parent: str, raw: Any) -> Query:
    """The query below ``parent``. Raises INVALID_ARGUMENT or, for what the store never asks, UNIMPLEMENTED."""
    names.verify_parent(parent)
    if raw.HasField("find_nearest"):
        raise unimplemented("vector search")
    disjuncts = parse_filter(raw.where)
    orders = _parse_orders(raw, disjuncts)
    limit = raw.limit.value if raw.HasField("limit") else None
    if raw.offset < 0 or (limit is not None and limit < 0):
        raise invalid("limit or offset is negative")
    return Query(
        scope=_parse_scope(parent, raw),
        within=parent + "/",
        disjuncts=disjuncts,
        orders=orders,
        start=_parse_cursor(raw, "start_at", orders),
        end=_parse_cursor(raw, "end_at", orders),
        offset=raw.offset,
        limit=limit,
        projection=_parse_projection(raw),
        names_itself=any(parse_path(one.field.field_path) == NAME for one in raw.order_by),
    )


def _parse_scope(parent: str, raw: Any) -> Scope:
    selectors = raw.from_
    if len(selectors) != 1:
        raise unimplemented("queries over no or several collections")
    if not selectors[0].collection_id:
        raise unimplemented("queries over all collections")
    names.verify_collection_id(selectors[0].collection_id)
    if selectors[0].all_descendants:
        return group_of(names.root_of(parent), selectors[0].collection_id)
    return Scope(f"{parent}/{selectors[0].collection_id}", group=False)


def _parse_orders(raw: Any, disjuncts: tuple[Conjunction, ...]) -> tuple[Order, ...]:
    orders: list[Order] = []
    for one in raw.order_by:
        order = Order(parse_path(one.field.field_path), one.direction == _DESCENDING)
        if order.path in {known.path for known in orders}:
            raise invalid("A query orders by a field once.")
        orders.append(order)
    # Documented at StructuredQuery.order_by: inequality fields follow by their paths, then the name, all in the last
    # direction.
    descending = bool(orders) and orders[-1].descending
    unequal = {one.path for conjunction in disjuncts for one in conjunction if one.is_inequality}
    known = {one.path for one in orders} | {NAME}
    orders.extend(Order(path, descending) for path in sorted(unequal - known))
    if NAME in {one.path for one in orders[:-1]}:
        raise invalid("order by clause cannot contain more fields after the key")
    return tuple(orders) if orders and orders[-1].path == NAME else (*orders, Order(NAME, descending))


def _parse_cursor(raw: Any, kind: str, orders: tuple[Order, ...]) -> Cursor | None:
    if not raw.HasField(kind):
        return None
    cursor = getattr(raw, kind)
    if len(cursor.values) > len(raw.order_by):  # the orders that Firestore adds do not count
        raise invalid("Cursor has too many values.")
    for value, order in zip(cursor.values, orders, strict=False):
        values.normalise(value)
        if order.path == NAME and value.WhichOneof("value_type") != "reference_value":
            raise invalid("The cursor's value for __name__ must be a reference.")
    return Cursor(tuple(values.sort_key(value) for value in cursor.values), cursor.before)


def _parse_projection(raw: Any) -> tuple[FieldPath, ...] | None:
    if not raw.HasField("select"):
        return None
    return tuple(path for one in raw.select.fields if (path := parse_path(one.field_path)) != NAME)
