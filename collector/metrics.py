"""The counts of a `Collector` for Prometheus, read when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from collector.live import Counts


class Metrics:
    """All metrics."""

    def __init__(self, counts: Callable[[], Counts]) -> None:
        """Show what `counts` says."""
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """The metrics now (the interface of prometheus_client's registries)."""
        counts = self._counts()
        received = CounterMetricFamily(
            "flowlab_datagrams", "Export datagrams received", labels=["listen"]
        )
        for name, count in counts.datagrams.items():
            received.add_metric([name], count)
        yield received
        records = CounterMetricFamily("flowlab_records", "Records decoded", labels=["protocol"])
        for name, count in counts.records.items():
            records.add_metric([name], count)
        yield records
        drops = CounterMetricFamily(
            "flowlab_kernel_drops",
            "Datagrams that found the socket's buffer full",
            labels=["listen"],
        )
        for name, count in counts.kernel_drops.items():
            drops.add_metric([name], count)
        yield drops
        losses = CounterMetricFamily(
            "flowlab_losses",
            "What did not become records: datagrams dropped by the kernel, units that sequence "
            "numbers miss, pieces that could not be decoded",
            labels=["cause"],
        )
        losses.add_metric(["kernel"], sum(counts.kernel_drops.values()))
        losses.add_metric(["sequence"], counts.sequence_lost)
        losses.add_metric(["undecodable"], counts.undecodable)
        losses.add_metric(["truncated"], counts.truncated)
        yield losses
        yield CounterMetricFamily(
            "flowlab_unsent_rows", "Rows that an engine did not take", value=counts.unsent
        )
        yield CounterMetricFamily("flowlab_batches", "Batches stored", value=counts.batches)
        yield CounterMetricFamily("flowlab_files", "Files written", value=counts.files)
        yield GaugeMetricFamily("flowlab_templates", "Valid templates", value=counts.templates)
        yield GaugeMetricFamily(
            "flowlab_waiting_datagrams", "Received and not decoded yet", value=counts.waiting
        )


def serve(counts: Callable[[], Counts], address: str, port: int) -> int:
    """Answer on http://address:port/metrics from now on; the port, if 0 was asked for.

    Raises:
        OSError: the address is taken, not of this machine, or not allowed.
    """
    registry = CollectorRegistry()
    registry.register(Metrics(counts))
    server, _ = start_http_server(port, address, registry)
    return int(server.server_address[1])
