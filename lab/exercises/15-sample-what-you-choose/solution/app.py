"""An application for Ryu: forwards everything, and samples what goes to one port."""

import json
import os
import re
from pathlib import Path

from ryu.base import app_manager
from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, set_ev_cls
from ryu.ofproto import ofproto_v1_3

SCENARIO = Path(__file__).with_name("sampled.yaml").read_text()
CHOSEN = int(re.search(r"ipfix-flow:.*port: (\d+)", SCENARIO)[1])
NETWORK = json.loads(Path(os.environ["FLOWLAB_CONTROLLER"]).read_text())


class Sampler(app_manager.RyuApp):
    OFP_VERSIONS = [ofproto_v1_3.OFP_VERSION]

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def switch_came(self, event):
        """A switch has connected: tell it what to do with packets."""
        switch = event.msg.datapath
        parser = switch.ofproto_parser
        for host, ports in NETWORK["switches"][str(switch.id)]["ways"].items():
            mac = NETWORK["hosts"][host]["mac"]
            out = parser.OFPActionOutput(ports[0])
            self.rule(switch, 10, parser.OFPMatch(eth_dst=mac), [out])
            sample = parser.NXActionSample(
                probability=65535,
                collector_set_id=switch.id,
                obs_domain_id=65536 + switch.id,
                obs_point_id=switch.id,
            )
            chosen = parser.OFPMatch(eth_dst=mac, eth_type=0x0800, ip_proto=17, udp_dst=CHOSEN)
            self.rule(switch, 20, chosen, [sample, out])

    def rule(self, switch, priority, match, actions):
        """Install a rule; of those that fit a packet the one with the highest priority is taken."""
        parser, protocol = switch.ofproto_parser, switch.ofproto
        apply = parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS, actions)
        switch.send_msg(
            parser.OFPFlowMod(datapath=switch, priority=priority, match=match, instructions=[apply])
        )
