"""What following sources needs beyond settings that are well formed. Commands that follow none do not ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from wikimirror.settings.faults import Fault, InvalidSettings
from wikimirror.settings.sections import EventStreamsSettings, Settings, variable

CONNECTIONS_PER_HOST: Final = 2
"""As many the service allows from one address (upstream b.1); each source holds one."""
_USUAL_PORTS: Final = {"http": 80, "https": 443}
_REMEDY: Final = "Mend what is named. Only commands that read a source need it."


def require_runnable(settings: Settings) -> None:
    """Raises InvalidSettings, with every fault, unless the sources can be followed."""
    faults = list(_faults(settings))
    if faults:
        raise InvalidSettings(faults, remedy=_REMEDY)


def _faults(settings: Settings) -> Iterator[Fault]:
    if not settings.sources:
        rule = "names no source; config/eventstreams.toml is a complete example: --config config/eventstreams.toml"
        yield Fault("sources", "", rule, "default")
    if settings.sources and settings.http.contact is None:
        rule = (
            "must be a mail address or a URL where you can be reached, for the service refuses clients without one:"
            f' contact = "…" under [http], or {variable("http.contact")}'
        )
        yield Fault("http.contact", "", rule, "default")
    for host, names in _by_host(settings.sources).items():
        if len(names) > CONNECTIONS_PER_HOST:
            most = CONNECTIONS_PER_HOST
            rule = f"must be at most {most} sources on {host}, which allows {most} connections"
            yield Fault("sources", ", ".join(names), rule, "all origins together")


def _by_host(sources: dict[str, EventStreamsSettings]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for name, source in sources.items():
        url = urlsplit(source.url)
        usual = url.port in {None, _USUAL_PORTS[url.scheme]}
        found[str(url.hostname) if usual else f"{url.hostname}:{url.port}"].append(name)
    return found
