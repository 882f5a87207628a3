"""Exports as no profile makes them alone: those of two in turn, and copies that come late.

Each takes a case as it was made, and changes it where it is.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from collector import pcap
from collector.corpus.case import Truth
from collector.recording import Writer
from lab.corpus import write_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from collector.corpus.case import Case

Datagram = TypeVar("Datagram")


def with_those_of(case: Case, other: Case) -> Case:
    """A case with the datagrams of another one between its own, and what is true of both."""
    datagrams = in_turn(_datagrams(case), _datagrams(other))
    ours, theirs = case.truth(), other.truth()
    counts = {
        name: None if count is None or (more := theirs.counts.get(name)) is None else count + more
        for name, count in ours.counts.items()
    }
    _write(case, sorted(when for when, _ in datagrams), [octets for _, octets in datagrams])
    return write_case(
        case.folder, case.manifest, Truth([*ours.flows, *theirs.flows], counts), case.exports
    )


def with_late_copies(case: Case, places: int) -> Case:
    """A case whose datagrams come again not at once, but behind so many others."""
    datagrams = _datagrams(case)
    octets = apart([octets for _, octets in datagrams], places)
    _write(case, [when for when, _ in datagrams], octets)
    return case


def in_turn(ones: Sequence[Datagram], others: Sequence[Datagram]) -> list[Datagram]:
    """One of these, one of those; what there is more of comes last."""
    pairs = zip(ones, others, strict=False)
    return [*chain.from_iterable(pairs), *ones[len(others) :], *others[len(ones) :]]


def apart(datagrams: Sequence[Datagram], places: int) -> list[Datagram]:
    """The same datagrams, those that came before behind so many others."""
    came: list[Datagram] = []
    late: list[tuple[int, Datagram]] = []
    seen: set[Datagram] = set()
    for one in datagrams:
        if one in seen:
            late.append((len(came) + places, one))
        else:
            seen.add(one)
            came.append(one)
        while late and late[0][0] <= len(came):
            came.append(late.pop(0)[1])
    return came + [one for _, one in late]


def _datagrams(case: Case) -> list[tuple[int, bytes]]:
    """When each came, and its octets with all headers."""
    return list(pcap.read(case.exports).frames())


def _write(case: Case, times_ns: Iterable[int], datagrams: Iterable[bytes]) -> None:
    with Writer(case.exports) as writer:
        for when, octets in zip(times_ns, datagrams, strict=True):
            writer.write(when, octets)
