"""What a commit does to documents: preconditions, masks, replacements, transforms, deletes.

``plan_writes`` is pure: it reads the store and says what would be stored; the caller stores it. Nothing is half done.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.cloud.firestore_v1.types import document, write

from local.firestore import names, values
from local.firestore.documents import Document, Documents
from local.firestore.errors import FirestoreError, invalid
from local.firestore.fields import FieldPath, parse_path, remove_field, set_field, value_at
from local.firestore.indexes import MAX_INDEX_ENTRIES, IndexList
from local.firestore.transforms import transform

_Document: Any = document.Document.pb()
_WriteResult: Any = write.WriteResult.pb()

MAX_TRANSFORMS = 500


@dataclass
class Plan:
    """What a commit will store (None: delete), the results of its writes, and their count."""

    changes: dict[str, Any] = field(default_factory=dict)
    results: list[Any] = field(default_factory=list)
    written: int = 0
    deleted: int = 0
    transformed: dict[str, int] = field(default_factory=dict)
    required: dict[str, int | None] = field(default_factory=dict)


def plan_writes(documents: Documents, writes: Iterable[Any], commit_time: Any, indexes: IndexList) -> Plan:
    """The plan of all the writes, in order, each seeing those before it. Raises as the first that fails does."""
    plan = Plan()
    targets: list[str] = []
    for one in writes:
        targets.append(_plan_write(plan, documents, one, commit_time))
    for name in plan.changes:
        _settle(plan, documents.get(name), name, commit_time, indexes)
    for name, result in zip(targets, plan.results, strict=True):
        # Documented: not set after a delete; the former one where nothing changed.
        if plan.changes[name] is not None:
            result.update_time.CopyFrom(plan.changes[name].update_time)
    return plan


def target_of(one: Any) -> str:
    """The name of the document that the write is about. Raises INVALID_ARGUMENT for an empty or bad one."""
    match one.WhichOneof("operation"):
        case "update":
            name = one.update.name
        case "delete":
            name = one.delete
        case "transform":
            name = one.transform.document
        case _:
            raise invalid("empty write operation")
    names.verify_document(name)
    return str(name)


def _plan_write(plan: Plan, documents: Documents, one: Any, commit_time: Any) -> str:
    name = target_of(one)
    stored = documents.get(name)
    current = plan.changes.get(name, stored and stored.message)
    _verify_existence(one.current_document, name, current, changed=name in plan.changes)
    _verify_version(plan, one, name, stored)
    result = _WriteResult()
    if one.WhichOneof("operation") == "delete":
        plan.changes[name] = None
        plan.deleted += 1
    else:
        new = _updated(one, current)
        _transform(plan, new, one, commit_time, result)
        plan.changes[name] = new
        plan.written += 1
    plan.results.append(result)
    return name


def _verify_existence(precondition: Any, name: str, current: Any, *, changed: bool) -> None:
    if precondition.WhichOneof("condition_type") != "exists" or precondition.exists == (current is not None):
        return
    if changed:
        done, wanted = ("delete", "update") if precondition.exists else ("update", "insert")
        raise invalid(f"Cannot {done} then {wanted} an entity in the same request.")
    if precondition.exists:
        raise FirestoreError(grpc.StatusCode.NOT_FOUND, f"No document to update: {name}")
    raise FirestoreError(grpc.StatusCode.ALREADY_EXISTS, f"Document already exists: {name}")


def _verify_version(plan: Plan, one: Any, name: str, stored: Document | None) -> None:
    required = None
    if one.current_document.WhichOneof("condition_type") == "update_time":
        required = one.current_document.update_time.ToMicroseconds()
    if plan.required.setdefault(name, required) != required:
        raise invalid("Cannot collapse mutations with different version preconditions.")
    version = stored.version if stored else 0
    if required not in (None, version):
        raise FirestoreError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"the stored version ({version}) does not match the required base version ({required})",
        )


def _updated(one: Any, current: Any) -> Any:
    new = _Document(name=target_of(one))
    if one.WhichOneof("operation") == "transform" or one.HasField("update_mask"):
        if current is not None:
            new.CopyFrom(current)
    elif current is not None:
        new.create_time.CopyFrom(current.create_time)
    if one.WhichOneof("operation") == "transform":
        return new
    if not one.HasField("update_mask"):
        new.fields.MergeFrom(one.update.fields)
        return new
    for path in (parse_path(text) for text in one.update_mask.field_paths):
        value = value_at(one.update.fields, path)
        if value is None:
            remove_field(new.fields, path)
        else:
            set_field(new.fields, path, value)
    return new


def _transform(plan: Plan, new: Any, one: Any, commit_time: Any, result: Any) -> None:
    transforms = one.transform.field_transforms if one.WhichOneof("operation") == "transform" else one.update_transforms
    plan.transformed[new.name] = plan.transformed.get(new.name, 0) + len(transforms)
    if plan.transformed[new.name] > MAX_TRANSFORMS:
        raise invalid(f"At most {MAX_TRANSFORMS} field transformations are allowed on a document in a commit.")
    _verify_apart([parse_path(one.field_path) for one in transforms])
    for field_transform in transforms:
        result.transform_results.append(transform(new.fields, field_transform, commit_time))


def _verify_apart(paths: list[FieldPath]) -> None:
    for path in paths:
        if any(path[:length] in paths for length in range(1, len(path))):
            raise invalid("Cannot transform a property and its nested property at the same time.")


def _settle(plan: Plan, stored: Document | None, name: str, commit_time: Any, indexes: IndexList) -> None:
    new = plan.changes[name]
    if new is None:
        return
    values.normalise_fields(new.fields)
    if stored is not None and new.fields == stored.message.fields:
        plan.changes[name] = stored.message  # documented: a write that changes nothing leaves the update time
        return
    values.verify_size(new)
    if indexes.entry_count(Document(new)) > MAX_INDEX_ENTRIES:
        raise invalid(f"too many index entries for a document: more than {MAX_INDEX_ENTRIES}")
    if not new.HasField("create_time"):
        new.create_time.CopyFrom(commit_time)
    new.update_time.CopyFrom(commit_time)
