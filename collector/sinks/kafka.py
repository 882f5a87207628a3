"""Kafka, through its own client: a topic for each view, a JSON object for each row.

The topics are PREFIX.flows and so on; the key is the exporter, so that what one exporter sent stays
in order.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from confluent_kafka import KafkaException, Producer

from collector.sinks import SinkError, shown
from collector.texts import with_texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

_DEFAULT_PREFIX: Final = "flowlab"
_FLUSH_S: Final = 30.0
_WAIT_S: Final = 1.0
_LONGEST_MS: Final = 30_000
"""A message that was not taken after so long is told as lost."""


class Kafka:
    """The topics of one cluster."""

    def __init__(self, address: str, **settings: Any) -> None:
        """Connect when there is something to send.

        Args:
            address: ``kafka://HOST:PORT,HOST:PORT/PREFIX``.
            settings: of librdkafka, beside the servers.

        Raises:
            SinkError: the settings are wrong.
        """
        parts = urlsplit(address)
        self._shown = shown(address)
        self._prefix = parts.path.strip("/") or _DEFAULT_PREFIX
        self._failed: Counter[str] = Counter()
        # What went wrong is told by us, not by librdkafka's log.
        quiet = {"message.timeout.ms": _LONGEST_MS, "linger.ms": 50, "log_level": 0}
        try:
            self._producer = Producer({"bootstrap.servers": parts.netloc, **quiet, **settings})
        except KafkaException as refused:
            raise SinkError(f"{self._shown}: {refused}") from None

    def write(self, rows: Mapping[str, pl.DataFrame]) -> None:
        """Hand over a batch: view to rows.

        Raises:
            SinkError: some of an earlier one were not taken.
        """
        for view, found in rows.items():
            topic = f"{self._prefix}.{view}"
            lines = with_texts(found).write_ndjson().encode().splitlines()
            keys = found["exporter"].cast(str).fill_null("").to_list()
            for key, line in zip(keys, lines, strict=True):
                self._produce(topic, key, line)
        self._tell_failures()

    def close(self) -> None:
        """Wait until all of it has been taken.

        Raises:
            SinkError: not all of it was.
        """
        left = self._producer.flush(_FLUSH_S)
        if left:
            self._failed["not sent when it ended"] += left
        self._tell_failures()

    def _produce(self, topic: str, key: str, line: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, line, key, on_delivery=self._delivered)
            except BufferError:
                self._producer.poll(_WAIT_S)  # Its queue is full: let it send.
            else:
                self._producer.poll(0)
                return

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is not None:
            self._failed[str(error)] += 1

    def _tell_failures(self) -> None:
        if self._failed:
            failed, self._failed = self._failed, Counter()
            said = "; ".join(f"{count} rows: {why}" for why, count in failed.items())
            raise SinkError(f"{self._shown}: {said}")
