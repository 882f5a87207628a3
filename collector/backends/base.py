"""What a collector under test is to the rest: how it is started, read, and what it cannot say.

A back end is one module. It knows one collector; it does not know where the datagrams come from or
what is expected. Its rows are of the columns that `truth.json` has too, so that the two can be
compared without a word about who said what:

    protocol, family, exporter, observation_domain, agent, flowDirection, flow,
    packets, octets, octets_l2, octets_l3, tcpControlBits, first_ns, last_ns

`flow` is `FlowKey.to_json`'s. `octets` is the one count of a collector that does not say of which
layer it is. What is not said is not there.
"""

from __future__ import annotations

import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, ClassVar, Final

from collector.decode.packet import WITH_PORTS
from collector.key import ICMP, ICMPV6, FlowKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from collector.backends.daemons import Daemon

Row = Mapping[str, Any]
"""A flow: the columns above."""
OBSERVER: Final = (
    *("family", "protocol", "exporter", "observation_domain", "agent", "flowDirection"),
)
"""Columns that say who saw it."""
COUNTS: Final = ("packets", "octets", "octets_l2", "octets_l3")
TIMES: Final = ("first_ns", "last_ns")
MILLISECOND_NS: Final = 1_000_000
_VERSION_S: Final = 20.0
_PORTS: Final = frozenset(int(number) for number in WITH_PORTS)


@dataclass(frozen=True)
class Tells:
    """What a collector says of a flow.

    Attributes:
        observer: the columns of `OBSERVER` that it says; flows that differ in others only are one.
        measures: the columns that it counts.
        resolution_ns: how finely it tells the time.
    """

    observer: frozenset[str]
    measures: frozenset[str]
    resolution_ns: int = 1


@dataclass(frozen=True)
class Given:
    """What a collector is given to work with.

    Attributes:
        folder: where it may write; empty.
        capture: the datagrams that are sent to it, for those who read captures.
        families: what kinds of datagrams come (`collector.senders.FAMILIES`).
        habits: what exporters do differently from the formats' texts, by address; only those who
            know that ask.
        exporters: the addresses of all that send, as the capture has them; none: not known.
    """

    folder: Path
    capture: Path
    families: frozenset[str]
    habits: Mapping[str, str] = field(default_factory=dict)
    exporters: frozenset[str] = frozenset()


class Backend(ABC):
    """A collector under test."""

    name: ClassVar[str]
    says: ClassVar[str]
    """What it is, and what of it is asked; for people."""
    programs: ClassVar[tuple[str, ...]] = ()
    """Programs that it needs."""
    receives: ClassVar[bool] = True
    """Whether it listens; else it reads the capture."""

    def missing(self) -> str:
        """Why it cannot be run here; "" if it can."""
        lacking = [program for program in self.programs if shutil.which(program) is None]
        return f"{', '.join(lacking)} not installed" if lacking else ""

    @abstractmethod
    def version(self) -> str:
        """Which version is installed; "" if that cannot be found out."""

    def takes(self, family: str) -> bool:
        """Whether it takes datagrams of a kind (`collector.senders.FAMILIES`) at all."""
        del family
        return True

    @abstractmethod
    def tells(self, family: str) -> Tells:
        """What it says of flows that come in a kind of datagrams."""

    def cannot(self, row: Row) -> str:
        """Why it cannot express a flow; "" if it can.

        Args:
            row: what is expected.
        """
        del row
        return ""

    def told(self, key: Mapping[str, Any]) -> dict[str, Any]:
        """A flow key as far as it can say it: what it has no column for is 0.

        Args:
            key: as `FlowKey.to_json` gives it.
        """
        return dict(key)

    @abstractmethod
    def daemons(self, given: Given) -> Sequence[Daemon]:
        """The programs that receive, one run after the other; none if it reads captures."""

    @abstractmethod
    def rows(self, given: Given) -> list[Row]:
        """The flows that it has written, after its programs have ended.

        Raises:
            Failed: it has not written what it should.
        """

    def remark(self, given: Given) -> str:
        """What is worth saying of its output, after `rows`, whether that is right or not."""
        del given
        return ""

    def counts(self, given: Given) -> Mapping[str, int]:
        """What it counts of all that came, by `collector.corpus.case.COUNTS`; none if it does not.

        Raises:
            Failed: as for `rows`.
        """
        del given
        return {}

    def packets(self, given: Given) -> int:
        """The packets of all flows that it has written; quicker than rows where there is a sum.

        Raises:
            Failed: as for `rows`.
        """
        return sum(row["packets"] or 0 for row in self.rows(given))

    def taken(self, given: Given) -> int | None:
        """The flow records that it says it took, after it has ended; None: it does not say."""
        del given
        return None


def flow(
    source: str, destination: str, protocol: int, source_port: int = 0, destination_port: int = 0
) -> dict[str, Any]:
    """A flow key as JSON, from what any collector says.

    Args:
        source: an address, in any spelling.
        destination: likewise.
        protocol: its IP number.
        source_port: 0 for what has no ports; so is what a collector says of ICMP.
        destination_port: likewise; of ICMP type << 8 | code.
    """
    ends = [ip_address(end) for end in (source, destination)]
    mapped = [getattr(end, "ipv4_mapped", None) for end in ends]
    # A socket or a column for both families has IPv4 in IPv6; one end alone would be another flow.
    if any(mapped) and all(one or end.version == 4 for one, end in zip(mapped, ends, strict=True)):
        ends = [one or end for one, end in zip(mapped, ends, strict=True)]
    if protocol in (ICMP, ICMPV6):
        source_port = 0
    elif protocol not in _PORTS:
        source_port = destination_port = 0
    version = ends[0].version
    key = FlowKey(version, str(ends[0]), str(ends[1]), protocol, source_port, destination_port)
    return key.to_json()


def spelled(told: str) -> str:
    """An address in the spelling that all have; IPv4 in IPv6 is IPv4; other texts stay."""
    try:
        parsed = ip_address(told.strip())
    except ValueError:
        return told
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def frames(source: str, destination: str, ethernet_type: int) -> dict[str, Any]:
    """The flow key of frames without IP."""
    return FlowKey(0, source.lower(), destination.lower(), ethernet_type, 0, 0).to_json()


def first_line(*command: str) -> str:
    """The first line that a program prints, on whichever stream: most say their version there."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else ""
