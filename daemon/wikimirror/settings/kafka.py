"""What a source says that reads topics of a Kafka cluster: whom it asks, what it reads, how it shows who it is."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from wikimirror.settings import values
from wikimirror.settings.base import (
    DAY,
    HOUR,
    MIB,
    MILLISECOND,
    MINUTE,
    SECOND,
    Duration,
    OnGap,
    RecordBytes,
    Section,
    Start,
)
from wikimirror.settings.kafka_rules import RULES

Dialect = Literal["page_change", "visibility_change"]
SecurityProtocol = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]

_Topic = Annotated[str, AfterValidator(values.check_topic)]
_Topics = Annotated[tuple[_Topic, ...], BeforeValidator(values.parse_list), AfterValidator(values.check_each_once)]
_Servers = Annotated[
    tuple[Annotated[str, AfterValidator(values.check_server)], ...],
    BeforeValidator(values.parse_list),
    AfterValidator(values.check_distinct),
]
_Word = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_Secret = Annotated[SecretStr, AfterValidator(values.check_secret)]
_File = Annotated[Path, AfterValidator(values.check_file)]


class KafkaSettings(Section):
    """A source that reads topics of a Kafka cluster, as a member of a consumer group.

    Its lanes are the partitions that the group gives to this process.
    """

    type: Literal["kafka"]
    bootstrap_servers: _Servers
    """Each as host:port; an IPv6 address in brackets."""
    topics: _Topics = ()
    """Empty if topic_pattern says which."""
    topic_pattern: Annotated[str, AfterValidator(values.check_pattern)] | None = None
    """A regular expression of Python; it must match a topic's whole name."""
    dialects: Annotated[dict[_Topic, Dialect], BeforeValidator(values.parse_pairs)] = Field(default_factory=dict)
    """What the records of a topic are. Those of any other topic tell it themselves."""
    group: _Word = "wikimirror"
    member_id: Annotated[str, AfterValidator(values.check_topic)] | None = None
    """The group's name for this process (group.instance.id), which makes it a static member."""
    start: Start = "earliest"
    on_gap: OnGap = "continue"
    retention: Annotated[Duration, Field(ge=SECOND, le=3660 * DAY)] | None = None
    """The topics' retention.ms. Nothing is decided by it: it tells how long what is not read yet is still there."""
    record_bytes: RecordBytes = ByteSize(20 * MIB)

    security_protocol: SecurityProtocol = "plaintext"
    ca_file: _File | None = None
    certificate_file: _File | None = None
    key_file: _File | None = None
    key_password: _Secret | None = None
    sasl_mechanism: Annotated[values.Mechanism, BeforeValidator(values.check_mechanism)] | None = None
    username: _Word | None = None
    password: _Secret | None = None
    password_file: _File | None = None
    """Its first line is the password."""
    token_file: _File | None = None
    """Holds the token itself. It is read at each authentication."""
    token_url: Annotated[str, AfterValidator(values.check_token_url)] | None = None
    token_client_id: _Word | None = None
    token_client_secret: _Secret | None = None
    token_client_secret_file: _File | None = None
    """Its first line is the client's secret."""
    token_scope: _Word | None = None

    request_timeout: Annotated[Duration, Field(ge=100 * MILLISECOND, le=5 * MINUTE)] = timedelta(seconds=15)
    session_timeout: Annotated[Duration, Field(ge=SECOND, le=HOUR)] = timedelta(seconds=30)
    rebalance_timeout: Annotated[Duration, Field(ge=SECOND, le=HOUR)] = timedelta(seconds=60)
    metadata_interval: Annotated[Duration, Field(ge=100 * MILLISECOND, le=HOUR)] = timedelta(seconds=30)
    idle_timeout: Annotated[Duration, Field(ge=SECOND, le=HOUR)] = timedelta(seconds=30)
    acknowledge_interval: Annotated[Duration, Field(ge=100 * MILLISECOND, le=DAY)] = timedelta(seconds=5)
    isolation: Literal["read_committed", "read_uncommitted"] = "read_committed"

    @field_validator(*RULES)
    @classmethod
    def _fits_the_keys_before(cls, value: Any, info: ValidationInfo) -> Any:
        with suppress(KeyError):
            RULES[str(info.field_name)](value, info.data)
        return value
