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
import socket
import time
import zlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

from pydantic import BaseModel, ConfigDict, Field, field_validator

from collector.backends.base import OBSERVER, Backend, Tells, first_line, flow, frames, spelled
from collector.backends.daemons import PATIENCE_S, Daemon, Failed, free_port, free_ports
from collector.backends.protocols import NUMBERS
from collector.decode import NETFLOW, SFLOW
from collector.key import UDP
from collector.senders import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from collector.backends.base import Given, Row

MOST_OCTETS: Final = 1 << 30
"""Of a collector's output."""
_HTTP_S: Final = 5.0
_TOO_LARGE: Final = 1 << 64
"""No counter and no number of a key has more bits."""
_GZIP: Final = b"\x1f\x8b"
_HERE: Final = ("127.0.0.1", "localhost", "::1")
_UNITS_NS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_KEY: Final = (
    *("source", "destination", "protocolIdentifier", "sourceTransportPort"),
    *("destinationTransportPort", "icmpType", "icmpCode", "ethernetType"),
)
"""Columns that make a flow's key."""
_COUNTS: Final = ("packets", "octets", "octets_l2", "octets_l3")
_MEASURES: Final = (*_COUNTS, "tcpControlBits", "first_ns", "last_ns")
_IN_SOME_ROW: Final = (
    *("source", "destination", "protocolIdentifier", "sourceTransportPort"),
    *("destinationTransportPort", "exporter", "protocol", *_COUNTS),
)
"""Columns that hardly any case leaves out of all rows: where one is, its path is misspelt."""
COLUMNS: Final = (*(name for name in OBSERVER if name != "family"), *_KEY, *_MEASURES)
"""What a description may map."""
_WORDS: Final[Mapping[str, Mapping[str, int]]] = {
    "protocolIdentifier": NUMBERS,
    "flowDirection": {"ingress": 0, "egress": 1, "in": 0, "out": 1},
}
"""Words that some write for numbers, by column."""
_NO_WORDS: Final[Mapping[str, int]] = {}
_ADDRESSES: Final = ("source", "destination", "exporter", "agent")
_NO_END: Final = {4: "0.0.0.0", 6: "::"}  # noqa: S104 (no address to listen at)
_NO_MAC: Final = "00:00:00:00:00:00"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_FRACTION: Final = re.compile(r"(?<=[0-9])[.,]([0-9]+)")
_MAC: Final = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
_ODD: Final = (
    *(ValueError, TypeError, LookupError, AttributeError),
    *(ArithmeticError, RecursionError, csv.Error),
)
"""What reading an output raises that is not as described: infinities and deep nests included."""
_UNREADABLE: Final = (OSError, EOFError, zlib.error, HTTPException)
"""What reading an output raises that cannot be read, or not yet."""
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
        if given is None:
            return None
        parts = urlsplit(given)
        # What is in front of an @ looks like a host, and is none.
        if parts.scheme != "http" or parts.hostname not in _HERE or "@" in parts.netloc:
            raise ValueError(f"{given!r} is not on this machine: http:// and {' or '.join(_HERE)}")
        return given

    @property
    def printed(self) -> bool:
        """Whether it is what the program prints, its messages among it."""
        return self.http is None and self.file in (None, "stdout")


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
        self._blind = _blind(self._columns, icmp=settings.icmp)
        self._taken: bytes | None = None
        self._remarks: list[str] = []
        self._unseen: set[str] = set()

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

    def takes(self, family: str) -> bool:
        """As its description says."""
        return family in self.settings.takes

    def told(self, key: Mapping[str, Any]) -> dict[str, Any]:
        """Without the parts that no column is mapped for, or ICMP's where it tells none."""
        known = {name: 0 if name in self._blind else value for name, value in key.items()}
        if "protocolIdentifier" not in known or "protocolIdentifier" in self._columns:
            return known
        # Without a protocol nothing says whether what is in place of ports is ICMP's.
        icmp = [known.pop(name) for name in list(known) if name.startswith("icmp")]
        if icmp:
            told = 0 if "destinationTransportPort" in self._blind else icmp[0]
            known |= {"sourceTransportPort": 0, "destinationTransportPort": told}
        return known

    def daemons(self, given: Given) -> Sequence[Daemon]:
        """The command, once for all kinds of datagrams."""
        settings = self.settings
        ports = dict(zip(FAMILIES, free_ports(len(FAMILIES)), strict=True))
        if settings.one_port:
            ports = dict.fromkeys(FAMILIES, ports[NETFLOW])
        http = free_port(socket.SOCK_STREAM)
        self._places = {"folder": str(given.folder), "http": str(http)} | {
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
                settled=_Settled(self._raw, settings.output.quiet_s) if waits else None,
                end=signal.Signals[settings.end],
                one_more=False,  # somebody's first parser may not survive it
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
        return list(self._flows(given))

    def packets(self, given: Given) -> int:
        """Summed while they are read: a flood's rows would not fit into memory."""
        return sum(row["packets"] or 0 for row in self._flows(given))

    def _flows(self, given: Given) -> Iterator[Row]:
        """The flows in its output, one after the other."""
        self._remarks = []
        settings = self.settings
        try:
            if settings.output.http is None:
                self._taken = self._raw()
            octets = _unpacked(self._taken or b"")
            if len(octets) > MOST_OCTETS:
                raise Failed(f"the output of {settings.name} is larger than {MOST_OCTETS} octets")
        except _UNREADABLE as cut:
            why = f"{type(cut).__name__} {cut}"
            raise Failed(f"the output of {settings.name} cannot be read: {why}") from None
        only = _only(settings.takes, given.families)
        endless = read = 0
        self._unseen = {name for name in self._columns if name in _IN_SOME_ROW}
        try:
            for one, top in _entries(octets, settings.output):
                row = self._row(one, top)
                read += row is not None
                if row:
                    yield {"family": _family(row.get("protocol")) or only, **row}
                endless += row == {}
        except _ODD as odd:
            begin = octets[:200].decode("utf-8", errors="replace")
            raise Failed(
                f"the output of {settings.name} is not as described: "
                f"{type(odd).__name__} {odd}; it begins {begin!r}"
            ) from None
        if endless:
            self._remarks.append(f"{endless} rows have neither source nor destination")
        for name in self._columns if read else ():
            if name in self._unseen:
                paths = " or ".join(f"`{path}`" for path in self._columns[name].at)
                self._remarks.append(f"no row has {paths} ({name})")

    def remark(self, given: Given) -> str:
        """That there is no output, or that rows of it are no flows."""
        del given
        return "; ".join(self._remarks)

    def _filled(self, text: str) -> str:
        """A text with the places in it filled in; other braces stay."""
        for name, value in self._places.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def _raw(self) -> bytes:
        """Its output as it is now, packed or not; kept, for HTTP is gone with the program."""
        output = self.settings.output
        if output.http is not None:
            with _OPENER.open(self._filled(output.http), timeout=_HTTP_S) as answer:
                self._taken = answer.read(MOST_OCTETS + 1)
            return self._taken or b""
        said = self._given.folder / "said.txt"
        path = said if output.printed else Path(self._filled(output.file or ""))
        try:
            with path.open("rb") as stream:
                return stream.read(MOST_OCTETS + 1)
        except FileNotFoundError:
            self._remarks.append(f"it has written no file {output.file}")
            return b""

    def _row(self, one: Any, top: Any) -> Row | None:
        """One flow; None if it is none; without a flow if it has no ends."""
        if not isinstance(one, dict):
            raise TypeError("a flow is no object with names")
        for path, value in self.settings.output.only.items():
            found = _at(one, top, path)
            # CSV has texts only.
            if found != value and str(found) != str(value):
                return None
        told = {name: self._value(name, one, top) for name in self._columns}
        ends = [told["source"], told["destination"]]
        if ends == [None, None]:
            return {}
        protocol = told.get("protocolIdentifier") or 0
        if "protocolIdentifier" not in self._columns:
            protocol = UDP  # one that has ports; `told` takes it away again
        ports = [told.get(f"{end}TransportPort") or 0 for end in ("source", "destination")]
        if told.get("icmpType") is not None and protocol in (1, 58):
            ports[1] = told["icmpType"] << 8 | (told.get("icmpCode") or 0)
        source, destination = _both(ends)
        if _MAC.fullmatch(source):
            key = frames(source, destination, told.get("ethernetType") or 0)
        else:
            key = flow(source, destination, protocol, *ports)
        rest = {name: value for name, value in told.items() if name not in _KEY}
        return {"flow": key, **rest}

    def _value(self, name: str, one: Any, top: Any) -> Any:
        """A column of a flow; None: it says nothing, as an empty field of CSV does."""
        column = self._columns[name]
        found = [_at(one, top, path) for path in column.at]
        if name in self._unseen and any(each is not None for each in found):
            self._unseen.remove(name)
        value = next((each for each in found if each is not None and each != ""), None)
        if value is None:
            return None
        if str(value) in column.values:
            value = column.values[str(value)]
        if name in ("first_ns", "last_ns"):
            return _time_ns(value, column.unit)
        if name in _ADDRESSES and isinstance(value, int):
            return str(ip_address(value))
        if name in _ADDRESSES:
            return spelled(str(value))
        if name == "protocol":
            return str(value)
        number = _number(value, _WORDS.get(name, _NO_WORDS))
        if column.scale is not None:
            number *= max(1, _number(_at(one, top, column.scale) or 1))
        return number


class _NoRedirects(HTTPRedirectHandler):
    """An address on this machine may not lead to another one."""

    def redirect_request(self, *_: Any) -> None:
        """Not followed: it is an error."""


_OPENER: Final = build_opener(ProxyHandler({}), _NoRedirects)
"""What asks a collector: itself, whatever proxies the environment names."""


def _blind(columns: Iterable[str], *, icmp: bool) -> frozenset[str]:
    """The parts of a flow key that these columns do not tell."""
    ports = ("sourceTransportPort", "destinationTransportPort")
    blind = {name for name in ("protocolIdentifier", *ports) if name not in columns}
    # Type and code are told in columns of their own, or in place of the destination port.
    if not icmp or not {"icmpType", "destinationTransportPort"} & set(columns):
        blind |= {"icmpTypeCodeIPv4", "icmpTypeCodeIPv6"}
    return frozenset(blind)


def _only(takes: Collection[str], families: Collection[str]) -> str | None:
    """The kind of datagrams that all flows came in; None: of several."""
    for some in (takes, families):
        if len(some) == 1:
            return next(iter(some))
    return None


def _both(ends: Sequence[str | None]) -> tuple[str, str]:
    """Both ends of a flow; one that is not told is the address of nobody."""
    known = next(end for end in ends if end is not None)
    nobody = _NO_MAC if _MAC.fullmatch(known) else _NO_END[ip_address(known).version]
    source, destination = (nobody if end is None else end for end in ends)
    return source, destination


def _unpacked(octets: bytes) -> bytes:
    """What was written, unpacked if it is packed."""
    if not octets.startswith(_GZIP):
        return octets
    with gzip.GzipFile(fileobj=io.BytesIO(octets)) as stream:
        return stream.read(MOST_OCTETS + 1)


class _Settled:
    """Whether an output has stayed the same for some time; `why` says why not."""

    def __init__(self, read: Callable[[], bytes], quiet_s: float) -> None:
        self._read = read
        self._quiet_s = max(quiet_s, 0.2)
        self._last: int | None = None
        self._since_s = 0.0
        self.why = "what it says goes on changing"

    def __call__(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._since_s < self._quiet_s:
            return False
        self._since_s = now_s
        try:
            found = hash(self._read())
        except _UNREADABLE as refused:
            self._last, self.why = None, f"its output cannot be read: {refused}"
            return False
        same, self._last = found == self._last, found
        self.why = "what it says goes on changing"
        return same


def _entries(octets: bytes, output: Output) -> Iterator[tuple[Any, Any]]:
    """The flows in an output, each with the document or line that it is in."""
    if output.form == "csv":
        stream = io.TextIOWrapper(io.BytesIO(octets), "utf-8", errors="replace", newline="\n")
        tops: Iterable[Any] = csv.DictReader(stream)
    elif output.form == "jsonl":
        tops = _lines(octets, printed=output.printed)
    else:
        tops = [_json(octets)] if octets.strip() else []
    for top in tops:
        found = _at(top, top, output.each) if output.each else top
        if found is None:
            continue
        each = output.form == "json" or bool(output.each)
        for one in found if each and isinstance(found, list) else [found]:
            pairs = output.pairs
            yield ({str(pair[pairs[0]]): pair[pairs[1]] for pair in one} if pairs else one), top


def _lines(octets: bytes, *, printed: bool) -> Iterator[Any]:
    """What is in lines of JSON; what a program prints besides is no flow."""
    # Octets, for only a line feed ends a line: other separators may be inside a text.
    for line in map(bytes.strip, io.BytesIO(octets)):
        if not line.startswith((b"{", b"[")):
            continue
        try:
            one = _json(line)
        except ValueError:
            # "[INFO] listening" begins like a list.
            if printed and line.startswith(b"["):
                continue
            raise
        yield one


def _json(octets: bytes) -> Any:
    """A document; fractions as they are written."""
    return json.loads(octets.decode("utf-8", errors="replace"), parse_float=Decimal)


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


def _number(value: Any, words: Mapping[str, int] = _NO_WORDS) -> int:
    """A whole number, of whatever form.

    Raises:
        ValueError: it is none, or too large.
        TypeError: likewise.
    """
    if isinstance(value, bool):
        raise TypeError(f"{value} is no number")
    if isinstance(value, str):
        word = value.strip().lower()
        if word in words:
            return words[word]
        value = int(word, 16) if word.startswith("0x") else _decimal(word)
    # Looked at first: a short text may mean a number that fills the memory.
    if not 0 <= value < _TOO_LARGE:
        raise ValueError(f"{str(value)[:30]} is no number of 64 bits")
    number = int(value)
    if number != value:
        raise ValueError(f"{str(value)[:30]} is no whole number")
    return number


def _decimal(text: str) -> Decimal:
    """A number with all its digits."""
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text[:30]!r} is no number") from None


def _time_ns(value: Any, unit: str | None) -> int | None:
    """A time, to the nanosecond; 0 is none."""
    if isinstance(value, bool):
        raise TypeError(f"{value} is no time")
    text = str(value).strip()
    if unit is None and isinstance(value, str) and not _PLAIN_NUMBER.fullmatch(text):
        # Of a second's digits the library takes six.
        told = _FRACTION.search(text)
        then = datetime.fromisoformat(_FRACTION.sub("", text, count=1))
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        below_ns = int(told[1][:9].ljust(9, "0")) if told else 0
        return (then - _EPOCH) // timedelta(seconds=1) * _UNITS_NS["s"] + below_ns or None
    number = _decimal(text) * _UNITS_NS[unit or "ns"]
    if not -_TOO_LARGE < number < _TOO_LARGE:
        raise ValueError(f"{text[:30]} is no time")
    return int(number.to_integral_value()) or None


def _family(protocol: Any) -> str | None:
    """What kind of datagrams a protocol comes in."""
    if protocol is None:
        return None
    return SFLOW if protocol == "sflow5" else NETFLOW
