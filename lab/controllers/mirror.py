"""A mirror port: one switch sends a copy of all that crosses it to a host that looks on.

The packet has come in once and leaves twice. What counts packets that come in counts it once;
what counts packets that go out counts it twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.controllers.shortest_path import ShortestPath

if TYPE_CHECKING:
    from collections.abc import Sequence


class Mirror(ShortestPath):
    """Rules with a second output."""

    def rules_to(self, switch: Any, host: str, ports: Sequence[int]) -> None:
        """As always, and at the mirroring switch to the looker-on as well."""
        super().rules_to(switch, host, ports)
        here = self.switches[switch.id]
        looker_on = self.settings["to"]
        if here["name"] != self.settings["at"] or host == looker_on:
            return
        copies = self.out(switch, ports[0], here["ways"][looker_on][0])
        self.add_rule(switch, 20, self.to(host), copies)
