"""What a rehearsed broker is told: its options, and the server.properties that they become. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

HOST: Final = "127.0.0.1"
ADMIN: Final = "admin"
"""The user who may do everything where `authorizer` is on. So may whoever comes by a listener without a user."""

_SCRAM: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_LOGIN: Final = "org.apache.kafka.common.security"
_SECURITY: Final = {
    "controller": "PLAINTEXT",
    "plaintext": "PLAINTEXT",
    "proxied": "PLAINTEXT",
    "ssl": "SSL",
    "sasl_plaintext": "SASL_PLAINTEXT",
    "sasl_ssl": "SASL_SSL",
}
# One node for tests: a single copy of everything, groups that form at once, deletion that is looked after each second.
_SMALL: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "PLAINTEXT",
    "num.partitions": "1",
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    # Records of a simulated past are older than the week that Kafka keeps: unless a topic says so, nothing is deleted.
    "log.retention.ms": "-1",
    "log.retention.check.interval.ms": "1000",
    "log.initial.task.delay.ms": "500",
    "log.segment.delete.delay.ms": "1000",
    # After a kill the next start waits until the killed one's session is over: 9 s as Kafka comes.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4194304",
}


class Tls(NamedTuple):
    """PEM files of the broker. `key` is PKCS#8 without a password ("BEGIN PRIVATE KEY"): Kafka reads no other."""

    certificate: Path
    """The broker's certificate for 127.0.0.1, and those between it and the authority."""
    key: Path
    client_authority: Path
    """Who signs the clients' certificates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """How a broker differs from a bare one. The bare one has the listener `plaintext`, for everybody."""

    users: Mapping[str, str] = field(default_factory=dict)
    """Name to password, for SCRAM-SHA-256, SCRAM-SHA-512 and PLAIN on `sasl_plaintext` and, with `tls`, `sasl_ssl`."""
    tls: Tls | None = None
    """Adds the listener `ssl`."""
    client_certificates: bool = False
    """Whether `ssl` takes only clients with a certificate of `tls.client_authority`."""
    oauth: bool = False
    """OAUTHBEARER on the listeners with users; a token is an unsigned JWT with `sub` and `exp`."""
    proxied: bool = False
    """Adds the listener `proxied`: it says to clients another port than its own, where a proxy may stand."""
    authorizer: bool = False
    """Access lists hold for users and client certificates; nobody but the admin may do anything without."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """What else server.properties says, over all of ours."""

    def listeners(self) -> tuple[str, ...]:
        """The names of the listeners, the controller's own first."""
        names = ["controller", "plaintext"]
        if self.proxied:
            names.append("proxied")
        if self.tls is not None:
            names.append("ssl")
        if self.users or self.oauth:
            names.append("sasl_plaintext")
            if self.tls is not None:
                names.append("sasl_ssl")
        return tuple(names)


def server_properties(
    options: BrokerOptions, *, ports: Mapping[str, int], told: int | None, data: Path, keystore: Path
) -> dict[str, str]:
    """The whole configuration of the node.

    `ports`: listener to port. `told`: the port that `proxied` tells its clients. `keystore`: the PEM file with the
    broker's key and certificates, read where `options.tls` is given.
    """
    said = {**ports, "proxied": told} if options.proxied else dict(ports)
    names = options.listeners()
    return {
        **_SMALL,
        "controller.quorum.voters": f"1@{HOST}:{ports['controller']}",
        "log.dirs": str(data),
        "listeners": ",".join(f"{name.upper()}://{HOST}:{ports[name]}" for name in names),
        "advertised.listeners": ",".join(
            f"{name.upper()}://{HOST}:{said[name]}" for name in names if name != "controller"
        ),
        "listener.security.protocol.map": ",".join(f"{name.upper()}:{_SECURITY[name]}" for name in names),
        **_tls(options, keystore),
        **_users(options),
        **_authorizer(options),
        **options.properties,
    }


def scram_arguments(users: Mapping[str, str]) -> str:
    """The arguments of StorageTool that make the users, one a line: for a file, as a command line is for all to see."""
    return "".join(
        f'--add-scram\n{mechanism}=[name="{name}",password="{password}"]\n'
        for name, password in users.items()
        for mechanism in _SCRAM
    )


def properties_text(properties: Mapping[str, str]) -> str:
    """A .properties file as Java reads it: ISO 8859-1 at most, a backslash escapes."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in properties.items())


def _tls(options: BrokerOptions, keystore: Path) -> dict[str, str]:
    if options.tls is None:
        return {}
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(options.tls.client_authority),
        "listener.name.ssl.ssl.client.auth": "required" if options.client_certificates else "none",
    }


def _users(options: BrokerOptions) -> dict[str, str]:
    entries: dict[str, str] = {}
    if options.users:
        passwords = {f"user_{name}": password for name, password in options.users.items()}
        entries["PLAIN"] = _jaas("plain.PlainLoginModule", passwords)
        entries |= dict.fromkeys(_SCRAM, _jaas("scram.ScramLoginModule", {}))
    if options.oauth:
        entries["OAUTHBEARER"] = _jaas("oauthbearer.OAuthBearerLoginModule", {"unsecuredLoginStringClaim_sub": ADMIN})
    found = {"sasl.enabled.mechanisms": ",".join(entries)} if entries else {}
    for listener in options.listeners():
        if listener.startswith("sasl_"):
            for mechanism, entry in entries.items():
                found[f"listener.name.{listener}.{mechanism.lower()}.sasl.jaas.config"] = entry
    return found


def _authorizer(options: BrokerOptions) -> dict[str, str]:
    if not options.authorizer:
        return {}
    return {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # The node talks to itself by the listener without users.
        "super.users": f"User:ANONYMOUS;User:{ADMIN}",
    }


def _jaas(module: str, options: Mapping[str, str]) -> str:
    words: Iterable[str] = (f'{key}="{_quoted(value)}"' for key, value in options.items())
    return " ".join((f"{_LOGIN}.{module}", "required", *words)) + ";"


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _escape(text: str) -> str:
    plain = text.replace("\\", "\\\\").replace("\n", "\\n")
    units = plain.encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if chr(code).isascii() else f"\\u{code:04x}" for code in codes)
