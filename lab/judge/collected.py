"""What a collector told beside what it could know, after faults on the way and at both targets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from collector import arrival, pcap
from collector.arrival import Sender
from collector.check import Counted
from collector.check.model import Collected
from collector.decode import BY_NAME
from lab.judge.attribution import attribute
from lab.judge.exports import habits_of
from lab.judge.folder import EXPORTS, SENT, NotARun, read_faults, read_witnesses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import polars as pl

    from collector.arrival import Known
    from collector.check import Expected, Point
    from collector.check.counts import Counts
    from collector.check.witnesses import Witnesses


def after_faults(
    folder: Path, expected: Expected, witnesses: Witnesses
) -> tuple[tuple[Collected, ...], tuple[str, ...]]:
    """As `_collected`; but nothing where the lab broke and its recordings do not fit together.

    A capsule that died was still writing them. Its run is INVALID, and why is known.

    Raises:
        NotARun: what arrived is not what was sent, and nothing broke.
    """
    try:
        return _collected(folder, expected)
    except NotARun:
        if witnesses.failed is None:
            raise
        return (), ()


def _collected(folder: Path, expected: Expected) -> tuple[tuple[Collected, ...], tuple[str, ...]]:
    """What the collector told of what arrived beside what can be known, and faults in vain.

    Raises:
        NotARun: what arrived is not what was sent.
    """
    faults = read_faults(folder)
    lives, spoilt = faults.restarts, faults.spoilt
    restarted_ns = read_witnesses(folder).restarted_ns
    try:
        sent, arrived = (pcap.datagrams(pcap.read(folder / name)) for name in (SENT, EXPORTS))
        habits = {one: BY_NAME[name] for one, name in habits_of(expected.points).items()}
        knowable = arrival.knowable(sent, arrived, lives, habits, restarted_ns, spoilt)
    except (OSError, ValueError) as odd:
        raise NotARun(f"{folder} holds no recordings of a run with faults: {odd}") from odd
    collected = arrival.collect(arrived, lives, habits, spoilt)
    missed = tuple(
        f"{fault}: no datagram was struck; raise its percent, or choose another seed"
        for fault in expected.faults
        if not faults.struck.get(fault)
    )
    return (
        *_datagrams_compared(expected.points, knowable, collected),
        *_flows_compared(expected.points, knowable, collected),
    ), missed


def without_faults(expected: Expected) -> tuple[tuple[Collected, ...], tuple[str, ...]]:
    """Of a run without a recording of what was sent: no fault struck, whatever was asked for."""
    return (), tuple(
        f"{fault}: there is no {SENT}, so nothing was struck" for fault in expected.faults
    )


def _datagrams_compared(
    points: Iterable[Point], knowable: Known, told: Known
) -> Iterator[Collected]:
    names: dict[Sender, dict[str, None]] = {}
    places: dict[Sender, list[str]] = {}
    for point in points:
        sender = Sender(point.protocol, point.address)
        names.setdefault(sender, {})[point.exporter] = None
        places.setdefault(sender, []).append(point.observation_point)
    for sender in sorted(knowable.accounts.keys() | told.accounts.keys()):
        who = " and ".join(names.get(sender, {sender.address: None}))
        right = knowable.accounts.get(sender, arrival.Account())
        made = told.accounts.get(sender, arrival.Account())
        unit = "records" if sender.protocol in arrival.COUNT_RECORDS else "datagrams"
        for measure, known, seen in (
            (f"{unit} missing", right.missing, made.missing),
            ("duplicates", right.duplicates, made.duplicates),
            ("sets without template", right.waiting, made.waiting),
            ("exporter restarts", right.restarts, made.restarts),
        ):
            if measure == "exporter restarts" and sender.protocol not in arrival.TELL_RESTARTS:
                continue
            where = places.get(sender, [])
            yield Collected(
                who, where[0] if len(where) == 1 else "collector", None, measure, known, seen
            )


def _flows_compared(points: Iterable[Point], knowable: Known, told: Known) -> Iterator[Collected]:
    every = tuple(points)
    right, made = (attribute(known.flows, every)[0].listed() for known in (knowable, told))
    for place in dict.fromkeys((*right, *made)):
        exporter, switch, key = place
        one, other = (table.get(place, Counted(0, None, None)) for table in (right, made))
        yield Collected(exporter, switch, key, "collected packets", one.packets, other.packets)
        for layer in ("octets_l2", "octets_l3"):
            known, seen = getattr(one, layer), getattr(other, layer)
            if known is not None:
                yield Collected(exporter, switch, key, f"collected {layer}", known, seen)


def targets_compared(
    copied: pl.DataFrame, points: Iterable[Point], observed: Counts
) -> Iterator[Collected]:
    """Both targets of an exporter get the same."""
    there = {
        (point.exporter, point.observation_point): replace(point, address=point.also_to)
        for point in points
        if point.also_to
    }
    told, _, _ = attribute(copied, there.values())
    for place in dict.fromkeys((*observed, *told)) if there else ():
        if point := there.get(place[:2]):
            right, seen = (table.get(place, Counted(0)).packets for table in (observed, told))
            exporter, switch, key = place
            measure = f"packets told to {point.address}"
            yield Collected(exporter, switch, key, measure, right, seen)
