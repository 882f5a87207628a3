"""What every application here begins with: what it was told, and how to install a rule.

OpenFlow 1.3 (ONF TS-006). A rule is: what packets it is for (match), which of several rules is
taken (priority), and what is done with them (actions).

Where there are VLANs a switch has two tables of rules. The first one gives each frame of a host the
tag of the host's VLAN (IEEE 802.1Q), so that the second one, which forwards, sees tagged frames
only. The tag is taken off again where a frame leaves for a host. Without VLANs one table does it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ryu.base import app_manager
from ryu.ofproto import ofproto_v1_3

if TYPE_CHECKING:
    from collections.abc import Iterator

VLAN_TAG = 0x8100
"""The EtherType that says that a tag follows."""

ALL = ("01:00:00:00:00:00", "01:00:00:00:00:00")
"""What is sent to all: the lowest bit of the first octet says so (IEEE 802)."""


class App(app_manager.RyuApp):
    """An application of flowlab's.

    Attributes:
        settings: what the scenario says of it.
        hosts: by name: ``mac``, ``ipv4``, its ``vlan`` or None, and the switch that it is ``at``.
        switches: by datapath id: ``name``; ``ways``: host → ports on the shortest ways to it;
            ``hosts``: port → the VLAN of the host there, or None; ``trunks``: ports to other
            switches that what is sent to all may take.
        vlans: those that there are.
    """

    OFP_VERSIONS: ClassVar[list[int]] = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Read what it was told."""
        super().__init__(*args, **kwargs)
        told = json.loads(Path(os.environ["FLOWLAB_CONTROLLER"]).read_text(encoding="utf-8"))
        self.settings: dict[str, Any] = told["settings"]
        self.hosts: dict[str, dict[str, Any]] = told["hosts"]
        self.switches = {int(number): switch for number, switch in told["switches"].items()}
        self.vlans = {host["vlan"] for host in self.hosts.values()} - {None}

    def add_rule(
        self, switch: Any, priority: int, match: dict[str, Any], actions: list[Any]
    ) -> None:
        """Install a rule in the table that forwards; without actions it drops.

        Args:
            switch: Ryu's datapath.
            priority: of the rules that fit a packet, the one with the highest is taken.
            match: fields of OpenFlow by name; a pair is a value and its mask.
            actions: what is done, in this order.
        """
        parser, protocol = switch.ofproto_parser, switch.ofproto
        apply = parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS, actions)
        self._add(switch, int(bool(self.vlans)), priority, match, [apply])

    def tag_frames(self, switch: Any) -> None:
        """Fill the first table, if there are VLANs."""
        parser, protocol = switch.ofproto_parser, switch.ofproto
        then = parser.OFPInstructionGotoTable(1)
        for port, vlan in self.switches[switch.id]["hosts"].items():
            if vlan is not None:
                tag = parser.OFPActionSetField(vlan_vid=vlan | protocol.OFPVID_PRESENT)
                actions = [parser.OFPActionPushVlan(VLAN_TAG), tag]
                apply = parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS, actions)
                self._add(switch, 0, 10, {"in_port": int(port)}, [apply, then])
        if self.vlans:
            self._add(switch, 0, 0, {}, [then])

    @staticmethod
    def _add(
        switch: Any, table: int, priority: int, match: dict[str, Any], instructions: list[Any]
    ) -> None:
        parser = switch.ofproto_parser
        switch.send_msg(
            parser.OFPFlowMod(
                datapath=switch,
                table_id=table,
                priority=priority,
                match=parser.OFPMatch(**match),
                instructions=instructions,
            )
        )

    def to(self, host: str) -> dict[str, Any]:
        """The match of what is for a host; in another VLAN it is not for it."""
        there = self.hosts[host]
        return {"eth_dst": there["mac"], **self._in_vlan(there["vlan"])}

    def _in_vlan(self, vlan: int | None) -> dict[str, int]:
        present = ofproto_v1_3.OFPVID_PRESENT
        return {"vlan_vid": vlan | present if vlan else 0} if self.vlans else {}

    def out(self, switch: Any, *ports: int) -> list[Any]:
        """Actions that send a packet out by ports: tagged where switches are, then untagged."""
        parser = switch.ofproto_parser
        hosts = self.switches[switch.id]["hosts"]
        untagged = [port for port in ports if hosts.get(str(port)) is not None]
        actions = [parser.OFPActionOutput(port) for port in ports if port not in untagged]
        if untagged:
            actions.append(parser.OFPActionPopVlan())
        return actions + [parser.OFPActionOutput(port) for port in untagged]

    def flood(self, switch: Any) -> Iterator[tuple[dict[str, Any], list[Any]]]:
        """Match and actions of what is sent to all: everywhere, or everywhere in its VLAN."""
        parser, protocol = switch.ofproto_parser, switch.ofproto
        here = self.switches[switch.id]
        if not self.vlans:
            yield {"eth_dst": ALL}, [parser.OFPActionOutput(protocol.OFPP_FLOOD)]
            return
        for vlan in {host["vlan"] for host in self.hosts.values()}:
            members = [int(port) for port, its in here["hosts"].items() if its == vlan]
            ports = (*here["trunks"], protocol.OFPP_LOCAL, *members)  # a port is never sent back to
            yield {"eth_dst": ALL, **self._in_vlan(vlan)}, self.out(switch, *ports)
