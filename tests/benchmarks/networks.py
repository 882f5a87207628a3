"""One network, as the lab builds it and as plain Mininet does: entry functions of capsules."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mininet.net import Mininet
from mininet.node import OVSSwitch
from mininet.topo import Topo

from lab.run.network import Network
from lab.run.openvswitch import PrivateSwitch
from lab.scenario.load import load

if TYPE_CHECKING:
    from collections.abc import Callable


class _Switch(OVSSwitch):
    """A bridge of the private Open vSwitch: userspace, as in a run of the lab."""

    OVSVersion = "2.10.1"  # what Mininet's setup would find: no old one

    @classmethod
    def setup(cls) -> None:
        """Mininet would look for the machine's own Open vSwitch."""

    def bridgeOpts(self) -> str:  # noqa: N802 (Mininet's own)
        """What Mininet sets of a bridge."""
        return f"{super().bridgeOpts()} datapath_type={PrivateSwitch.datapath_type}"


def plain(request: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> None:
    """Build it and tell how long that took, in seconds.

    Args:
        request: ``scenario``, the scenario file whose network it is, and ``logs``, a folder.
        emit: takes the answer.
    """
    topo = Topo()
    load(request["scenario"]).build_topology().fill(topo)
    PrivateSwitch(Path("/run/flowlab"), Path(request["logs"])).start([])
    begun_s = time.monotonic()
    network = Mininet(topo, switch=_Switch, controller=None, waitConnected=False)
    network.start()
    emit({"took_s": time.monotonic() - begun_s})


def ours(request: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> None:
    """The same as a run of the lab has it, with all that it does for silence and truth."""
    topology = load(request["scenario"]).build_topology()
    switch = PrivateSwitch(Path("/run/flowlab"), Path(request["logs"]))
    switch.start([])
    begun_s = time.monotonic()
    network = Network(topology, Path(request["logs"]), private=True)
    switch.build(network.bridges())
    switch.teach(network.stations())
    network.start({}, ipv6=False)
    emit({"took_s": time.monotonic() - begun_s})
