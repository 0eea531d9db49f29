"""What a request writes, in names alone: documents' paths and their fields' names, never a value. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from google.cloud.firestore_v1.types import write

from local.firestore import names
from local.firestore.fields import parse_path
from local.firestore.writes import target_of

_Write: Any = write.Write.pb()


class Written(NamedTuple):
    """One document that a request wrote. ``fields`` are the names at its top, sorted; none for a delete."""

    operation: Literal["create", "set", "update", "delete"]
    path: str
    fields: tuple[str, ...] = ()


def parse_written(method: str, request: Any) -> list[Written]:
    """The documents of a request that has succeeded; none for one that only reads."""
    return [_written(one) for one in _writes(method, request)]


def _writes(method: str, request: Any) -> Iterator[Any]:
    match method:
        case "Commit" | "BatchWrite":
            yield from request.writes
        case "CreateDocument":
            # The name that was made up stands in the answer alone.
            made = _Write()
            made.update.CopyFrom(request.document)
            made.update.name = f"{request.parent}/{request.collection_id}/{request.document_id or 'new'}"
            made.current_document.exists = False
            yield made
        case "UpdateDocument":
            made = _Write(update=request.document)
            if request.HasField("update_mask"):
                made.update_mask.CopyFrom(request.update_mask)
            yield made
        case "DeleteDocument":
            yield _Write(delete=request.name)


def _written(one: Any) -> Written:
    path = names.path_of(target_of(one))
    if one.WhichOneof("operation") == "delete":
        return Written("delete", path)
    transforms = one.transform.field_transforms if one.WhichOneof("operation") == "transform" else one.update_transforms
    changed = {parse_path(transform.field_path)[0] for transform in transforms}
    if one.HasField("update_mask"):
        changed |= {parse_path(text)[0] for text in one.update_mask.field_paths}
    elif one.WhichOneof("operation") == "update":
        changed |= set(one.update.fields)
    return Written(_operation(one), path, tuple(sorted(changed)))


def _operation(one: Any) -> Literal["create", "set", "update"]:
    if one.current_document.WhichOneof("condition_type") == "exists" and not one.current_document.exists:
        return "create"
    return "update" if one.HasField("update_mask") or one.WhichOneof("operation") == "transform" else "set"
