"""Shortest paths, installed before any packet comes: the controller knows the whole network.

It is proactive: no packet ever comes to the controller, so none is counted twice, and none is
flooded but what is sent to all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ryu.controller import ofp_event
from ryu.controller.handler import CONFIG_DISPATCHER, set_ev_cls

from lab.controllers.base import App

if TYPE_CHECKING:
    from collections.abc import Sequence


class ShortestPath(App):
    """A rule for every host at every switch."""

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def switch_came(self, event: Any) -> None:
        """Tell a switch all that it will ever have to know."""
        switch = event.msg.datapath
        self.tag_frames(switch)
        self.add_rule(switch, 0, {}, [])  # what is for nobody we know is dropped, and counted
        for match, actions in self.flood(switch):
            self.add_rule(switch, 5, match, actions)
        for host, ports in self.switches[switch.id]["ways"].items():
            self.rules_to(switch, host, ports)

    def rules_to(self, switch: Any, host: str, ports: Sequence[int]) -> None:
        """The rules for one host; ``ports`` begins with the usual way to it."""
        self.add_rule(switch, 10, self.to(host), self.out(switch, ports[0]))
