"""softflowd: a software probe that exports NetFlow v5, NetFlow v9 or IPFIX.

Source: softflowd 1.1.0 (Debian 12): ``softflowd.c``, ``netflow5.c``, ``netflow9.c``, ``ipfix.c``.
What follows was tried at a switch port:

- It counts every IP packet that crosses the port, in either direction, once. What is not IP it
  only counts as ignored.
- Octets are those of the IP packet by its own length field, so a snapped packet counts whole.
- One flow has both directions; each that had packets becomes a record. ICMP: source port 0,
  destination port ``type << 8 | code``, so request and reply are flows of their own.
- IPv6 fragments but the first have the protocol 0.
- NetFlow v5 has no IPv6. Times are milliseconds since its start, in IPFIX those since 1970
  (``-A milli``; without it there is no absolute time in the records).
- Its sequence numbers: v5 the first record, v9 datagrams, IPFIX the data records of flows up to
  and with this message; its own options records are not counted.
- The observation domain (source id, engine) is always 0.
- ``expire-all`` on its control socket exports every flow before it answers. But its capture waits
  until a block of 256 KiB is full, without any time limit (libpcap's "timeout 0"): what
  is in a block that is not full has to be pushed out by frames behind it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from exporters.base import WHOLE_SECONDS_MS, Bridge, Command, Identity, Observes, Probe

CAPTURE_OCTETS: Final = 32 << 20
"""Of the ring between kernel and probe; libpcap's 2 MiB are a fifth of a second of busy traffic."""

_VERSIONS: Final = {"netflow5": "5", "netflow9": "9", "ipfix": "10"}
_TITLES: Final = {"netflow5": "NetFlow v5", "netflow9": "NetFlow v9", "ipfix": "IPFIX"}


class Softflowd(Probe):
    """softflowd at a switch port: IP packets in both directions, octets of layer 3."""

    name: ClassVar[str] = "softflowd"
    differences: ClassVar[str] = """\
- Counts the IP packets that cross one port, in either direction; frames that are not IP are
  only ignored.
- Octets are those of the IP packet by its own length field: `octets_l3`, 14 fewer per packet
  than a whole frame.
- IP fragments but the first have ports 0; those of IPv6 have the protocol 0.
- Both directions are one flow to it, and become a record each; flowDirection says which came
  first, nothing about ports.
- NetFlow v9 tells its clock in whole seconds: times come out up to 1 s early. IPFIX has times
  since 1970 (`-A milli`).
- IPFIX sequence numbers count the records of flows up to and with a message, and leave options
  records out.
- Source id, engine and observation domain are always 0: it is known by the address that its
  datagrams come from.
- Its capture waits until a block of 256 KiB is full, without a time limit: flowlab pushes the
  last one out.
"""
    program: ClassVar[str] = "softflowd"
    package: ClassVar[str] = "softflowd"
    network: ClassVar[int] = 1

    export: Literal["netflow5", "netflow9", "ipfix"] = Field(
        default="netflow9", description="What it speaks: netflow5, netflow9 or ipfix."
    )
    active_timeout_s: Annotated[int, Field(ge=1, le=604_800)] = Field(
        default=3600, description="A flow that lasts longer is reported in pieces of this length."
    )
    max_flows: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=100_000, description="Flows kept before the oldest are sent."
    )

    @property
    def title(self) -> str:
        """See `Exporter.title`."""
        return f"softflowd {_TITLES[self.export]}"

    @property
    def protocol(self) -> str:
        """See `Exporter.protocol`."""
        return self.export

    def command(self, bridge: Bridge, directory: str) -> Command:
        """See `Probe.command`."""
        return (
            self.program,
            "-d",
            *("-i", self.interface(bridge)),
            *("-n", self.destinations(bridge)[0]),
            *("-v", _VERSIONS[self.export]),
            *("-c", f"{directory}/control"),
            *("-p", f"{directory}/pid"),
            *("-m", str(self.max_flows)),
            *("-t", f"maxlife={self.active_timeout_s}", "-t", "expint=1"),
            *("-B", str(CAPTURE_OCTETS)),
            *(("-A", "milli") if self.export == "ipfix" else ()),
        )

    def identity(self, bridge: Bridge) -> Identity:
        """See `Exporter.identity`: it calls itself 0, wherever it is."""
        return Identity(observation_domain=0, address=self.address(bridge))

    def observes(self) -> Observes:
        """IP packets and their octets, flags and times."""
        unseen = {"non_ip": "softflowd looks at IP packets only"}
        if self.export == "netflow5":
            unseen["ipv6"] = "NetFlow v5 has no room for IPv6 addresses"
        return Observes(
            measures=("packets", "octets_l3", "tcpControlBits", "times"),
            not_seen=unseen,
            early_ms=WHOLE_SECONDS_MS if self.export == "netflow9" else 0,
            habits="softflowd",
            later_fragments_as=0,
        )
