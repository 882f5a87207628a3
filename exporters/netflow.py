"""NetFlow v5, as Open vSwitch exports it.

Source: Open vSwitch 3.1, ``ofproto/netflow.c`` and ``vswitchd/vswitch.ovsschema``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from exporters.base import Bridge, Command, Identity, Observes, SwitchExporter


class NetFlow(SwitchExporter):
    """NetFlow v5: IPv4 only, every packet counted, one record per flow and ingress port.

    The engine is the switch's number (``engine_type << 8 | engine_id``), so that exports of
    several switches can be told apart: Open vSwitch's own default is one value for all.
    """

    name: ClassVar[str] = "netflow"
    differences: ClassVar[str] = """\
- Sees IPv4 only: no IPv6, no ARP. A VLAN-tagged packet is reported without its VLAN,
  but the tag's four octets are counted.
- IP fragments but the first have ports 0.
- `octets_l2` stand in dOctets, where the format means those of layer 3: 14 more per packet than
  the probes tell.
- Any change in the switch may split a flow into several records: how many there are is not
  determined, their sum is.
- ICMP: source port 0, type and code in the destination port.
- What the switch rewrites is told as it leaves, after the actions: the addresses that came in are
  in no record.
- Times are relative to the switch's clock, which flowlab's flush moves: what is exported after
  it is told up to 3 s early.
- The sequence number is that of the last record in the datagram, not of the first.
- Engine type and id are the switch's number; Open vSwitch's own default is one value for all
  bridges.
"""

    active_timeout_s: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=60, description="A flow that lasts longer is reported in pieces of this length."
    )
    add_id_to_interface: bool = Field(
        default=False,
        description="Put the low bits of the engine id into the top bits of the interfaces.",
    )

    @property
    def title(self) -> str:
        """See `Exporter.title`."""
        return "NetFlow v5"

    @property
    def protocol(self) -> str:
        """See `Exporter.protocol`."""
        return "netflow5"

    def switch_on(self, bridge: Bridge, target: str) -> Command:
        """See `SwitchExporter.switch_on`."""
        row = f"@netflow-{bridge.name}"
        return (
            f"--id={row}",
            "create",
            "NetFlow",
            f'targets="{target}"',
            f"engine_type={bridge.number >> 8}",
            f"engine_id={bridge.number & 255}",
            f"active_timeout={self.active_timeout_s}",
            f"add_id_to_interface={str(self.add_id_to_interface).lower()}",
            "--",
            "set",
            "Bridge",
            bridge.name,
            f"netflow={row}",
        )

    def expire(self, bridge: Bridge) -> Command:
        """Let the active timeout end all flows.

        A flow of one packet never has its statistics pushed a second time, so a purge of the
        datapath's flows does not report it; only the active timeout does.
        """
        return ("set", "NetFlow", bridge.name, "active_timeout=1")

    def identity(self, bridge: Bridge) -> Identity:
        """See `Exporter.identity`."""
        return Identity(observation_domain=bridge.number)

    def observes(self) -> Observes:
        """Packets, whole frames' octets and flags of IPv4 flows; nothing else.

        Open vSwitch puts the whole frame's octets (without FCS) where the format has
        those of layer 3.
        """
        return Observes(
            measures=("packets", "octets_l2", "tcpControlBits", "times"),
            not_seen={
                "ipv6": "NetFlow v5 has no room for IPv6 addresses",
                "non_ip": "NetFlow v5 reports IPv4 only",
            },
            on_switch_clock=True,
            tells_ports=not self.add_id_to_interface,
            no_ports_since="add_id_to_interface is true" if self.add_id_to_interface else "",
            after_actions=True,
        )
