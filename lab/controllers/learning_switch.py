"""A learning switch: where a host is, is where its packets come from.

It is reactive: a packet that no rule fits goes to the controller, which learns, installs a rule if
it knows where the packet is for, and hands the packet back ("packet-out"). So such a packet is
handled twice by its switch, and each exporter counts it twice.
"""

from __future__ import annotations

from typing import Any

from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib.packet import ethernet, packet

from lab.controllers.base import App


class LearningSwitch(App):
    """Learns, for each switch by itself, at which port each host is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Nothing is known at first."""
        super().__init__(*args, **kwargs)
        self.port_of: dict[tuple[int, str], int] = {}
        self.installed: dict[tuple[int, int, str], int] = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def switch_came(self, event: Any) -> None:
        """Let everything that no other rule fits come to the controller, whole."""
        switch = event.msg.datapath
        self.installed = {rule: out for rule, out in self.installed.items() if rule[0] != switch.id}
        protocol = switch.ofproto
        to_controller = switch.ofproto_parser.OFPActionOutput(
            protocol.OFPP_CONTROLLER, protocol.OFPCML_NO_BUFFER
        )
        self.add_rule(switch, 0, {}, [to_controller])

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_came(self, event: Any) -> None:
        """Learn from it, and send it on."""
        message = event.msg
        switch, protocol = message.datapath, message.datapath.ofproto
        parser = switch.ofproto_parser
        in_port = message.match["in_port"]
        frame = packet.Packet(message.data).get_protocol(ethernet.ethernet)

        self.port_of[switch.id, frame.src] = in_port
        out_port = self.port_of.get((switch.id, frame.dst), protocol.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(out_port)]
        # Of many packets that come before the first one's rule is there, one installs it: a rule
        # that takes another's place while packets come may lose count of some.
        rule = (switch.id, in_port, frame.dst)
        if out_port not in (protocol.OFPP_FLOOD, self.installed.get(rule)):
            self.installed[rule] = out_port
            self.add_rule(switch, 10, {"in_port": in_port, "eth_dst": frame.dst}, actions)
        switch.send_msg(
            parser.OFPPacketOut(
                datapath=switch,
                buffer_id=protocol.OFP_NO_BUFFER,
                in_port=in_port,
                actions=actions,
                data=message.data,
            )
        )
