"""A provider of Terraform with the schema of Google's: it plans whatever is given, and computes nothing.

Run as a process with the path of a schema (extract_schema.py). It prints its address, and ends when its input does.
Protocol: https://github.com/hashicorp/terraform/blob/v0.15.0/docs/plugin-protocol/tfplugin5.2.proto
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FIELD = descriptor_pb2.FieldDescriptorProto
KINDS = {
    "bytes": FIELD.TYPE_BYTES, "string": FIELD.TYPE_STRING, "int64": FIELD.TYPE_INT64, "bool": FIELD.TYPE_BOOL,
    "enum": FIELD.TYPE_INT32,
}  # fmt: skip
# The messages as far as they are used: the name, the type and the number of each field. A star: any number of them.
MESSAGES = {
    "DynamicValue": "msgpack:bytes=1 json:bytes=2",
    "Attribute": "name:string=1 type:bytes=2 required:bool=4 optional:bool=5 computed:bool=6",
    "NestedBlock": "type_name:string=1 block:Block=2 nesting:enum=3 min_items:int64=4 max_items:int64=5",
    "Block": "version:int64=1 attributes:Attribute*=2 block_types:NestedBlock*=3",
    "Schema": "version:int64=1 block:Block=2",
    "NamedSchema": "key:string=1 value:Schema=2",
    "Schemas": "provider:Schema=1 resource_schemas:NamedSchema*=2 data_source_schemas:NamedSchema*=3",
    "Config": "config:DynamicValue=1",
    "Typed": "type_name:string=1 config:DynamicValue=2",
    "PlanRequest": "type_name:string=1 prior_state:DynamicValue=2 proposed_new_state:DynamicValue=3",
    "Value": "value:DynamicValue=1",
    "Nothing": "",
}
SINGLE, LIST = 1, 2
# A value that is known after apply.
UNKNOWN = msgspec.msgpack.Ext(0, b"\0")
# The time in the plan of a resource that records one, so that what follows from it can be compared.
UNIX = 1_764_000_000
Answer = Callable[[Any, grpc.ServicerContext], Any]


def _messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="stand_in.proto", package="stand_in", syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split():
            field, rest = text.split(":")
            kind, number = rest.split("=")
            label = FIELD.LABEL_REPEATED if kind.endswith("*") else FIELD.LABEL_OPTIONAL
            made = message.field.add(name=field, number=int(number), label=label)
            kind = kind.rstrip("*")
            made.type = KINDS.get(kind, FIELD.TYPE_MESSAGE)
            if kind not in KINDS:
                made.type_name = f".stand_in.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"stand_in.{name}")) for name in MESSAGES}


M = _messages()


class Provider:
    """The answers to Terraform. schema: as in google_provider_schema.json."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._resources, self._blocks = schema["resources"], schema["blocks"]
        self._computed: Mapping[str, Mapping[str, str]] = schema["computed"]

    def schemas(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The arguments of the provider and of every resource and data source."""
        made = M["Schemas"](provider=M["Schema"](block=self._block({"project": "string", "region": "string"})))
        for kind, arguments in self._resources.items():
            block = self._block(arguments, self._computed.get(kind, {}))
            group = made.data_source_schemas if kind.startswith("data.") else made.resource_schemas
            group.add(key=kind.removeprefix("data."), value=M["Schema"](block=block))
        return made

    def _block(self, arguments: Mapping[str, str], computed: Mapping[str, str] = {}) -> Any:
        block = M["Block"]()
        for name, text in arguments.items():
            required, kind = text.endswith("!"), text.removesuffix("!")
            if "block " not in kind:
                attribute = block.attributes.add(name=name, type=json.dumps(_type(kind)).encode(), required=required)
                attribute.optional, attribute.computed = not required, name == "id"
                continue
            nested = block.block_types.add(type_name=name, nesting=SINGLE if name == "timeouts" else LIST)
            nested.block.CopyFrom(self._block(self._blocks[kind.removeprefix("list(").removesuffix(")").split()[1]]))
            if name != "timeouts":
                nested.min_items, nested.max_items = int(required), 0 if kind.startswith("list(") else 1
        for name, kind in computed.items():
            block.attributes.add(name=name, type=json.dumps(_type(kind)).encode(), computed=True)
        return block

    def plan(self, request: Any, context: grpc.ServicerContext) -> Any:
        """What is proposed, with unknown values for what the service would choose."""
        new = _decoded(request.proposed_new_state)
        if new is not None:
            self._fill(new, request.type_name, lambda name: UNIX if name == "unix" else UNKNOWN)
        return M["Value"](value=_encoded(new))

    def read(self, request: Any, context: grpc.ServicerContext) -> Any:
        """A data source: its values are called after themselves."""
        found = _decoded(request.config)
        self._fill(found, f"data.{request.type_name}", lambda name: f"{request.type_name}.{name}")
        return M["Value"](value=_encoded(found))

    def _fill(self, values: dict[str, Any], kind: str, value_of: Callable[[str], Any]) -> None:
        for name in ("id", *self._computed.get(kind, {})):
            if values.get(name) is None:
                values[name] = value_of(name)


def _type(text: str) -> Any:
    for kind in ("list", "map"):
        if text.startswith(f"{kind}("):
            return [kind, _type(text[len(kind) + 1 : -1])]
    return "dynamic" if text == "any" else text


def _decoded(value: Any) -> Any:
    return msgspec.msgpack.decode(value.msgpack) if value.msgpack else json.loads(value.json)


def _encoded(value: Any) -> Any:
    return M["DynamicValue"](msgpack=msgspec.msgpack.encode(value))


def _handler(answer: Answer, request: str) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(
        answer, M[request].FromString, lambda message: message.SerializeToString()
    )


def _nothing(request: Any, context: grpc.ServicerContext) -> Any:
    return M["Nothing"]()


def main(arguments: Iterable[str]) -> None:
    """Answer until the input ends."""
    (path,) = arguments
    provider = Provider(json.loads(Path(path).read_text()))
    handlers = {
        "GetSchema": _handler(provider.schemas, "Nothing"),
        "PrepareProviderConfig": _handler(lambda request, context: M["Value"](value=request.config), "Config"),
        "PlanResourceChange": _handler(provider.plan, "PlanRequest"),
        "ReadDataSource": _handler(provider.read, "Typed"),
    }
    silent = ("Configure", "Stop", "ValidateResourceTypeConfig", "ValidateDataSourceConfig")
    handlers |= {name: _handler(_nothing, "Nothing") for name in silent}
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin5.Provider", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"127.0.0.1:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main(sys.argv[1:])
