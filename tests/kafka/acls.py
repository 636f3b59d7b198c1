"""What a user may do: CreateAcls (version 1) and DeleteAcls, which aiokafka's admin client does not send."""

from __future__ import annotations

from typing import Any

from aiokafka.errors import for_code
from aiokafka.protocol.admin import DeleteAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int8, Int16, Int32, Schema, String

from tests.kafka.admin import admin_of

RESOURCES = {"topic": 2, "group": 3, "cluster": 4, "transactional_id": 5}
OPERATIONS = {"read": 3, "write": 4, "create": 5, "delete": 6, "alter": 7, "describe": 8, "describe_configs": 10}
_LITERAL, _PREFIXED, _ALLOW = 3, 4, 3
_ANY_OPERATION = 1


class _Answer(Response):
    API_KEY = 30
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("results", Array(("error_code", Int16), ("error_message", String("utf-8")))),
    )


class _Question(RequestStruct):
    API_KEY = 30
    API_VERSION = 1
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "creations",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                ("resource_pattern_type", Int8),
                ("principal", String("utf-8")),
                ("host", String("utf-8")),
                ("operation", Int8),
                ("permission_type", Int8),
            ),
        ),
    )


class _CreateAcls(Request[_Question]):
    API_KEY = 30

    def __init__(self, rules: list[tuple[Any, ...]]) -> None:
        self._rules = rules

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class(self._rules)


async def allow(bootstrap: str, principal: str, resource: str, name: str, *operations: str) -> None:
    """Let `principal` ("User:alice", "User:CN=member") do `operations` with one resource, or with all whose names begin
    so when `name` ends with an asterisk. `bootstrap`: a listener without users. In force a moment later."""
    pattern = _PREFIXED if name.endswith("*") else _LITERAL
    rules = [
        (RESOURCES[resource], name.removesuffix("*"), pattern, principal, "*", OPERATIONS[operation], _ALLOW)
        for operation in operations
    ]
    async with admin_of(bootstrap) as admin:
        for code, message in (await admin._send_to_controller(_CreateAcls(rules))).results:
            if code:
                raise for_code(code)(message)


async def take_away(bootstrap: str, principal: str, resource: str, name: str) -> None:
    """Take back all that `allow` gave to `principal` for this one resource."""
    rule = DeleteAclsRequest(RESOURCES[resource], name, _LITERAL, principal, "*", _ANY_OPERATION, _ALLOW)
    async with admin_of(bootstrap) as admin:
        for code, message, taken in (await admin._send_to_controller(rule)).filter_responses:
            if code:
                raise for_code(code)(message)
            assert taken, "there was no such right"
