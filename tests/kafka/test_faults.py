"""What an error of aiokafka means: whether waiting helps, what happened and what to do, in words of ours."""

from __future__ import annotations

import ssl

import pytest
from aiokafka import errors as kafka

from wikimirror.errors import ConfigurationError, SourceRefused, SourceUnavailable, WikimirrorError
from wikimirror.sources.kafka.faults import translate
from wikimirror.sources.kafka.tokens import NoToken


@pytest.mark.parametrize(
    ("error", "kind", "what"),
    [
        (kafka.SaslAuthenticationFailed("hunter2"), SourceRefused, "do not accept who we say we are"),
        (kafka.UnsupportedSaslMechanismError("hunter2"), SourceRefused, "do not offer this sasl_mechanism"),
        (kafka.IllegalSaslStateError(), SourceRefused, "do not authenticate at this port"),
        (kafka.TopicAuthorizationFailedError("pages"), SourceRefused, "may not read the topic pages"),
        (kafka.TopicAuthorizationFailedError({"b", "a"}), SourceRefused, "may not read the topic a, b"),
        (kafka.TopicAuthorizationFailedError(), SourceRefused, "may not read the topic"),
        (kafka.GroupAuthorizationFailedError("mine"), SourceRefused, "may not read as the group mine"),
        (kafka.ClusterAuthorizationFailedError(), SourceRefused, "may not do this on the cluster"),
        (kafka.UnknownTopicOrPartitionError(), SourceUnavailable, "do not have the topic or partition"),
        (kafka.InvalidTopicError(), SourceRefused, "take a topic's name for none"),
        (kafka.InvalidSessionTimeoutError(), SourceRefused, "do not allow this session_timeout"),
        (kafka.InconsistentGroupProtocolError(), SourceRefused, "others than wikimirror are in this consumer group"),
        (kafka.UnsupportedVersionError(), SourceRefused, "too old or too new"),
        (kafka.RequestTimedOutError(), SourceUnavailable, "did not answer in time"),
        (kafka.KafkaTimeoutError(), SourceUnavailable, "did not answer in time"),
        (TimeoutError(), SourceUnavailable, "did not answer in time"),
        (ConnectionRefusedError(111, "hunter2"), SourceUnavailable, "cannot be reached: Connection refused"),
        (ConnectionResetError(104, "hunter2"), SourceUnavailable, "closed the connection"),
        (EOFError(), SourceUnavailable, "closed the connection"),
        (kafka.KafkaConnectionError("hunter2"), SourceUnavailable, "no broker can be reached"),
        (kafka.NodeNotReadyError("hunter2"), SourceUnavailable, "NodeNotReadyError"),
        (kafka.CorruptRecordException("hunter2"), SourceUnavailable, "CorruptRecordException"),
        (ssl.SSLError(1, "hunter2"), SourceUnavailable, "no TLS with the broker"),
    ],
)
def test_an_error_is_told_in_words_of_ours(error: Exception, kind: type[WikimirrorError], what: str) -> None:
    found = translate(error)
    assert type(found) is kind
    assert what in str(found)
    assert found.remedy
    assert "hunter" not in f"{found} {found.remedy}"


def test_what_caused_a_closed_connection_is_told() -> None:
    closed = kafka.KafkaConnectionError("closed")
    closed.__cause__ = kafka.SaslAuthenticationFailed()
    assert isinstance(translate(closed), SourceRefused)


def test_an_error_of_ours_stays_what_it_is() -> None:
    ours = ConfigurationError("a file cannot be read")
    assert translate(ours) is ours
    assert translate(NoToken(ours)) is ours


def test_an_error_that_causes_itself_comes_to_an_end() -> None:
    error, other = kafka.KafkaError(), kafka.KafkaError()
    error.__cause__, other.__cause__ = other, error
    assert isinstance(translate(error), SourceUnavailable)
