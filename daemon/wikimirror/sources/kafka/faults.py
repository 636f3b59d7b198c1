"""What an error of aiokafka means to a person: what happened, and what to do next.

Never in the library's words, which may quote what was sent. What caused an error is looked at too: aiokafka tells of
most as a connection that was closed.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from aiokafka import errors as kafka

from wikimirror.errors import SourceRefused, SourceUnavailable, WikimirrorError
from wikimirror.sources.kafka.tokens import NoToken

_CREDENTIALS: Final = (
    "Look at username and password (or at the token), and whether the broker knows them for this sasl_mechanism."
)
_ACLS: Final = "Give the user this right: docs/kafka.md lists the ACLs that are needed."
_NETWORK: Final = (
    "Look at bootstrap_servers, at the addresses that the brokers advertise, the resolver and the firewall."
)
_PROTOCOL: Final = "Look whether security_protocol is what the brokers speak at this port; if it is, at the network."
_AUTHORITY: Final = "Let ca_file name a file with the certificate of the authority that signs those of the brokers."
_OUR_CERTIFICATE: Final = (
    "The brokers want a certificate they trust: look at certificate_file and key_file, and at the brokers' truststore."
)
_HOST_NAME_MISMATCH: Final = {62, 64}
"""X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH."""
_OF_OUR_CERTIFICATE: Final = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "UNKNOWN_CA")
_BROKER_TLS_ALERTS: Final = ("TLSV1", "TLSV13", "SSLV3")


class Displaced(SourceUnavailable):
    """Another process is in the group under the name of this one."""

    def __init__(self, member_id: str | None) -> None:
        super().__init__(
            f"another process is in the group as member_id {member_id}",
            remedy="Each process needs a member_id of its own. This one waits until the other is gone.",
        )


def translate(error: BaseException) -> WikimirrorError:
    """The error to raise instead of one that aiokafka, the system or a token's provider raised. One of ours stays."""
    found = list(_chain(error))
    for each in found:
        if isinstance(each, WikimirrorError):
            return each
        if isinstance(each, NoToken):
            return each.told
    for each in found:
        told = _of_tls(each) or _of_rights(each) or _of_group(each)
        if told is not None:
            return told
    for each in found:
        told = _of_connection(each)
        if told is not None:
            return told
    return SourceUnavailable(f"the brokers answered with an error: {type(error).__name__}")


def _of_tls(error: BaseException) -> WikimirrorError | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _HOST_NAME_MISMATCH:
            what = "the broker's certificate is for another name than the one it is reached by"
            return SourceRefused(what, remedy="Name the brokers as their certificates do, or have those renewed.")
        return SourceRefused(f"the broker's certificate is not trusted: {error.verify_message}", remedy=_AUTHORITY)
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or ""
        if reason.startswith(_BROKER_TLS_ALERTS) and reason.endswith(_OF_OUR_CERTIFICATE):
            return SourceRefused("the broker does not take our certificate, or wants one", remedy=_OUR_CERTIFICATE)
        what = f"no TLS with the broker: {(reason or 'it failed').lower().replace('_', ' ')}"
        return SourceUnavailable(what, remedy=_PROTOCOL)
    return None


def _of_rights(error: BaseException) -> WikimirrorError | None:
    match error:
        case kafka.UnsupportedSaslMechanismError() | kafka.AuthenticationMethodNotSupported():
            what = "the brokers do not offer this sasl_mechanism"
            return SourceRefused(what, remedy="Ask which one they offer; each listener has its own.")
        case kafka.SaslAuthenticationFailed() | kafka.AuthenticationFailedError():
            return SourceRefused("the brokers do not accept who we say we are", remedy=_CREDENTIALS)
        case kafka.IllegalSaslStateError() | kafka.SecurityDisabled():
            return SourceRefused("the brokers do not authenticate at this port", remedy=_PROTOCOL)
        case kafka.TopicAuthorizationFailedError():
            return SourceRefused(f"the user may not read the topic{_named(error)}", remedy=_ACLS)
        case kafka.GroupAuthorizationFailedError():
            return SourceRefused(f"the user may not read as the group{_named(error)}", remedy=_ACLS)
        case kafka.ClusterAuthorizationFailedError():
            return SourceRefused("the user may not do this on the cluster", remedy=_ACLS)
        case _:
            return None


def _of_group(error: BaseException) -> WikimirrorError | None:
    match error:
        case kafka.UnknownTopicOrPartitionError():
            what = f"the brokers do not have the topic or partition{_named(error)}"
            return SourceUnavailable(what, remedy="It is waited for. Look whether its name is right, and who makes it.")
        case kafka.InvalidTopicError():
            return SourceRefused("the brokers take a topic's name for none", remedy="Look at topics.")
        case kafka.InvalidSessionTimeoutError():
            what = "the brokers do not allow this session_timeout"
            remedy = "They have group.min.session.timeout.ms and group.max.session.timeout.ms: stay between them."
            return SourceRefused(what, remedy=remedy)
        case kafka.InconsistentGroupProtocolError() | kafka.InvalidGroupIdError():
            what = "others than wikimirror are in this consumer group, or its name is none"
            return SourceRefused(what, remedy="Give the source a group of its own.")
        # It has no class for this error, and puts its name into the text of a general one.
        case kafka.KafkaError() if "FencedInstanceId" in str(error):
            return Displaced(None)
        case kafka.UnsupportedVersionError() | kafka.IncompatibleBrokerVersion() | kafka.UnrecognizedBrokerVersion():
            what = "the brokers are too old or too new for a request"
            return SourceRefused(what, remedy="docs/kafka.md says which versions are known to work.")
        case _:
            return None


def _of_connection(error: BaseException) -> WikimirrorError | None:
    match error:
        case TimeoutError() | kafka.RequestTimedOutError() | kafka.KafkaTimeoutError():
            return SourceUnavailable("the brokers did not answer in time", remedy=_NETWORK)
        case socket.gaierror():
            return SourceUnavailable("a broker's name cannot be resolved", remedy=_NETWORK)
        case EOFError() | ConnectionResetError() | BrokenPipeError():
            return SourceUnavailable("a broker closed the connection", remedy=_PROTOCOL)
        case OSError():
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            return SourceUnavailable(f"a broker cannot be reached: {reason}", remedy=_NETWORK)
        case kafka.KafkaConnectionError() if error.__cause__ is None and error.__context__ is None:
            return SourceUnavailable("no broker can be reached, or a connection was closed", remedy=_NETWORK)
        case _:
            return None


def _named(error: BaseException) -> str:
    """What an error names, if it does: a topic, several, or a group."""
    said = error.args[0] if error.args else ()
    names = [said] if isinstance(said, str) else sorted(map(str, said)) if isinstance(said, set | tuple | list) else []
    return f" {', '.join(names)}" if names else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, from the outermost on."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
