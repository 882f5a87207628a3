"""sFlow v5, as Open vSwitch exports it.

Source: Open vSwitch 3.1, ``ofproto/ofproto-dpif-sflow.c`` and ``lib/sflow_agent.c``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from exporters.base import Bridge, Command, Identity, Observes, SwitchExporter

# Ethernet 14 + IPv6 40 + TCP 20 + one 802.1Q tag 4: a shorter sample would lose the flow's key.
SHORTEST_HEADER_OCTETS = 78
# Tried with 3.1.0: up to 612 octets all samples come, from 613 on none at all, without a word.
LONGEST_HEADER_OCTETS = 512


class SFlow(SwitchExporter):
    """sFlow v5: the first octets of one packet in N, of any kind; if asked, ports' counters."""

    name: ClassVar[str] = "sflow"
    differences: ClassVar[str] = """\
- A sample is a packet, not a flow: frame length less the FCS gives `octets_l2`, its headers all
  else.
- A frame that is not IP is told by MAC addresses and EtherType; a VLAN tag is in the header, its
  four octets in the frame length. Fragments but the first have ports 0.
- What the switch rewrites is told as it came: a sample is taken before any action.
- It tells no times: those of a flow are when its datagrams came.
- Up to 612 octets of header can be asked for; with more the switch sends nothing at all.
  flowlab allows 78 to 512.
- Sequence numbers count datagrams, by agent; the agent 10.255.x.y is the switch's number.
"""

    sampling: Annotated[int, Field(ge=1, le=2**31)] = Field(
        default=1, description="One packet in so many is sampled; 1 samples each one."
    )
    polling_s: Annotated[int, Field(ge=0, le=3600)] = Field(
        default=0, description="Ports' counters are sent this often; 0 sends none."
    )
    header_octets: Annotated[int, Field(ge=SHORTEST_HEADER_OCTETS, le=LONGEST_HEADER_OCTETS)] = (
        Field(default=128, description="How much of the beginning of a packet a sample carries.")
    )

    @property
    def title(self) -> str:
        """See `Exporter.title`."""
        return "sFlow v5"

    @property
    def protocol(self) -> str:
        """See `Exporter.protocol`."""
        return "sflow5"

    def switch_on(self, bridge: Bridge, target: str) -> Command:
        """See `SwitchExporter.switch_on`."""
        row = f"@sflow-{bridge.name}"
        return (
            f"--id={row}",
            "create",
            "sFlow",
            f'targets="{target}"',
            f'agent="{self.identity(bridge).agent}"',
            f"sampling={self.sampling}",
            f"polling={self.polling_s}",
            f"header={self.header_octets}",
            "--",
            "set",
            "Bridge",
            bridge.name,
            f"sflow={row}",
        )

    def identity(self, bridge: Bridge) -> Identity:
        """An agent address for each bridge: sub-agent ids follow the order of bridges."""
        return Identity(agent=f"10.255.{bridge.number >> 8}.{bridge.number & 255}")

    def observes(self) -> Observes:
        """Each sampled packet whole: its length on the wire and its headers."""
        return Observes(
            measures=("packets", "octets_l2", "octets_l3", "tcpControlBits"),
            sampling=self.sampling,
        )
