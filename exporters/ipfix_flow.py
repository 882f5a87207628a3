"""IPFIX of chosen flows, as Open vSwitch exports it: the OpenFlow action ``sample``.

Source: Open vSwitch 3.1, ``ofproto/ofproto-dpif-ipfix.c``, ``ovs-actions(7)``: ``sample``.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field

from exporters.base import Bridge, Command, Identity, Observes, SwitchExporter
from exporters.ipfix import BFD_PORTS, FRAGMENT_HEADER

FIRST_DOMAIN: Final = 0x10000
"""Added to a switch's number: its observation domain here, so that the bridge's own differs."""
PROBABILITY: Final = 65_535
"""Of ``sample``: as many packets of so many (``ovs-actions(7)``)."""
PRIORITY: Final = 40_000
"""Of the rules that flowlab installs itself: above those of a learning switch."""

_MATCHES: Final = {
    "ip": ("ip", "ipv6"),
    "udp": ("udp", "udp6"),
    "tcp": ("tcp", "tcp6"),
    "icmp": ("icmp", "icmp6"),
}
"""ovs-ofctl's words for what both versions of IP carry."""


class IpfixFlow(SwitchExporter):
    """IPFIX of the packets that meet the action ``sample``, each of them once.

    The action names a collector set and an observation domain. Here the set's number is the
    switch's number, and the domain that plus 65536. An application on a controller has to
    use the same two; then ``install_rules`` is to be false.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"only": "udp"}]})

    name: ClassVar[str] = "ipfix-flow"
    differences: ClassVar[str] = """\
- Only packets that meet the action `sample` are reported, and each of them once: there is no
  flowDirection to choose by.
- Its observation domain is the switch's number plus 65536, so that it can be told from the
  bridge's own exporter.
- All else is as with `ipfix`: the two are one part of Open vSwitch.
"""

    only: Literal["ip", "udp", "tcp", "icmp"] | None = Field(
        default=None, description="Sample packets of this kind alone: ip, udp, tcp or icmp."
    )
    port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        default=None, description="With udp or tcp: sample this destination port alone."
    )
    sampling: Annotated[int, Field(ge=1, le=PROBABILITY)] = Field(
        default=1, description="One packet in so many is looked at; 1 looks at each one."
    )
    cache_active_timeout_s: Annotated[int, Field(ge=0, le=4200)] = Field(
        default=60, description="A flow is reported at least this often; 0: at once."
    )
    cache_max_flows: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=1_000_000, description="Flows kept before the oldest are sent; 0: each packet."
    )
    install_rules: bool = Field(
        default=True,
        description="Install the action by rules; false where a controller's application does.",
    )

    @property
    def title(self) -> str:
        """See `Exporter.title`."""
        return "IPFIX of flows"

    @property
    def protocol(self) -> str:
        """See `Exporter.protocol`."""
        return "ipfix"

    def wrong(self) -> tuple[str, str, str] | None:
        """See `Exporter.wrong`."""
        if self.port is None or self.only in ("udp", "tcp"):
            return None
        return "port", "only UDP and TCP have ports", "write only: udp, or only: tcp, beside it"

    def switch_on(self, bridge: Bridge, target: str) -> Command:
        """See `SwitchExporter.switch_on`."""
        row, at = f"@ipfix-flow-{bridge.name}", f"@bridge-{bridge.name}"
        return (
            f"--id={at}",
            "get",
            "Bridge",
            bridge.name,
            "--",
            f"--id={row}",
            "create",
            "IPFIX",
            f'targets="{target}"',
            f"cache_active_timeout={self.cache_active_timeout_s}",
            f"cache_max_flows={self.cache_max_flows}",
            "--",
            "create",
            "Flow_Sample_Collector_Set",
            f"id={bridge.number}",
            f"bridge={at}",
            f"ipfix={row}",
        )

    def rules(self, bridge: Bridge) -> tuple[str, ...]:
        """The action, and then what the switch would have done without it."""
        if not self.install_rules:
            return ()
        sample = (
            f"sample(probability={PROBABILITY // self.sampling},"
            f"collector_set_id={bridge.number},"
            f"obs_domain_id={self.identity(bridge).observation_domain},"
            f"obs_point_id={bridge.number})"
        )
        port = "" if self.port is None else f"tp_dst={self.port},"
        kinds = _MATCHES[self.only] if self.only else ("",)
        return tuple(
            f"priority={PRIORITY},{kind and f'{kind},'}{port}actions={sample},NORMAL"
            for kind in kinds
        )

    def flush(self, bridge: Bridge) -> Command:
        """Removing the collector set sends every record that it keeps."""
        return ("destroy", "Flow_Sample_Collector_Set", str(bridge.number))

    def identity(self, bridge: Bridge) -> Identity:
        """See `Exporter.identity`."""
        return Identity(observation_domain=FIRST_DOMAIN + bridge.number)

    def observes(self) -> Observes:
        """As of a bridge, but each packet once, and only where the action is met."""
        return Observes(
            measures=("packets", "octets_l2", "octets_l3", "times"),
            # The action's probability is a whole number of 65535ths.
            sampling=PROBABILITY // (PROBABILITY // self.sampling),
            not_seen={
                f"udp/{port}": "Open vSwitch takes this port for BFD and leaves it out of IPFIX"
                for port in BFD_PORTS
            }
            | self._not_chosen(),
            later_fragments_as=FRAGMENT_HEADER,
        )

    def _not_chosen(self) -> dict[str, str]:
        if self.only is None:
            return {}
        kind = self.only if self.port is None else f"{self.only}/{self.port}"
        return {f"not {kind}": f"the action is put on {kind} alone"}
