"""One connection made for its own sake, for aiokafka does not say why it makes none.

Its client notes each failure in its log and then raises that it could not connect. And where a broker refuses a token,
it takes that for success: the refusal comes as a challenge (RFC 7628, section 3.2.3), which it does not look at. To the
next request the broker then answers nothing of use, and closes the connection.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

from wikimirror.errors import SourceRefused, SourceUnavailable, WikimirrorError
from wikimirror.settings import KafkaSettings
from wikimirror.sources.kafka.faults import translate

_connect: Any = create_conn
_TOKEN: Final = "Look whether it is still good, and whether its issuer, audience and scope are what the brokers want."  # noqa: S105  # a sentence
_IMPOSTOR: Final = "Look whether bootstrap_servers name your brokers: another may answer in their place."


async def require_reachable(settings: KafkaSettings, options: dict[str, Any]) -> None:
    """Ask the bootstrap servers, in turn, until one answers. `options` are those of `security.client_options`.

    Raises SourceRefused, SourceUnavailable: of several failures a refusal, for that is what somebody must mend.
    Each server may take twice `request_timeout`.
    """
    failures = []
    for server in settings.bootstrap_servers:
        try:
            await _ask(server, settings, options)
        except WikimirrorError as error:
            failures.append((server, error))
        else:
            return
    where, worst = next((each for each in failures if isinstance(each[1], SourceRefused)), failures[0])
    raise type(worst)(f"{where}: {worst}", remedy=worst.remedy) from worst


async def _ask(server: str, settings: KafkaSettings, options: dict[str, Any]) -> None:
    host, _, port = server.rpartition(":")
    seconds = settings.request_timeout.total_seconds()
    access = {key: value for key, value in options.items() if key != "bootstrap_servers"}
    try:
        async with asyncio.timeout(2 * seconds):
            connection = await _connect(host.strip("[]"), int(port), request_timeout_ms=round(seconds * 1000), **access)
            try:
                answer = await connection.send(MetadataRequest([]))
            finally:
                connection.close()
    # A ValueError is aiokafka's word for a broker that does not prove that it knows the password (SCRAM).
    except ValueError as error:
        if isinstance(error, OSError):
            raise translate(error) from error
        raise SourceRefused("the broker does not prove that it knows the password", remedy=_IMPOSTOR) from error
    except (KafkaError, OSError) as error:
        raise translate(error) from error
    # A broker knows of itself at least.
    if not answer.brokers:
        if settings.sasl_mechanism == "OAUTHBEARER":
            raise SourceRefused("the broker does not accept the token that it was shown", remedy=_TOKEN)
        raise SourceUnavailable("the broker does not know of any broker yet")
