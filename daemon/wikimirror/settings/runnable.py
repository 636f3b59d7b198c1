"""What following sources needs beyond settings that are well formed. Commands that follow none do not ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Final
from urllib.parse import urlsplit

from wikimirror.settings.eventstreams import EventStreamsSettings
from wikimirror.settings.faults import Fault, InvalidSettings
from wikimirror.settings.kafka import KafkaSettings
from wikimirror.settings.sections import Settings, SourceSettings, variable

CONNECTIONS_PER_HOST: Final = 2
"""As many the service allows from one address (upstream b.1); each source holds one."""
_USUAL_PORTS: Final = {"http": 80, "https": 443}
_TOGETHER: Final = "all origins together"
_REMEDY: Final = "Mend what is named. Only commands that read a source need it."


def require_runnable(settings: Settings) -> None:
    """Raises InvalidSettings, with every fault, unless the sources can be followed."""
    faults = list(_faults(settings))
    if faults:
        raise InvalidSettings(faults, remedy=_REMEDY)


def _faults(settings: Settings) -> Iterator[Fault]:
    if not settings.sources:
        rule = (
            "names no source; config/eventstreams.toml and config/kafka.toml are complete examples:"
            " --config config/eventstreams.toml"
        )
        yield Fault("sources", "", rule, "default")
    over_http = {name: each for name, each in settings.sources.items() if isinstance(each, EventStreamsSettings)}
    if over_http and settings.http.contact is None:
        rule = (
            "must be a mail address or a URL where you can be reached, for the service refuses clients without one:"
            f' contact = "…" under [http], or {variable("http.contact")}'
        )
        yield Fault("http.contact", "", rule, "default")
    for host, names in _by_host(over_http).items():
        if len(names) > CONNECTIONS_PER_HOST:
            most = CONNECTIONS_PER_HOST
            rule = f"must be at most {most} sources on {host}, which allows {most} connections"
            yield Fault("sources", ", ".join(names), rule, _TOGETHER)
    for one, other in _in_one_group(settings.sources):
        rule = (
            f"must differ from that of {one} on the same brokers: one source would be given partitions that the other"
            " keeps the positions of"
        )
        yield Fault(f"sources.{other}.group", "", rule, _TOGETHER)


def _by_host(sources: Mapping[str, EventStreamsSettings]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for name, source in sources.items():
        url = urlsplit(source.url)
        usual = url.port in {None, _USUAL_PORTS[url.scheme]}
        found[str(url.hostname) if usual else f"{url.hostname}:{url.port}"].append(name)
    return found


def _in_one_group(sources: Mapping[str, SourceSettings]) -> Iterator[tuple[str, str]]:
    """Names of two sources that are members of one group, as far as their settings show it."""
    kafka = [(name, each) for name, each in sources.items() if isinstance(each, KafkaSettings)]
    for (one, first), (other, second) in combinations(kafka, 2):
        brokers = {each.lower() for each in first.bootstrap_servers} & {
            each.lower() for each in second.bootstrap_servers
        }
        if brokers and first.group == second.group:
            yield one, other
