"""What a run's own witnesses said: the content of ``witnesses.json``, with a type for all of it.

What a witness did not say is None here, and no number: the chain takes it for a broken link.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, defer_build=True)


class Program(_Told):
    """What one traffic program was to do and did.

    Attributes:
        step: which step of the scenario, ``step 1``.
        kind: of traffic.
        role: which end it is.
        host: where it ran.
        declared: what it had to count.
        counted: what it counted, under the same names.
        error: why it could not do its work; None if it could.
    """

    step: str
    kind: str
    role: Literal["send", "receive"]
    host: str
    declared: dict[str, int]
    counted: dict[str, int]
    error: str | None


class Captured(_Told):
    """What the capture at the switch ports says of itself, in packets."""

    packets_in: int
    lost: int


class SwitchCounters(_Told):
    """What one switch handled, by its own count."""

    packets: int
    octets_l2: int


class Probe(_Told):
    """What the capture of one probe says of itself, in packets.

    Attributes:
        exporter: its name.
        switch: where it is.
        dropped: packets that found its ring full.
    """

    exporter: str
    switch: str
    dropped: int


class Received(_Told):
    """What the receiver counted, by the port it listened on.

    Attributes:
        datagrams: that it received.
        kernel_drops: that found its buffer full; None where the kernel does not say.
        truncated: that were longer than its buffer.
    """

    datagrams: dict[str, int]
    kernel_drops: dict[str, int | None]
    truncated: int


class Datagrams(_Told):
    """The way of the export datagrams.

    Attributes:
        sent: the network namespace's own UDP counters; None where others send there too.
        received: None if the receiver could not say.
        error: what became of the receiver; None if all was well.
    """

    sent: dict[str, int] | None
    received: Received | None
    error: str | None


class Witnesses(_Told):
    """All that was witnessed of a run besides the wire and the exports.

    Attributes:
        failed: what broke the lab itself; None if nothing did.
        skipped: what this machine lacks that the scenario needs; None if nothing.
        traffic_started_ns: wall clock, nanoseconds, before the first packet.
        traffic_finished_ns: likewise, after the last.
        clock_moved_ms: how far the flush moved the switch's clock.
        restarted_ns: when the switch was started anew.
        absent: exporters that this machine does not have, and why.
        probes: what each probe counted itself.
    """

    failed: str | None = None
    skipped: str | None = None
    traffic_started_ns: int | None = None
    traffic_finished_ns: int | None = None
    clock_moved_ms: int | None = None
    programs: tuple[Program, ...] | None = None
    wire: Captured | None = None
    switches: dict[str, SwitchCounters] | None = None
    datagrams: Datagrams | None = None
    restarted_ns: tuple[int, ...] = ()
    absent: dict[str, str] = Field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
