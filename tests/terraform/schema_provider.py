"""Terraform providers that are nothing but a schema: enough for ``terraform validate`` and ``terraform test``, offline.

Owns the way from a recorded ``terraform providers schema -json`` to plugin protocol 6. Types, names and required
arguments are checked by Terraform itself against the schema; what descriptions call possible values is checked here.

    python -m tests.terraform.schema_provider SCHEMA_JSON COMMAND…

runs a command with the providers in its environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any, Final

import grpc
import msgpack
from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc

Json = Mapping[str, Any]

_POSSIBLE: Final = re.compile(r"Possible values: (\[[^\]]*\])")
_MESSAGE_BYTES: Final = 64 * 1024 * 1024


class SchemaProvider(rpc.ProviderServicer):  # type: ignore[misc]
    """Serves the schema of one provider. It plans and applies nothing: tests put ``mock_provider`` in front of it."""

    def __init__(self, schema: Json) -> None:
        self._schema = schema
        # Terraform asks for it anew for each run of a test.
        self._answer = pb.GetProviderSchema.Response(
            provider=_schema(schema["provider"]),
            resource_schemas={name: _schema(one) for name, one in schema["resource_schemas"].items()},
            data_source_schemas={name: _schema(one) for name, one in schema["data_source_schemas"].items()},
            server_capabilities=pb.ServerCapabilities(get_provider_schema_optional=True),
        )

    def GetMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the whole schema is asked for instead")

    def GetProviderSchema(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return self._answer

    def ValidateProviderConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return pb.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        found = self._diagnose(self._schema["resource_schemas"][request.type_name], request.config)
        return pb.ValidateResourceConfig.Response(diagnostics=found)

    def ValidateDataResourceConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        found = self._diagnose(self._schema["data_source_schemas"][request.type_name], request.config)
        return pb.ValidateDataResourceConfig.Response(diagnostics=found)

    def StopProvider(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        return pb.StopProvider.Response()

    @staticmethod
    def _diagnose(schema: Json, config: Any) -> list[Any]:
        # What is not known yet comes as an extension type, which is never a string.
        values = msgpack.unpackb(config.msgpack, strict_map_key=False)
        return [
            pb.Diagnostic(severity=pb.Diagnostic.ERROR, summary="not a possible value", detail=text)
            for text in _impossible(schema["block"], values, "")
        ]


def _impossible(block: Json, values: Any, path: str) -> Iterator[str]:
    if not isinstance(values, dict):
        return
    for name, attribute in block.get("attributes", {}).items():
        found = _POSSIBLE.search(attribute.get("description", ""))
        value = values.get(name)
        if found and isinstance(value, str) and value not in json.loads(found.group(1)):
            yield f"{path}{name} is {value!r}, which is none of {found.group(1)}"
    for name, nested in block.get("block_types", {}).items():
        inner = values.get(name)
        for one in inner if isinstance(inner, list) else [inner]:
            yield from _impossible(nested["block"], one, f"{path}{name}.")


def _schema(recorded: Json) -> Any:
    return pb.Schema(version=recorded.get("version", 0), block=_block(recorded["block"]))


def _block(recorded: Json) -> Any:
    return pb.Schema.Block(
        attributes=[_attribute(name, one) for name, one in recorded.get("attributes", {}).items()],
        block_types=[_nested(name, one) for name, one in recorded.get("block_types", {}).items()],
        deprecated=recorded.get("deprecated", False),
    )


def _attribute(name: str, recorded: Json) -> Any:
    flags = {key: recorded.get(key, False) for key in ("required", "optional", "computed", "sensitive", "deprecated")}
    if "nested_type" in recorded:
        nested = recorded["nested_type"]
        shape = pb.Schema.Object(
            attributes=[_attribute(inner, one) for inner, one in nested["attributes"].items()],
            nesting=pb.Schema.Object.NestingMode.Value(nested["nesting_mode"].upper()),
        )
        return pb.Schema.Attribute(name=name, nested_type=shape, **flags)
    return pb.Schema.Attribute(name=name, type=json.dumps(recorded["type"]).encode(), **flags)


def _nested(name: str, recorded: Json) -> Any:
    return pb.Schema.NestedBlock(
        type_name=name,
        block=_block(recorded["block"]),
        nesting=pb.Schema.NestedBlock.NestingMode.Value(recorded["nesting_mode"].upper()),
        min_items=recorded.get("min_items", 0),
        # Of single blocks Terraform refuses limits.
        max_items=recorded.get("max_items", 0) if recorded["nesting_mode"] in ("list", "set") else 0,
    )


@contextlib.contextmanager
def serve(schema_file: Path) -> Iterator[dict[str, str]]:
    """Serves each provider of a recorded schema on a socket of its own; yields the environment that Terraform needs."""
    recorded = json.loads(schema_file.read_text())["provider_schemas"]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        attached = {}
        for source, schema in recorded.items():
            address = f"{folder}/{source.rpartition('/')[2]}.sock"
            server = grpc.server(
                futures.ThreadPoolExecutor(4), options=[("grpc.max_send_message_length", _MESSAGE_BYTES)]
            )
            rpc.add_ProviderServicer_to_server(SchemaProvider(schema), server)
            server.add_insecure_port(f"unix:{address}")
            server.start()
            stack.callback(server.stop, None)
            attached[source] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,
                "Addr": {"Network": "unix", "String": address},
            }
        yield {"TF_REATTACH_PROVIDERS": json.dumps(attached), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}


def main() -> int:
    """Runs the command that the arguments hold. Returns its exit code."""
    schema_file, *command = sys.argv[1:]
    with serve(Path(schema_file)) as environment:
        return subprocess.run(command, env=os.environ | environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
