"""The bytes of a stream: frames with ids as server-sent events, or a JSON object a line without ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from wikimirror.rehearsal.asking import Start
from wikimirror.rehearsal.log import Entry

GREETING: Final = b":ok\n\n"
_ERROR: Final = b'{"name":"KafkaError","message":"Local: Broker transport failure","origin":"kafka"}'


class Frames:
    """Makes the frames of one connection. Each id tells for every topic of the connection where to go on.

    `shift` is added to every offset: what the cluster that this connection reads numbers higher.
    """

    def __init__(self, starts: Mapping[str, Start], *, shift: int = 0, ids: bool = True) -> None:
        self.greeting = GREETING if ids else b"\n"
        self._shift = shift
        self._index = {topic: number for number, topic in enumerate(starts)}
        self._places = [f'{{"topic":"{topic}","partition":0,"'.encode() for topic in starts]
        self._coordinates = [f',"topic":"{topic}","partition":0,"offset":'.encode() for topic in starts]
        self._told = [
            place + b'offset":%d}' % start.told for place, start in zip(self._places, starts.values(), strict=True)
        ]
        self._ids = ids

    def add(self, entry: Entry, pieces: list[bytes]) -> None:
        """Put the pieces of a record's frame to others: cheaper than whole frames when many are written at once."""
        value, joint = entry.value, entry.joint
        if value is None:
            return
        number = self._index[entry.topic]
        if self._ids:
            # One millisecond on: whoever resumes by this skips other records of the same millisecond.
            self._told[number] = self._places[number] + b'timestamp":%d}' % (entry.timestamp + 1)
            pieces += (b"event: message\nid: [", b",".join(self._told), b"]\ndata: ")
        if joint:
            offset = b"%d" % (entry.offset + self._shift)
            pieces += (value[:joint], self._coordinates[number], offset, value[joint:])
        else:
            pieces.append(value)
        pieces.append(b"\n\n" if self._ids else b"\n")

    def error(self) -> bytes:
        """The frame with which the service says that it cannot go on."""
        if not self._ids:
            return _ERROR + b"\n"
        return b"event: error\nid: [" + b",".join(self._told) + b"]\ndata: " + _ERROR + b"\n\n"
