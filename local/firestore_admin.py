"""Firestore's administration, as far as it lists composite indexes (google.firestore.admin.v1).

Owns nothing: the indexes are those that the embedded Firestore enforces, all of them built. May import no other
stand-in.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.firestore_admin_v1 import types

from local.paging import page_of
from local.rpc import Method, RpcServer, refuse

if TYPE_CHECKING:
    from local.faults import Faults
    from local.ledger import Ledger

_PARENT = re.compile(r"(projects/[^/]+/databases/[^/]+)/collectionGroups/([^/]+)")


class FirestoreAdmin:
    """The running service; ``address`` is for ``grpc.insecure_channel``. ``missing`` takes indexes away, by place."""

    def __init__(self, indexes: Path, ledger: Ledger, faults: Faults) -> None:
        self._indexes = json.loads(indexes.read_text())["indexes"]
        self.missing: set[int] = set()
        self._server = RpcServer(
            "google.firestore.admin.v1.FirestoreAdmin",
            {"ListIndexes": Method(types.ListIndexesRequest, self._list)},
            ledger=ledger,
            ledger_service="firestoreadmin",
            faults=faults,
            max_workers=2,
        )
        self.address = self._server.address

    def stop(self) -> None:
        self._server.stop()

    def _list(self, request: types.ListIndexesRequest) -> types.ListIndexesResponse:
        parent = _PARENT.fullmatch(request.parent)
        if parent is None or request.filter:
            refuse(grpc.StatusCode.INVALID_ARGUMENT, "The parent or the filter is not part of this stand-in.")
        found = [
            _as_proto(declared, parent[1], number)
            for number, declared in enumerate(self._indexes)
            # "-" is any collection group.
            if number not in self.missing and parent[2] in ("-", declared["collectionGroup"])
        ]
        page, token = page_of(found, request.page_token, request.page_size, largest=100)
        return types.ListIndexesResponse(indexes=page, next_page_token=token)


def _as_proto(declared: dict[str, object], database: str, number: int) -> types.Index:
    fields = [dict(one) for one in declared["fields"]]  # type: ignore[attr-defined]
    # Google names the tie-breaker, too, in the direction of the last field.
    fields.append({"fieldPath": "__name__", "order": fields[-1].get("order", "ASCENDING")})
    # The stubs know these enums as classes without members by name.
    scopes: Any = types.Index.QueryScope
    orders: Any = types.Index.IndexField.Order
    return types.Index(
        name=f"{database}/collectionGroups/{declared['collectionGroup']}/indexes/CI{number:04d}",
        query_scope=scopes[str(declared["queryScope"])],
        fields=[types.Index.IndexField(field_path=one["fieldPath"], order=orders[one["order"]]) for one in fields],
        state=types.Index.State.READY,
    )
