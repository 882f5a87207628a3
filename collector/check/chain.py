"""The chain of witnesses: was the experiment as it was meant to be, up to the decoded records?

declared → sent → wire → switch → (exporter) → received → decoded. Every link but the exporter's
own is examined here. Where one is broken the run cannot judge the exporter: INVALID, not FAIL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from collector.check.model import Break

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collector.check.model import Counted, Evidence, Expected, ExpectedFlow
    from collector.key import FlowKey

DECLARED_SENT: Final = "declared → sent"
SENT_WIRE: Final = "sent → wire"
WIRE_SWITCH: Final = "wire → switch"
EXPORTED_RECEIVED: Final = "exported → received"
RECEIVED_DECODED: Final = "received → decoded"


def breaks(expected: Expected, evidence: Evidence) -> tuple[Break, ...]:
    """All links that did not hold, in the order of the chain."""
    witnesses = evidence.witnesses
    if "failed" in witnesses:
        return (Break("the lab itself", str(witnesses["failed"])),)
    return tuple(
        [Break(DECLARED_SENT, what) for what in _programs(witnesses.get("programs"))]
        + [Break(SENT_WIRE, what) for what in _wire(expected, evidence)]
        + [Break(WIRE_SWITCH, what) for what in _switches(evidence)]
        + [Break(EXPORTED_RECEIVED, what) for what in _datagrams(witnesses.get("datagrams"))]
        + [Break(RECEIVED_DECODED, what) for what in _decoding(evidence)]
    )


def _programs(reports: list[dict[str, Any]] | None) -> Iterator[str]:
    """Did the traffic programs do what was declared?"""
    if reports is None:
        yield "the run ended before its traffic did"
        return
    for report in reports:
        role = f"{_ROLES[report['role']]} {report['host']}"
        who = f"{report['step']}: the {report['kind']} program that {role}"
        if report["error"]:
            yield f"{who} {_said(report['error'])}"
        for name, declared in report["declared"].items():
            counted = report["counted"].get(name)
            if counted is not None and counted != declared:
                yield f"{who} counted {counted} {name.replace('_', ' ')}, declared were {declared}"


_ROLES: Final = {"send": "sends from", "receive": "receives on"}


def _said(error: str) -> str:
    return error if error.startswith(("was ", "ended ", "did not ", "not ")) else f"said: {error}"


def _wire(expected: Expected, evidence: Evidence) -> Iterator[str]:
    """Did exactly the declared packets enter the switches on their way?"""
    yield from evidence.wire_problems
    lost = evidence.witnesses.get("wire", {}).get("lost", 0)
    if lost:
        yield f"the capture at the switch ports lost {lost} packets: it is no witness"
    planned = {(switch, flow.key): flow for flow in expected.flows for switch in flow.path}
    for (switch, key), flow in planned.items():
        yield from _flow_on_wire(switch, key, flow, evidence.wire.get((switch, key)))
    for switch, key in evidence.wire:
        if (switch, key) not in planned:
            packets = evidence.wire[switch, key].packets
            yield f"{switch}: {packets} packets of {key}, which the scenario does not send there"


def _flow_on_wire(
    switch: str, key: FlowKey, flow: ExpectedFlow, seen: Counted | None
) -> Iterator[str]:
    if seen is None:
        yield f"{switch}: no packet of {key} came in"
        return
    for name in ("packets", "octets_l2", "octets_l3", "payload_octets"):
        declared, counted = getattr(flow, name), getattr(seen, name)
        if declared is not None and counted != declared:
            found = "an unknown number of" if counted is None else counted
            yield f"{switch}: {found} {name} of {key} came in, declared were {declared}"


def _switches(evidence: Evidence) -> Iterator[str]:
    """Did each switch handle exactly what came in at its ports?"""
    switches: Mapping[str, Mapping[str, int]] = evidence.witnesses.get("switches", {})
    for switch, counters in switches.items():
        flows = [seen for (at, _), seen in evidence.wire.items() if at == switch]
        packets = sum(seen.packets for seen in flows)
        octets = sum(seen.octets_l2 or 0 for seen in flows)
        if (packets, octets) != (counters["packets"], counters["octets_l2"]):
            yield (
                f"{switch}: {packets} packets ({octets} octets) came in at its ports, it "
                f"handled {counters['packets']} ({counters['octets_l2']} octets)"
            )


def _datagrams(counts: Mapping[str, Any] | None) -> Iterator[str]:
    """Did every export datagram reach the collector?"""
    if counts is None:
        yield "the run ended before its export datagrams were counted"
        return
    if counts["error"]:
        yield counts["error"]
        return
    sent, received = counts["sent"], counts["received"]
    came, dropped = sum(received["datagrams"].values()), sum(received["kernel_drops"].values())
    if dropped:
        yield f"{dropped} export datagrams found the collector's receive buffer full"
    if received["truncated"]:
        yield f"{received['truncated']} export datagrams were cut on receiving"
    missing = 0 if sent is None else sent["OutDatagrams"] - came - dropped
    if missing:
        yield (
            f"of {sent['OutDatagrams']} export datagrams that the switch sent, {came} reached "
            f"the collector: {missing} were lost on the way"
        )


def _decoding(evidence: Evidence) -> Iterator[str]:
    """Is everything that was received there, and understood?"""
    received = (evidence.witnesses.get("datagrams") or {}).get("received")
    if received is not None:
        came = sum(received["datagrams"].values())
        if came != evidence.recorded_datagrams:
            yield (
                f"{came} export datagrams were received, {evidence.recorded_datagrams} are in "
                "the recording"
            )
    yield from evidence.decoding
