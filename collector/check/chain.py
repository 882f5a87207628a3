"""The chain of witnesses: was the experiment as it was meant to be, up to the decoded records?

declared → sent → wire → switch → (exporter) → received → decoded. Every link but the exporter's
own is examined here. Where one is broken the run cannot judge the exporter: INVALID, not FAIL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.check.counts import summed
from collector.check.model import Break

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.check.model import Counted, Evidence, Expected, ExpectedFlow
    from collector.check.plain import Settled
    from collector.check.witnesses import Datagrams, Witnesses
    from collector.key import FlowKey

DECLARED_SENT: Final = "declared → sent"
SENT_WIRE: Final = "sent → wire"
WIRE_SWITCH: Final = "wire → switch"
WIRE_PROBE: Final = "wire → probe"
EXPORTED_RECEIVED: Final = "exported → received"
FAULTS: Final = "the scenario's faults"
RECEIVED_DECODED: Final = "received → decoded"


def breaks(expected: Expected, evidence: Evidence, settled: Settled) -> tuple[Break, ...]:
    """All links that did not hold, in the order of the chain.

    Args:
        expected: what was expected.
        evidence: what was witnessed.
        settled: what of it is plain, and so need not be looked at here.
    """
    witnesses = evidence.witnesses
    if witnesses.failed is not None:
        return (Break("the lab itself", witnesses.failed),)
    return tuple(
        [Break(DECLARED_SENT, what) for what in _programs(expected, witnesses)]
        + [Break(SENT_WIRE, what) for what in _wire(expected, evidence, settled)]
        + [Break(WIRE_SWITCH, what) for what in _switches(expected, evidence)]
        + list(_polled(expected, evidence))
        + [Break(WIRE_PROBE, what) for what in _probes(witnesses)]
        + [Break(EXPORTED_RECEIVED, what) for what in _datagrams(witnesses.datagrams)]
        + [Break(FAULTS, what) for what in evidence.faults_missed]
        + [Break(RECEIVED_DECODED, what) for what in _decoding(evidence)]
    )


def _programs(expected: Expected, witnesses: Witnesses) -> Iterator[str]:
    """Did the traffic programs do what was declared, all of them?"""
    if witnesses.programs is None or witnesses.traffic_finished_ns is None:
        yield "the run ended before its traffic did"
        return
    reported = {f"{report.step} {report.role}" for report in witnesses.programs}
    for missing in (program for program in expected.programs if program not in reported):
        yield f"no program reported of {missing}"
    for report in witnesses.programs:
        who = f"{report.step}: the {report.kind} program that {_ROLES[report.role]} {report.host}"
        if report.error is not None:
            yield f"{who} {_said(report.error)}"
            continue
        for name, declared in report.declared.items():
            counted = report.counted.get(name)
            if counted != declared:
                found = "no" if counted is None else counted
                yield f"{who} counted {found} {name.replace('_', ' ')}, declared were {declared}"


_ROLES: Final = {"send": "sends from", "receive": "receives on"}


def _said(error: str) -> str:
    return error if error.startswith(("was ", "ended ", "did not ", "not ")) else f"said: {error}"


def _wire(expected: Expected, evidence: Evidence, settled: Settled) -> Iterator[str]:
    """Did exactly the declared packets enter the switches on their way?"""
    yield from evidence.wire_problems
    captured = evidence.witnesses.wire
    if captured is None:
        yield "the capture at the switch ports did not say whether it lost packets"
    elif captured.lost:
        yield f"the capture at the switch ports lost {captured.lost} packets: it is no witness"
    for switch, flow in settled.came_in:
        yield from _flow_on_wire(switch, flow.key, flow, settled.wire.get((switch, flow.key)))
    for (switch, key), seen in settled.came_in_besides.items():
        if not expected.is_background(key):
            yield (
                f"{switch}: {seen.packets} packets of {key}, which the scenario does not send there"
            )


def _flow_on_wire(
    switch: str, key: FlowKey, flow: ExpectedFlow, seen: Counted | None
) -> Iterator[str]:
    if seen is None:
        if flow.perhaps:
            return
        yield f"{switch}: no packet of {key} came in"
        return
    for name in ("packets", "octets_l2", "octets_l3", "payload_octets"):
        declared, counted = getattr(flow, name), getattr(seen, name)
        if declared is not None and counted != declared:
            found = "an unknown number of" if counted is None else counted
            yield f"{switch}: {found} {name} of {key} came in, declared were {declared}"


def _switches(expected: Expected, evidence: Evidence) -> Iterator[str]:
    """Did each switch handle exactly what came in at its ports?"""
    counters = evidence.witnesses.switches or {}
    came_in = summed(evidence.wire)
    for switch in dict.fromkeys(point.observation_point for point in expected.points):
        packets, octets = came_in.get(switch, (0, 0))
        told = counters.get(switch)
        if told is None:
            yield f"{switch} did not say what it handled"
        elif (packets, octets) != (told.packets, told.octets_l2):
            yield (
                f"{switch}: {packets} packets ({octets} octets) came in at its ports, it "
                f"handled {told.packets} ({told.octets_l2} octets)"
            )


def _polled(expected: Expected, evidence: Evidence) -> Iterator[Break]:
    """Did the counters of ports that were polled agree with the wire, all that had to be?"""
    for how in dict.fromkeys((*expected.polls, *evidence.polled)):
        for what in evidence.polled.get(how, ("no counters were polled",)):
            yield Break(f"wire → {how} counters", what)


def _probes(witnesses: Witnesses) -> Iterator[str]:
    """Was each probe shown every packet?"""
    for probe in witnesses.probes:
        if probe.dropped:
            yield (
                f"{probe.dropped} packets found the ring of {probe.exporter} at {probe.switch} "
                "full: it never saw them"
            )


def _datagrams(counts: Datagrams | None) -> Iterator[str]:
    """Did every export datagram reach the collector?"""
    if counts is None:
        yield "the run ended before its export datagrams were counted"
        return
    if counts.error is not None or counts.received is None:
        yield counts.error or "the collector did not say what it received"
        return
    received = counts.received
    came = sum(received.datagrams.values())
    dropped = sum(drops or 0 for drops in received.kernel_drops.values())
    if dropped:
        yield f"{dropped} export datagrams found the collector's receive buffer full"
    if received.truncated:
        yield f"{received.truncated} export datagrams were cut on receiving"
    if counts.sent is None:
        return
    refused = counts.sent.get("SndbufErrors", 0)
    if refused:
        yield f"{refused} export datagrams did not fit into the switch's send buffer"
    sent = counts.sent.get("OutDatagrams", 0)
    if sent != came + dropped:
        yield (
            f"of {sent} export datagrams that the switch sent, {came} reached the collector: "
            f"{sent - came - dropped} were lost on the way"
        )


def _decoding(evidence: Evidence) -> Iterator[str]:
    """Is everything that was received there, and understood?"""
    datagrams = evidence.witnesses.datagrams
    if datagrams is not None and datagrams.received is not None:
        came = sum(datagrams.received.datagrams.values())
        if came != evidence.recorded_datagrams:
            yield (
                f"{came} export datagrams were received, {evidence.recorded_datagrams} are in "
                "the recording"
            )
    yield from evidence.decoding
