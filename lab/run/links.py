"""What links do to packets: bandwidth, delay and loss, each way by itself, at the sending port.

Knows: tc(8) and nft(8). Bandwidth is a token bucket (``sch_tbf``); loss is a rule of nftables at
the port's egress (Linux 5.16), which takes packets by chance; delay is ``sch_netem``, which some
kernels lack: then there is no delay, and what needs it is skipped.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from topologies import Link, Topology

_BURST_OCTETS: Final = 5_000
"""What may leave at once: a few full frames; tc needs more than one."""
_TICKS_PER_S: Final = 250
"""A bucket is filled so often at least (the kernel's CONFIG_HZ); a burst must last until then."""
_QUEUE_OCTETS: Final = 4_000_000
"""So long a queue that it does not lose what the window of the traffic lets go."""
_PARTS: Final = 1_000_000
SPARED_MARK: Final = 0xF10B
"""The mark (``SO_MARK``, ``socket(7)``) of frames that no link loses: the lab's own, behind the
traffic. What the rule drops, the sending socket hears of as ``ENOBUFS``."""


class CannotShape(Exception):
    """This machine cannot do to links what the topology says; the text says why."""


def shape(topology: Topology) -> None:
    """Make links what they are said to be.

    Raises:
        CannotShape: the kernel, or a program, cannot.
    """
    disciplines = [line for link in topology.links for line in _disciplines(link)]
    losses = [line for link in topology.links for line in _losses(link)]
    if disciplines:
        _program("\n".join(disciplines), "tc", "-batch", "-")
    if losses:
        _program("\n".join(("table netdev flowlab {", *losses, "}")), "nft", "-f", "-")


def _disciplines(link: Link) -> Iterator[str]:
    """Commands for tc(8)."""
    quality = link.quality
    for port in (link.a, link.b):
        if quality.delay_ms is not None:
            rate = f" rate {quality.bandwidth_mbps:g}mbit" if quality.bandwidth_mbps else ""
            delay = f"delay {quality.delay_ms:g}ms limit 100000{rate}"
            yield f"qdisc add dev {port.name} root netem {delay}"
        elif quality.bandwidth_mbps is not None:
            burst = max(_BURST_OCTETS, int(quality.bandwidth_mbps * 1e6 / 8 / _TICKS_PER_S))
            yield (
                f"qdisc add dev {port.name} root tbf rate {quality.bandwidth_mbps:g}mbit "
                f"burst {burst} limit {_QUEUE_OCTETS}"
            )


def _losses(link: Link) -> Iterator[str]:
    """Chains for nft(8)."""
    if link.quality.loss_percent is None:
        return
    lost = round(link.quality.loss_percent / 100 * _PARTS)
    for number, port in enumerate((link.a, link.b)):
        name = f"{link.a.name}_{number}".replace("-", "_")
        yield f'chain {name} {{ type filter hook egress device "{port.name}" priority 0;'
        yield f"meta mark != {SPARED_MARK:#x} numgen random mod {_PARTS} < {lost} drop; }}"


def _program(lines: str, *command: str) -> None:
    """Give a program lines to work through.

    Raises:
        CannotShape: it could not.
    """
    try:
        done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CannotShape(
            f"links cannot be shaped here: the program {command[0]} is missing"
        ) from None
    if done.returncode == 0:
        return
    if "netem" in lines and command[0] == "tc":
        raise CannotShape("links with a delay need sch_netem, which this kernel does not have")
    said = " ".join(done.stderr.split())[:200]
    raise CannotShape(f"links cannot be shaped here: {command[0]} said: {said}")
