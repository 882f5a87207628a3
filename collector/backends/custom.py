"""Any collector: a command, and where in its output each of our columns is.

The description is plain data (`Settings`); the lab reads it from YAML. In commands, files and
addresses ``{folder}``, ``{netflow}``, ``{sflow}`` and ``{http}`` stand for a folder to write to and
for free ports. Nothing is given to a shell.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import signal
import time
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, ClassVar, Final, Literal
from urllib.error import URLError
from urllib.request import urlopen

from pydantic import BaseModel, ConfigDict, Field, field_validator

from collector.backends.base import OBSERVER, Backend, Tells, first_line, flow, frames
from collector.backends.daemons import PATIENCE_S, Daemon, Failed, free_port
from collector.decode import NETFLOW, SFLOW
from collector.senders import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from collector.backends.base import Given, Row

MOST_OCTETS: Final = 1 << 30
"""Of a collector's output."""
_HTTP_S: Final = 5.0
_TOO_LARGE: Final = 1 << 64
"""No counter and no number of a key has more bits."""
_GZIP: Final = b"\x1f\x8b"
_HERE: Final = ("http://127.0.0.1", "http://localhost", "http://[::1]")
_UNITS_NS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_KEY: Final = (
    *("source", "destination", "protocolIdentifier", "sourceTransportPort"),
    *("destinationTransportPort", "icmpType", "icmpCode", "ethernetType"),
)
"""Columns that make a flow's key."""
_COUNTS: Final = ("packets", "octets", "octets_l2", "octets_l3")
_MEASURES: Final = (*_COUNTS, "tcpControlBits", "first_ns", "last_ns")
COLUMNS: Final = (*(name for name in OBSERVER if name != "family"), *_KEY, *_MEASURES)
"""What a description may map."""
_NUMBERS: Final = {"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "icmpv6": 58, "sctp": 132}
"""Protocols by name, for those who write names."""
_DIRECTIONS: Final = {"ingress": 0, "egress": 1, "in": 0, "out": 1}
_MAC: Final = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
_ODD: Final = (
    *(ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RecursionError),
)
"""What reading an output raises that is not as described: infinities and deep nests included."""
Kind = Literal["non-ip", "ipv6", "sampling", "biflows", "netflow5", "netflow9", "ipfix", "sflow5"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Strict):
    """Where a column is, if it needs more than a path.

    Attributes:
        at: paths; the first that is there counts.
        values: what its values mean.
        unit: of a time that is a number; none: an ISO 8601 text, or nanoseconds.
        scale: a path to what it is multiplied by (a sampling rate that was not applied).
    """

    at: Annotated[list[str], Field(min_length=1, alias="from")]
    values: dict[str, str | int] = Field(default_factory=dict)
    unit: Literal["ns", "us", "ms", "s"] | None = None
    scale: str | None = None

    @field_validator("at", mode="before")
    @classmethod
    def _one(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given


class Output(_Strict):
    """Where its output is, and of which form.

    Attributes:
        form: JSON lines, one JSON document, or CSV with a head line.
        file: a path; `stdout`: what it prints. Without it there is `http`.
        http: an address on this machine that is asked when all has been read.
        each: a path to the list of flows in a document or line.
        pairs: names of name and value, where a flow is a list of such pairs.
        only: paths and values of those rows that are flows.
        quiet_s: so long it must say the same before it is ended.
    """

    form: Literal["jsonl", "json", "csv"] = Field(alias="format")
    file: str | None = None
    http: str | None = None
    each: str = ""
    pairs: tuple[str, str] | None = None
    only: dict[str, str | int] = Field(default_factory=dict)
    quiet_s: Annotated[float, Field(ge=0, le=30)] = 0.0

    @field_validator("http")
    @classmethod
    def _here(cls, given: str | None) -> str | None:
        if given is not None and not given.startswith(_HERE):
            raise ValueError(f"{given!r} is not on this machine: {' or '.join(_HERE)}")
        return given


class Settings(_Strict):
    """A collector's description.

    Attributes:
        name: what it is called in reports.
        says: what it is, for people.
        command: program and arguments; stays in the foreground.
        version: program and arguments that print its version.
        files: files to write for it first, by name, in ``{folder}``.
        environment: variables.
        takes: kinds of datagrams; each has a port.
        one_port: whether all kinds come to one port, ``{netflow}``.
        ready: words that it writes when it is ready; "": when it has bound its ports.
        end: the signal that ends it.
        patience_s: so long it may take to be ready, to read what came, and to end.
        output: where its output is.
        columns: where our columns are in it.
        resolution: how finely it tells times.
        icmp: whether it tells type and code of ICMP.
        cannot: what it cannot express, with the reason.
    """

    name: Annotated[str, Field(pattern=r"^[\w.-]{1,40}$")]
    says: str = ""
    command: Annotated[list[str], Field(min_length=1)]
    version: list[str] = Field(default_factory=list)
    files: dict[Annotated[str, Field(pattern=r"^[\w.-]{1,80}$")], str] = Field(default_factory=dict)
    environment: dict[str, str] = Field(default_factory=dict)
    takes: Annotated[list[Literal["netflow", "sflow"]], Field(min_length=1)] = [NETFLOW, SFLOW]
    one_port: bool = False
    ready: str = ""
    end: Literal["SIGTERM", "SIGINT", "SIGKILL"] = "SIGTERM"
    patience_s: Annotated[float, Field(gt=0, le=600)] = PATIENCE_S
    output: Output
    columns: dict[str, str | Column]
    resolution: Literal["ns", "us", "ms", "s"] = "ns"
    icmp: bool = True
    cannot: dict[Kind, str] = Field(default_factory=dict)

    @field_validator("columns")
    @classmethod
    def _columns(cls, given: dict[str, str | Column]) -> dict[str, str | Column]:
        for name in given:
            if name not in COLUMNS:
                raise ValueError(f"there is no column {name!r}; there is {', '.join(COLUMNS)}")
        for name in ("source", "destination", "packets"):
            if name not in given:
                raise ValueError(f"the column {name!r} has to be there")
        return given


class Custom(Backend):
    """A collector that a description describes."""

    name: ClassVar = "custom"
    says: ClassVar = "any collector, by a description of its command and its output"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._columns = {
            name: Column(**{"from": [one]}) if isinstance(one, str) else one
            for name, one in settings.columns.items()
        }
        self._taken: bytes | None = None

    @property
    def programs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The command's program."""
        return (self.settings.command[0],)

    def version(self) -> str:
        """The first line of what its command for that prints."""
        return first_line(*self.settings.version) if self.settings.version else ""

    def tells(self, family: str) -> Tells:
        """The columns that are mapped; kinds of datagrams are told apart if the protocol is."""
        observer = {name for name in OBSERVER if name in self._columns}
        if "protocol" in observer or len(self.settings.takes) == 1:
            observer.add("family")
        measures = {name for name in _MEASURES if name in self._columns}
        if family == SFLOW:
            # sFlow's samples have no times (sFlow v5 section 5).
            measures -= {"first_ns", "last_ns"}
        resolution_ns = _UNITS_NS[self.settings.resolution]
        return Tells(frozenset(observer), frozenset(measures), resolution_ns)

    def cannot(self, row: Row) -> str:
        """What its description says."""
        kinds = {
            row["protocol"]: True,
            "non-ip": "ethernetType" in row["flow"],
            "ipv6": "sourceIPv6Address" in row["flow"],
            "sampling": (row.get("sampling") or 1) != 1,
            "biflows": bool(row.get("reverse")),
        }
        said = {**self.settings.cannot}
        if "ethernetType" not in self._columns:
            said.setdefault("non-ip", "no column for the EtherType is mapped")
        if row["family"] not in self.settings.takes:
            return f"it does not take {row['family']}"
        return next((why for kind, why in said.items() if kinds.get(kind)), "")

    def told(self, key: Mapping[str, Any]) -> dict[str, Any]:
        """Without type and code of ICMP, where it does not tell them."""
        if self.settings.icmp:
            return dict(key)
        return {name: 0 if name.startswith("icmp") else value for name, value in key.items()}

    def daemons(self, given: Given) -> Sequence[Daemon]:
        """The command, once for all kinds of datagrams."""
        settings = self.settings
        ports = {name: free_port() for name in FAMILIES}
        if settings.one_port:
            ports = dict.fromkeys(FAMILIES, ports[NETFLOW])
        self._places = {"folder": str(given.folder), "http": str(free_port())} | {
            name: str(port) for name, port in ports.items()
        }
        for name, text in settings.files.items():
            (given.folder / name).write_text(self._filled(text), encoding="utf-8")
        self._given = given
        waits = settings.output.http or settings.output.quiet_s
        return [
            Daemon(
                [self._filled(part) for part in settings.command],
                {name: ports[name] for name in FAMILIES if name in settings.takes},
                given.folder / "said.txt",
                ready=settings.ready,
                settled=_Settled(self._read, settings.output.quiet_s) if waits else None,
                end=signal.Signals[settings.end],
                environment={
                    name: self._filled(text) for name, text in settings.environment.items()
                },
                patience_s=settings.patience_s,
                called=settings.name,
            )
        ]

    def rows(self, given: Given) -> list[Row]:
        """The flows in its output.

        Raises:
            Failed: it is not of the form that was described.
        """
        if self.settings.output.http is None:
            self._taken = self._read()
        text = (self._taken or b"").decode("utf-8", errors="replace")
        try:
            read = [self._row(one, top) for one, top in _entries(text, self.settings.output)]
        except _ODD as odd:
            raise Failed(
                f"the output of {self.settings.name} is not as described: "
                f"{type(odd).__name__} {odd}; it begins {text[:200]!r}"
            ) from None
        families = given.families
        only = next(iter(families)) if len(families) == 1 else None
        return [
            {"family": _family(row.get("protocol")) or only, **row}
            for row in read
            if row is not None
        ]

    def _filled(self, text: str) -> str:
        """A text with the places in it filled in; other braces stay."""
        for name, value in self._places.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _read(self) -> bytes:
        """Its output as it is now; kept, for HTTP is gone with the program."""
        output = self.settings.output
        if output.http is not None:
            with urlopen(self._filled(output.http), timeout=_HTTP_S) as answer:  # noqa: S310 (ours)
                self._taken = answer.read(MOST_OCTETS)
            return self._taken or b""
        try:
            if output.file in (None, "stdout"):
                return _octets((self._given.folder / "said.txt").open("rb"))
            return _plain(Path(self._filled(output.file or "")))
        except FileNotFoundError:
            return b""

    def _row(self, one: Any, top: Any) -> Row | None:
        """One flow; None if it is none."""
        if not isinstance(one, dict):
            raise TypeError("a flow is no object with names:")
        if any(_at(one, top, path) != value for path, value in self.settings.output.only.items()):
            return None
        told = {name: self._value(name, one, top) for name in self._columns}
        source, destination = told.get("source"), told.get("destination")
        if source in (None, "") or destination in (None, ""):
            return None
        protocol = told.get("protocolIdentifier") or 0
        ports = [told.get(f"{end}TransportPort") or 0 for end in ("source", "destination")]
        if told.get("icmpType") is not None and protocol in (1, 58):
            ports[1] = told["icmpType"] << 8 | (told.get("icmpCode") or 0)
        if _MAC.fullmatch(str(source)):
            key = frames(str(source), str(destination), told.get("ethernetType") or 0)
        else:
            key = flow(str(source), str(destination), protocol, *ports)
        rest = {name: value for name, value in told.items() if name not in _KEY}
        return {"flow": key, **rest}

    def _value(self, name: str, one: Any, top: Any) -> Any:
        """A column of a flow."""
        column = self._columns[name]
        found = (_at(one, top, path) for path in column.at)
        value = next((each for each in found if each is not None), None)
        if value is None:
            return None
        if str(value) in column.values:
            value = column.values[str(value)]
        if name in ("first_ns", "last_ns"):
            return _time_ns(value, column.unit)
        if name in ("source", "destination", "exporter", "agent") and isinstance(value, int):
            return str(ip_address(value))
        if name in ("source", "destination", "protocol", "exporter", "agent"):
            return str(value)
        number = _number(value)
        if column.scale is not None:
            number *= max(1, _number(_at(one, top, column.scale) or 1))
        return number


def _plain(path: Path) -> bytes:
    """What is in a file, unpacked if it is packed."""
    with path.open("rb") as stream:
        packed = stream.read(len(_GZIP)) == _GZIP
    return _octets(gzip.open(path) if packed else path.open("rb"))


def _octets(stream: BinaryIO | gzip.GzipFile) -> bytes:
    """What a stream has; closes it."""
    with stream:
        return stream.read(MOST_OCTETS)


class _Settled:
    """Whether an output has stayed the same for some time."""

    def __init__(self, read: Any, quiet_s: float) -> None:
        self._read = read
        self._quiet_s = max(quiet_s, 0.2)
        self._last: bytes | None = None
        self._since_s = 0.0

    def __call__(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._since_s < self._quiet_s:
            return False
        try:
            found = self._read()
        except (OSError, URLError):
            return False
        same, self._last, self._since_s = found == self._last, found, now_s
        return bool(same)


def _entries(text: str, output: Output) -> Iterator[tuple[Any, Any]]:
    """The flows in an output, each with the document or line that it is in."""
    if output.form == "csv":
        tops: Any = csv.DictReader(io.StringIO(text))
    elif output.form == "jsonl":
        # What it prints besides is no flow.
        tops = (json.loads(line) for line in text.splitlines() if line.startswith(("{", "[")))
    else:
        tops = [json.loads(text)] if text.strip() else []
    for top in tops:
        found = _at(top, top, output.each) if output.each else top
        each = output.form == "json" or bool(output.each)
        for one in found if each and isinstance(found, list) else [found]:
            pairs = output.pairs
            yield ({str(pair[pairs[0]]): pair[pairs[1]] for pair in one} if pairs else one), top


def _at(one: Any, top: Any, path: str) -> Any:
    """What is at a path like `netflow.ipv4_src_addr`; with `/` in front, from the top.

    `*` is the first one of whatever name.
    """
    if path.startswith("/"):
        one, path = top, path[1:]
    if isinstance(one, dict) and path in one:
        return one[path]
    for part in path.split("."):
        if isinstance(one, list) and part.isdigit() and int(part) < len(one):
            one = one[int(part)]
        elif isinstance(one, dict):
            one = next(iter(one.values()), None) if part == "*" else one.get(part)
        else:
            return None
    return one


def _number(value: Any) -> int:
    """A number, of whatever form."""
    if isinstance(value, str):
        word = value.strip().lower()
        for names in (_NUMBERS, _DIRECTIONS):
            if word in names:
                return names[word]
        value = int(word, 0)
    number = int(value)
    if not 0 <= number < _TOO_LARGE:
        raise ValueError(f"{str(value)[:30]} is no number of 64 bits:")
    return number


def _time_ns(value: Any, unit: str | None) -> int | None:
    """A time; 0 is none."""
    if unit is None and isinstance(value, str) and not value.isdigit():
        then = datetime.fromisoformat(value)
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        return round(then.timestamp() * 1_000_000) * 1_000
    scale = _UNITS_NS[unit or "ns"]
    number = float(value) if isinstance(value, float) or "." in str(value) else int(value)
    return round(number * scale) or None


def _family(protocol: Any) -> str | None:
    """What kind of datagrams a protocol comes in."""
    if protocol is None:
        return None
    return SFLOW if protocol == "sflow5" else NETFLOW
