"""A poller: the counters that OpenFlow itself has, of ports and of rules.

Before there was flow export, this is how one knew: ask every switch, again and again. Ports count
frames, rules count what they fitted. All answers end up in ``counters.json`` of the run folder,
and the last ones are compared with what crossed the wire.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub

from lab.controllers.shortest_path import ShortestPath

LAST_PORT = 0xFFFFFF00
"""Above are ports that are no ports: LOCAL, CONTROLLER, … (OFPP_MAX)."""
MOST_ROUNDS = 10_000


class Poller(ShortestPath):
    """Asks all switches in rounds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Begin to ask."""
        super().__init__(*args, **kwargs)
        self.asked: dict[int, Any] = {}
        self.answers: list[dict[str, Any]] = []
        self.due: dict[int, int] = {}
        hub.spawn(self.ask_again_and_again)

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def another_came(self, event: Any) -> None:
        """Ask this one too, from now on; what it owed before a restart it will not answer."""
        switch = event.msg.datapath
        self.asked[switch.id], self.due[switch.id] = switch, 0

    def ask_again_and_again(self) -> None:
        """A round, a pause, a round."""
        for _ in range(MOST_ROUNDS):
            hub.sleep(self.settings["interval_s"])
            self.ask()

    def ask(self) -> None:
        """Ask every switch for all of its ports and all of its rules."""
        for switch in self.asked.values():
            parser, anything = switch.ofproto_parser, switch.ofproto.OFPP_ANY
            switch.send_msg(parser.OFPPortStatsRequest(switch, 0, anything))
            switch.send_msg(parser.OFPFlowStatsRequest(switch))
            self.due[switch.id] += 2

    @set_ev_cls(ofp_event.EventOFPPortStatsReply, MAIN_DISPATCHER)
    def ports_answered(self, event: Any) -> None:
        """Keep what each port counted."""
        ports = {
            str(port.port_no): {
                "rx_packets": port.rx_packets,
                "rx_octets": port.rx_bytes,
                "tx_packets": port.tx_packets,
                "tx_octets": port.tx_bytes,
            }
            for port in event.msg.body
            if port.port_no < LAST_PORT
        }
        self.keep(event, "ports", ports)

    @set_ev_cls(ofp_event.EventOFPFlowStatsReply, MAIN_DISPATCHER)
    def rules_answered(self, event: Any) -> None:
        """Keep what each rule counted."""
        rules = [
            {
                "priority": rule.priority,
                "match": {field: str(value) for field, value in rule.match.items()},
                "packets": rule.packet_count,
                "octets": rule.byte_count,
            }
            for rule in event.msg.body
        ]
        self.keep(event, "rules", rules)

    def keep(self, event: Any, what: str, counted: Any) -> None:
        """Note an answer; a long one comes in several parts, and the last part ends it."""
        message = event.msg
        number = message.datapath.id
        name = self.switches[number]["name"]
        self.answers.append({"at_ns": time.time_ns(), "switch": name, what: counted})
        if not message.flags & message.datapath.ofproto.OFPMPF_REPLY_MORE:
            self.due[number] -= 1

    def finish(self) -> None:
        """A last round, when all packets have passed; then write all answers down."""
        self.ask()
        until = time.monotonic() + 5
        while any(self.due.values()) and time.monotonic() < until:
            hub.sleep(0.005)
        file = Path(os.environ["FLOWLAB_CONTROLLER"]).with_name("counters.json")
        file.write_text(json.dumps(self.answers), encoding="utf-8")
