"""One collector fed with one case: in a capsule, or in the machine's own network.

In a capsule the network is nobody else's: exporters get their own addresses, and send from the
ports that they had. Outside, every exporter is an address of the loopback, 127.1.0.1 and on.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collector import pcap
from collector.backends import named
from collector.backends.base import Given, spelled
from collector.backends.daemons import Crashed, Failed, Hung, bursts, ended, fed
from collector.conform import Result
from collector.decode.address import ip_texts
from collector.senders import families_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from collector.backends.base import Backend, Row
    from collector.backends.daemons import Burst, Daemon

    Emit = Callable[[dict[str, Any]], None]

_PER_NET: Final = 250
"""Addresses used of each 127.1.x.0/24."""


@dataclass
class Network:
    """Where exporters get their addresses.

    Attributes:
        own: whether it is a capsule's: then addresses are those of the exporters.
    """

    own: bool
    _there: set[str] = field(default_factory=set)

    def senders(self, exporters: Iterable[str]) -> dict[str, str]:
        """The address that each exporter sends from."""
        every = list(dict.fromkeys(exporters))
        own = {exporter for exporter in every if self.own and _can_be_sent_from(exporter)}
        others = (f"127.1.{n // _PER_NET}.{1 + n % _PER_NET}" for n in count())
        free = (address for address in others if address not in own)
        for exporter in own:
            self._add(exporter)
        return {exporter: exporter if exporter in own else next(free) for exporter in every}

    def _add(self, address: str) -> None:
        """Give the capsule's loopback an address; all of 127.0.0.0/8 is there anyway."""
        if address not in self._there and not ip_address(address).is_loopback:
            command = ("ip", "address", "add", f"{address}/32", "dev", "lo")
            subprocess.run(command, check=True, capture_output=True)
            self._there.add(address)


def _can_be_sent_from(address: str) -> bool:
    parsed = ip_address(address)
    return parsed.version == 4 and not parsed.is_unspecified


@dataclass(frozen=True)
class Pair:
    """A case and a collector, as it goes into a capsule.

    Attributes:
        number: by which the answer is known.
        exports: the case's capture.
        habits: of its exporters.
        collector: the back end's name.
        custom: its description, if it is a custom one.
        scratch: a folder for what it writes; "": where the system has those.
    """

    number: int
    exports: str
    habits: Mapping[str, str]
    collector: str
    custom: Mapping[str, Any] | None = None
    scratch: str = ""


@dataclass(frozen=True)
class Told:
    """What a collector made of a case.

    Attributes:
        number: the pair's.
        result: None: rows are there, and have to be compared.
        rows: what it told.
        counts: what it counted of the whole case.
        why: what went wrong, or is worth saying besides, in words.
    """

    number: int
    result: str | None
    rows: Sequence[Row] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    why: str = ""


def run(request: Mapping[str, Any], emit: Emit) -> None:
    """Examine pairs one after the other: the entry function of a capsule.

    Args:
        request: ``pairs``, each the arguments of a `Pair`; ``cwd``: the folder that the user is in.
        emit: takes the arguments of a `Told` for each.
    """
    # Paths in a collector's description are the user's.
    os.chdir(request["cwd"])
    network = Network(own=True)
    for pair in request["pairs"]:
        emit(vars(examine(Pair(**pair), network)))


def examine(pair: Pair, network: Network) -> Told:
    """Feed a collector with a case; whatever happens, there is an answer."""
    backend = named(pair.collector, pair.custom)
    try:
        # A capsule does not see all folders of the machine.
        place = pair.scratch if pair.scratch and Path(pair.scratch).is_dir() else None
        with tempfile.TemporaryDirectory(prefix="flowlab-conform-", dir=place) as scratch:
            return _told(backend, pair, network, Path(scratch))
    except Crashed as crashed:
        return Told(pair.number, Result.CRASHED, why=str(crashed))
    except Hung as hung:
        return Told(pair.number, Result.HUNG, why=str(hung))
    except (Failed, OSError, pcap.NotACaptureError, subprocess.CalledProcessError) as failed:
        return Told(pair.number, Result.NO_RESULT, why=str(failed))


def _told(backend: Backend, pair: Pair, network: Network, folder: Path) -> Told:
    """The rows that a collector makes of a case, and what it counts."""
    datagrams = pcap.datagrams(pcap.read(pair.exports))
    senders = network.senders(ip_texts(datagrams.source))
    families = frozenset(families_of(datagrams))
    given = Given(folder, Path(pair.exports), families, pair.habits, frozenset(senders))
    sent = list(bursts(datagrams, senders, keep_ports=network.own)) if backend.receives else []
    for daemon in backend.daemons(given):
        _feed(daemon, sent)
    exporters = {sender: exporter for exporter, sender in senders.items()} if sent else {}
    rows = [_by_exporter(row, exporters) for row in backend.rows(given)]
    return Told(pair.number, None, rows, backend.counts(given), backend.remark(given))


def _by_exporter(row: Row, exporters: Mapping[str, str]) -> Row:
    """A row with the exporter that the case has, in place of the address that stood in for it."""
    if not row.get("exporter"):
        return row
    told = spelled(row["exporter"])
    return {**row, "exporter": exporters.get(told, told)}


def _feed(daemon: Daemon, sent: Sequence[Burst]) -> None:
    """Feed a program with what it takes.

    Raises:
        Crashed: it ended otherwise than by the signal that ends it.
    """
    own = [one for one in sent if one.family in daemon.ports]
    status = fed(daemon, own)
    if status not in (0, -daemon.end, 128 + daemon.end):
        said = daemon.said.read_text(encoding="utf-8", errors="replace").strip()[-500:]
        raise Crashed(f"{daemon.name}: {ended(status)} in the end: {said}")
