"""What every application here begins with: what it was told, and how to install a rule.

OpenFlow 1.3 (ONF TS-006). A rule is: what packets it is for (match), which of several rules is
taken (priority), and what is done with them (actions).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar

from ryu.base import app_manager
from ryu.ofproto import ofproto_v1_3

ALL = ("01:00:00:00:00:00", "01:00:00:00:00:00")
"""What is sent to all: the lowest bit of the first octet says so (IEEE 802)."""


class App(app_manager.RyuApp):
    """An application of flowlab's.

    Attributes:
        settings: what the scenario says of it.
        hosts: by name: ``mac``, ``ipv4``, and the switch that it is ``at``.
        switches: by datapath id: ``name``; ``ways``: host → ports on the shortest ways to it.
    """

    OFP_VERSIONS: ClassVar[list[int]] = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Read what it was told."""
        super().__init__(*args, **kwargs)
        told = json.loads(Path(os.environ["FLOWLAB_CONTROLLER"]).read_text(encoding="utf-8"))
        self.settings: dict[str, Any] = told["settings"]
        self.hosts: dict[str, dict[str, str]] = told["hosts"]
        self.switches = {int(number): switch for number, switch in told["switches"].items()}

    @staticmethod
    def add_rule(switch: Any, priority: int, match: dict[str, Any], actions: list[Any]) -> None:
        """Install a rule; without actions it drops.

        Args:
            switch: Ryu's datapath.
            priority: of the rules that fit a packet, the one with the highest is taken.
            match: fields of OpenFlow by name; a pair is a value and its mask.
            actions: what is done, in this order.
        """
        parser, protocol = switch.ofproto_parser, switch.ofproto
        instruction = parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS, actions)
        switch.send_msg(
            parser.OFPFlowMod(
                datapath=switch,
                priority=priority,
                match=parser.OFPMatch(**match),
                instructions=[instruction],
            )
        )
