"""What was told, summed by flow: the truth about generated datagrams.

It comes from the flow tables that the datagrams were made of, never from decoding them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from collector.decode import BY_NAME
from collector.decode.packet import TCP
from collector.key import FlowKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from collector.generate.exporting import Block, Exporter
    from collector.generate.profile import Profile

_SECOND_NS: Final = 1_000_000_000
_NEVER: Final = np.iinfo(np.int64).max


class Sums:
    """Sums by flow of one exporter, block after block."""

    def __init__(self, exporter: Exporter) -> None:
        """Nothing was told yet."""
        count = len(exporter.drawn)
        self._exporter = exporter
        self.datagrams = 0
        self.records = 0
        """Of flows."""
        self._told = np.zeros(count, np.int64)
        self._sums = {
            name: np.zeros(count, np.int64)
            for name in ("packetDeltaCount", "octetDeltaCount", "layer2OctetDeltaCount")
        }
        self._flags = np.zeros(count, np.int64)
        self._first_ns = np.full(count, _NEVER)
        self._last_ns = np.zeros(count, np.int64)

    def add(self, block: Block) -> None:
        """Add what a block told."""
        columns, which = block.records, block.records["tuple"]
        self.datagrams += len(block.sent.offset)
        self.records += len(which)
        count = len(self._told)
        self._told += np.bincount(which, minlength=count)
        for name in self._sums:
            # Exact: a block's sum is far below 2^53.
            self._sums[name] += np.bincount(which, columns[name], count).astype(np.int64)
        np.bitwise_or.at(self._flags, which, columns["tcpControlBits"])
        np.minimum.at(self._first_ns, which, columns["first_ns"])
        np.maximum.at(self._last_ns, which, columns["last_ns"])

    @property
    def profile(self) -> Profile:
        """Of the exporter."""
        return self._exporter.profile

    @property
    def totals(self) -> dict[str, int]:
        """Of all flows together, sampling rates not applied."""
        return {
            "datagrams": self.datagrams,
            "records": self.records,
            "flows": int((self._told > 0).sum()),
            "packets": int(self._sums["packetDeltaCount"].sum()),
            "octets_l2": int(self._sums["layer2OctetDeltaCount"].sum()),
            "octets_l3": int(self._sums["octetDeltaCount"].sum()),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row of truth.json for every flow that was told."""
        profile = self._exporter.profile
        says = _Says(profile)
        rate = profile.sampling.rate
        columns = self._exporter.drawn.columns
        for number in np.flatnonzero(self._told).tolist():
            row = {name: int(columns[name][number]) for name in _KEY}
            key = _key(row, columns, number)
            fields = says.of(row["ipVersion"], row["protocolIdentifier"])
            counted = {
                "packets": self._sums["packetDeltaCount"][number],
                "octets_l2": self._sums["layer2OctetDeltaCount"][number],
                "octets_l3": self._sums["octetDeltaCount"][number],
            }
            is_tcp = row["protocolIdentifier"] == TCP
            first = says.time(fields, "flowStart", int(self._first_ns[number]))
            last = says.time(fields, "flowEnd", int(self._last_ns[number]))
            yield {
                "protocol": profile.protocol,
                "exporter": profile.address,
                "observation_domain": None if says.sflow else profile.domain,
                "agent": profile.address if says.sflow else None,
                "flowDirection": says.direction(fields),
                "flow": key.to_json(),
                **{
                    name: int(value) * rate if says.counts(fields, name) else None
                    for name, value in counted.items()
                },
                "tcpControlBits": (
                    int(self._flags[number]) if is_tcp and says.flags(fields) else None
                ),
                "first_ns": first,
                "last_ns": last,
                "sampling": rate,
            }


_KEY: Final = (
    *("ipVersion", "protocolIdentifier", "sourceTransportPort", "destinationTransportPort"),
)
_PROTOCOLS: Final = {"tcp": (6,), "udp": (17,), "icmp": (1, 58)}
_COUNTS: Final = {
    "packets": "packetDeltaCount",
    "octets_l2": "layer2OctetDeltaCount",
    "octets_l3": "octetDeltaCount",
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


class _Says:
    """What the records of a profile say."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.sflow = profile.protocol == "sflow5"
        self._v5 = profile.protocol == "netflow5"

    def of(self, version: int, protocol: int) -> frozenset[str]:
        """The fields of the first template that a flow fits."""
        for one in self._profile.templates:
            if one.scopes or one.only_in_lists or one.ip not in (None, version):
                continue
            if one.protocol is None or protocol in _PROTOCOLS[one.protocol]:
                names = (name if isinstance(name, str) else name[0] for name in one.specified)
                return frozenset(names)
        return frozenset()

    def counts(self, fields: frozenset[str], name: str) -> bool:
        """Whether they have a count."""
        if self._v5:
            layer = BY_NAME[self._profile.habits].netflow5_octets
            return name in ("packets", f"octets_{layer}")
        return self.sflow or _COUNTS[name] in fields

    def flags(self, fields: frozenset[str]) -> bool:
        """Whether they have TCP flags."""
        return self.sflow or self._v5 or "tcpControlBits" in fields

    def direction(self, fields: frozenset[str]) -> int | None:
        """The direction, if it is told."""
        if "flowDirection" not in fields:
            return None
        return int(self._profile.values.get("flowDirection", 0))

    def time(self, fields: frozenset[str], end: str, then_ns: int) -> int | None:
        """A time as it is told: whole seconds where there is no more; None: not at all."""
        if self._v5:
            return then_ns
        told = [name.removeprefix(end) for name in fields if name.startswith(end)]
        if not told:
            return None
        return then_ns // _SECOND_NS * _SECOND_NS if told == ["Seconds"] else then_ns
