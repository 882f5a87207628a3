"""What was told, summed by flow: the truth about generated datagrams.

It comes from the flow tables that the datagrams were made of, never from decoding them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.decode import BY_NAME
from collector.decode.elements import forward_names
from collector.decode.packet import TCP
from collector.key import FlowKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from collector.generate.exporting import Block, Exporter
    from collector.generate.flows import Columns
    from collector.generate.profile import Profile, TemplateOf

_SECOND_NS: Final = 1_000_000_000
_NEVER: Final = np.iinfo(np.int64).max


class Sums:
    """Sums by flow of one exporter, block after block."""

    def __init__(self, exporter: Exporter) -> None:
        """Nothing was told yet."""
        self._exporter = exporter
        self.datagrams = 0
        self.records = 0
        """Of flows."""
        self._there = _Way(len(exporter.drawn), _Says(exporter.profile))
        self._back = _Way(len(exporter.drawn), _Says(exporter.profile, reverse=True))
        """What came back, where records are of biflows."""
        self._answers = _with_answers(exporter, self._back.says)

    def add(self, block: Block) -> None:
        """Add what a block told."""
        columns, which = block.records, block.records["tuple"]
        self.datagrams += len(block.sent.offset)
        self.records += len(which)
        self._there.add(columns, which)
        if self._answers is not None:
            told = self._answers[which] & (columns["reversePacketDeltaCount"] > 0)
            self._back.add(
                {name: columns[own][told] for name, own in _REVERSE.items()}, which[told]
            )

    @property
    def profile(self) -> Profile:
        """Of the exporter."""
        return self._exporter.profile

    @property
    def totals(self) -> dict[str, int]:
        """Of all flows together, sampling rates not applied."""
        ways = [self._there.totals, self._back.totals]
        together = {name: sum(way[name] for way in ways) for name in ways[0]}
        return {"datagrams": self.datagrams, "records": self.records, **together}

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row of truth.json for every flow that was told, what came back being one by itself."""
        columns = self._exporter.drawn.columns
        for way in (self._there, self._back):
            for number in np.flatnonzero(way.told).tolist():
                flow = {name: int(columns[name][number]) for name in _KEY}
                key = _key(flow, columns, number)
                back = way is self._back
                key = _turned(key) if back else key
                row = {**way.row(number, flow), "flow": key.to_json()}
                yield {**row, "reverse": True} if back else row


class _Way:
    """Sums by flow of one direction."""

    def __init__(self, count: int, says: _Says) -> None:
        self.says = says
        self.told = np.zeros(count, np.int64)
        """How many records."""
        self._sums = {name: np.zeros(count, np.int64) for name in _COUNTS.values()}
        self._flags = np.zeros(count, np.int64)
        self._first_ns = np.full(count, _NEVER)
        self._last_ns = np.zeros(count, np.int64)

    def add(self, columns: Columns, which: NDArray[np.int64]) -> None:
        """Add records of these flows."""
        count = len(self.told)
        self.told += np.bincount(which, minlength=count)
        for name in self._sums:
            # Exact: a block's sum is far below 2^53.
            self._sums[name] += np.bincount(which, columns[name], count).astype(np.int64)
        np.bitwise_or.at(self._flags, which, columns["tcpControlBits"])
        np.minimum.at(self._first_ns, which, columns["first_ns"])
        np.maximum.at(self._last_ns, which, columns["last_ns"])

    @property
    def totals(self) -> dict[str, int]:
        """Of all flows together."""
        sums = {name: int(self._sums[own].sum()) for name, own in _COUNTS.items()}
        return {"flows": int((self.told > 0).sum()), **sums}

    def row(self, number: int, flow: Mapping[str, int]) -> dict[str, Any]:
        """What was told of a flow, without its key."""
        says, profile = self.says, self.says.profile
        rate = profile.sampling.rate
        fields = says.of(flow["ipVersion"], flow["protocolIdentifier"])
        is_tcp = flow["protocolIdentifier"] == TCP
        return {
            "protocol": profile.protocol,
            "exporter": profile.address,
            "observation_domain": None if says.sflow else profile.domain,
            "agent": profile.address if says.sflow else None,
            "flowDirection": says.direction(fields),
            **{
                name: int(self._sums[own][number]) * rate if says.counts(fields, name) else None
                for name, own in _COUNTS.items()
            },
            "tcpControlBits": (int(self._flags[number]) if is_tcp and says.flags(fields) else None),
            "first_ns": says.time(fields, "flowStart", int(self._first_ns[number])),
            "last_ns": says.time(fields, "flowEnd", int(self._last_ns[number])),
            "sampling": rate,
        }


def _with_answers(exporter: Exporter, says: _Says) -> NDArray[np.bool_] | None:
    """Of each flow, whether its records tell counts of the other direction; None: of no flow."""
    if not exporter.profile.biflows:
        return None
    columns = exporter.drawn.columns
    kind = columns["ipVersion"] << 8 | columns["protocolIdentifier"]
    tell = {
        one: not says.of(one >> 8, one & 0xFF).isdisjoint(_COUNTS.values())
        for one in np.unique(kind).tolist()
    }
    return np.isin(kind, [one for one, does in tell.items() if does])


_KEY: Final = (
    *("ipVersion", "protocolIdentifier", "sourceTransportPort", "destinationTransportPort"),
)
_PROTOCOLS: Final = {"tcp": (6,), "udp": (17,), "icmp": (1, 58)}
_COUNTS: Final = {
    "packets": "packetDeltaCount",
    "octets_l2": "layer2OctetDeltaCount",
    "octets_l3": "octetDeltaCount",
}
_REVERSE: Final = {
    "packetDeltaCount": "reversePacketDeltaCount",
    "layer2OctetDeltaCount": "reverseLayer2OctetDeltaCount",
    "octetDeltaCount": "reverseOctetDeltaCount",
    "tcpControlBits": "reverseTcpControlBits",
    "first_ns": "reverse_first_ns",
    "last_ns": "reverse_last_ns",
}


def _key(row: Mapping[str, int], columns: Mapping[str, NDArray[Any]], number: int) -> FlowKey:
    ends = []
    for end in ("source", "destination"):
        if row["ipVersion"] == 4:
            ends.append(str(IPv4Address(int(columns[f"{end}IPv4Address"][number]))))
        else:
            upper, lower = columns[f"{end}IPv6Address"][number].tolist()
            ends.append(str(IPv6Address(upper << 64 | lower)))
    ports = row["sourceTransportPort"], row["destinationTransportPort"]
    return FlowKey(row["ipVersion"], ends[0], ends[1], row["protocolIdentifier"], *ports)


def _turned(key: FlowKey) -> FlowKey:
    """The key of what came back; type and code of ICMP stay."""
    key = key._replace(source=key.destination, destination=key.source)
    if key.protocol in _PROTOCOLS["icmp"]:
        return key
    return key._replace(source_port=key.destination_port, destination_port=key.source_port)


class _Says:
    """What the records of a profile say of one direction."""

    def __init__(self, profile: Profile, *, reverse: bool = False) -> None:
        self.profile = profile
        self.sflow = profile.protocol == "sflow5"
        self._v5 = profile.protocol == "netflow5"
        self._reverse = reverse
        self._fields = [
            (one, _names(one, profile.version, reverse=reverse))
            for one in profile.templates
            if not (one.scopes or one.only_in_lists)
        ]

    def of(self, version: int, protocol: int) -> frozenset[str]:
        """The fields of the first template that a flow fits."""
        for one, names in self._fields:
            fits = one.protocol is None or protocol in _PROTOCOLS[one.protocol]
            if fits and one.ip in (None, version):
                return names
        return frozenset()

    def counts(self, fields: frozenset[str], name: str) -> bool:
        """Whether they have a count."""
        if self._v5:
            layer = BY_NAME[self.profile.habits].netflow5_octets
            return name in ("packets", f"octets_{layer}")
        return self.sflow or _COUNTS[name] in fields

    def flags(self, fields: frozenset[str]) -> bool:
        """Whether they have TCP flags."""
        return self.sflow or self._v5 or "tcpControlBits" in fields

    def direction(self, fields: frozenset[str]) -> int | None:
        """The direction, if it is told."""
        if "flowDirection" not in fields:
            return None
        name = "reverseFlowDirection" if self._reverse else "flowDirection"
        return int(self.profile.values.get(name, 0))

    def time(self, fields: frozenset[str], end: str, then_ns: int) -> int | None:
        """A time as it is told: whole seconds where there is no more; None: not at all."""
        if self._v5:
            return then_ns
        told = [name.removeprefix(end) for name in fields if name.startswith(end)]
        if not told:
            return None
        return then_ns // _SECOND_NS * _SECOND_NS if told == ["Seconds"] else then_ns


def _names(of: TemplateOf, version: int, *, reverse: bool) -> frozenset[str]:
    """The fields of a template; or those of the other direction, by their names in the first."""
    names = of.template(version).layout.places
    if not reverse:
        return frozenset(names)
    forward = forward_names()
    return frozenset(forward[name] for name in names if name in forward)
