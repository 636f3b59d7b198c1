"""Topics of a Kafka cluster as a source: `source` is its door.

`membership` is a stay in the consumer group, `listener` what the group gives and takes, `reading` the records, `upkeep`
what goes on beside, `driver` all that reaches into aiokafka. `offsets` and `fetching` decide, and do no I/O. Outside of
any group `alone` looks at what is new, and `ranges` reads stretches again.
"""

from __future__ import annotations

from wikimirror.sources.kafka.alone import KafkaAlone
from wikimirror.sources.kafka.instants import positions_at
from wikimirror.sources.kafka.source import KafkaSource

__all__ = ["KafkaAlone", "KafkaSource", "positions_at"]
