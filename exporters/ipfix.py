"""IPFIX of a whole bridge, as Open vSwitch exports it.

Source: Open vSwitch 3.1, ``ofproto/ofproto-dpif-ipfix.c``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from exporters.base import Bridge, Command, Identity, Observes, SwitchExporter

BFD_PORTS = (3784, 3785)
FRAGMENT_HEADER = 44
"""IPv6-Frag: what it gives as protocol of IPv6 fragments but the first (tried)."""
INGRESS = 0
"""flowDirection (61) of the records that count a packet where it came in."""


class Ipfix(SwitchExporter):
    """IPFIX: each packet once where it enters and once for every port where it leaves.

    With a ``cache_max_flows`` of 0 each packet is a record of its own. With a
    ``cache_active_timeout_s`` of 0 a flow is sent as soon as the switch's main loop comes round:
    packets that come together are still counted in one record (tried: 40 packets at 1000 a second
    in 14 records).
    """

    name: ClassVar[str] = "ipfix"
    differences: ClassVar[str] = """\
- A packet is reported once coming in (flowDirection 0) and once for every port where it goes
  out (1); never add the two.
- What is flooded goes out at the bridge's own port (LOCAL) too, and is told once for that.
- What the switch rewrites is told as it came where it comes in, and as it leaves where it goes out.
- A frame that is not IP is told by MAC addresses and EtherType, without layer 3 octets. A VLAN
  tag's four octets are in layer 2 and not in layer 3; IPv6 extension headers are in both.
- IP fragments but the first have ports 0; those of IPv6 have the protocol 44, that of the fragment
  header, whatever is behind it.
- TCP flags are not those of a flow: its tcp…TotalCount run over the whole exporter.
- Times are exact milliseconds, counted back from the export time; the flush does not move them.
- UDP to the ports 3784 and 3785 is left out: Open vSwitch takes it for BFD.
- With `cache_max_flows` 0 every packet is a record of its own; with `cache_active_timeout_s` 0 a
  flow is sent as soon as the switch gets to it, and packets that come together are one record.
- Sequence numbers count data records over all domains of a socket; templates go to one domain
  only and serve the others.
- Counts are scaled up by the sampling rate, which is not said in the records.
"""

    sampling: Annotated[int, Field(ge=1, le=2**32 - 1)] = Field(
        default=1, description="One packet in so many is looked at; 1 looks at each one."
    )
    cache_active_timeout_s: Annotated[int, Field(ge=0, le=4200)] = Field(
        default=60, description="A flow is reported at least this often; 0: at once."
    )
    cache_max_flows: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=1_000_000, description="Flows kept before the oldest are sent; 0: each packet."
    )
    obs_point_id: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = Field(
        default=None, description="observationPointId; the switch's number if not given."
    )
    enable_tunnel_sampling: bool = Field(
        default=True, description="Report the outer headers of tunnelled packets as well."
    )

    @property
    def title(self) -> str:
        """See `Exporter.title`."""
        return "IPFIX"

    @property
    def protocol(self) -> str:
        """See `Exporter.protocol`."""
        return "ipfix"

    def switch_on(self, bridge: Bridge, target: str) -> Command:
        """See `SwitchExporter.switch_on`.

        ``enable-input-sampling`` and ``enable-output-sampling`` are left alone: 3.1 has them
        exchanged and ignores ``false``.
        """
        row = f"@ipfix-{bridge.name}"
        point = bridge.number if self.obs_point_id is None else self.obs_point_id
        return (
            f"--id={row}",
            "create",
            "IPFIX",
            f'targets="{target}"',
            f"sampling={self.sampling}",
            f"obs_domain_id={bridge.number}",
            f"obs_point_id={point}",
            f"cache_active_timeout={self.cache_active_timeout_s}",
            f"cache_max_flows={self.cache_max_flows}",
            f"other_config:enable-tunnel-sampling={str(self.enable_tunnel_sampling).lower()}",
            "--",
            "set",
            "Bridge",
            bridge.name,
            f"ipfix={row}",
        )

    def keep(self, bridge: Bridge, flows: int) -> Command:
        """See `SwitchExporter.keep`: done before ovs-vsctl returns (``dpif_ipfix_set_options``)."""
        return ("set", "IPFIX", bridge.name, f"cache_max_flows={flows}")

    def flush(self, bridge: Bridge) -> Command:
        """Switching it off sends every record that it keeps, before ovs-vsctl returns."""
        return ("clear", "Bridge", bridge.name, "ipfix")

    def identity(self, bridge: Bridge) -> Identity:
        """See `Exporter.identity`."""
        return Identity(observation_domain=bridge.number)

    def observes(self) -> Observes:
        """Packets and octets of both layers; its TCP flag counters are not per flow."""
        return Observes(
            measures=("packets", "octets_l2", "octets_l3", "times"),
            sampling=self.sampling,
            not_seen={
                f"udp/{port}": "Open vSwitch takes this port for BFD and leaves it out of IPFIX"
                for port in BFD_PORTS
            },
            flow_direction=INGRESS,
            tells_egress=True,
            later_fragments_as=FRAGMENT_HEADER,
        )
