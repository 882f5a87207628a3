"""The collector's commands: what each takes, and which room it calls. Nothing is decided here.

None of them needs a lab, root, or anything but Python. Imports are inside the commands, so that
``--help`` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from lab import outputs
from lab.exit import Exit, stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.where import Where

_store_option: Final = click.option(
    "--store",
    "views",
    metavar="VIEW,…",
    help="What of it to store: flows, records, samples, counters, extended, exporters.  "
    "[default: all]",
)
_FORMATS: Final = click.Choice(["table", "jsonl", "csv", "parquet"])
_format_option = click.option(
    "--format", "form", type=_FORMATS, default="table", show_default=True, help="How to write it."
)
_where_option = click.option(
    "--where", metavar="SQL", help="Only these: an SQL condition over the columns."
)
_habits_option = click.option(
    "--exporter-habits",
    "habits",
    type=click.Choice(["openvswitch", "standard"]),
    help="Whose reading of the formats to follow. Without it: Open vSwitch's in a run folder, "
    "else what the formats' texts say.",
)


class _Assigned(click.ParamType[tuple[int, str]]):
    """``PORT=PROTOCOL``."""

    name = "PORT=PROTOCOL"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[int, str]:
        """Read one."""
        port, _, name = str(value).partition("=")
        if name not in ("netflow", "ipfix", "sflow") or not (
            port.isascii() and port.isdigit() and 0 < int(port) <= 0xFFFF
        ):
            self.fail(f"{value!r} is not like 9996=netflow (or ipfix, sflow)", param, ctx)
        return int(port), name


_port_option = click.option(
    "--port",
    "ports",
    type=_Assigned(),
    multiple=True,
    help="What datagrams to a port are; 2055 and 9995 (netflow), 4739 (ipfix), 6343 (sflow) are "
    "known.",
)


@click.command()
@click.argument("file", metavar="FILE|-")
@_format_option
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice(["netflow5", "netflow9", "ipfix", "sflow5"]),
    multiple=True,
    help="Only records of this protocol; may be given several times.",
)
@_where_option
@_habits_option
@_port_option
def decode(
    file: str,
    form: str,
    protocols: tuple[str, ...],
    where: str | None,
    habits: str | None,
    ports: tuple[tuple[int, str], ...],
) -> None:
    """Decode the exports in a capture: a record a line; what could not be decoded at the end.

    FILE is a pcap file or a run folder; - is standard input. Records go to standard output, the
    summary to standard error. Columns have the names of the IANA information elements.

    \b
    Examples:
      flowlab decode exports.pcap
      flowlab decode runs/one-udp-stream/latest --format jsonl | jq .
      tcpdump -w - -c 1000 udp port 2055 | flowlab decode - --format csv
      flowlab decode exports.pcap --protocol sflow5 --where "frameLength > 1000"
      flowlab decode exports.pcap --where "sourceIPv4Address LIKE '10.1.%'"
    """
    from collector import decoding
    from collector.source import open_source
    from lab.report import records

    with _told():
        out = _output()
        chosen = decoding.choice(protocols, _where(where))
        source = open_source(file, **_reading(habits, ports))
        if form == "parquet" and sys.stdout.isatty():
            stop(Exit.WRONG_INPUT, "Parquet is not for terminals: add > records.parquet")
        account = decoding.write(source, chosen, form, out, records.Shown(click.echo))
        sys.stdout.flush()
        for line in records.summary(account.summary(), account.records_of, source.habits.name):
            click.echo(line, err=True)


@click.command()
@click.argument("place", metavar="FILE|DIR|-")
@click.option(
    "--by", metavar="KEY,…", help="Sum by these columns only, like destination,dstport or exporter."
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Only the N largest.")
@click.option(
    "--order",
    type=click.Choice(["octets", "packets", "records", "first"]),
    default="octets",
    show_default=True,
    help="What is large; first: the earliest.",
)
@click.option("--bidirectional", is_flag=True, help="Both directions of a conversation in one row.")
@_where_option
@_format_option
@_habits_option
@_port_option
def flows(
    place: str,
    by: str | None,
    top: int | None,
    order: str,
    bidirectional: bool,
    where: str | None,
    form: str,
    habits: str | None,
    ports: tuple[tuple[int, str], ...],
) -> None:
    """Sum what was exported by flow, or by any part of the flow's key.

    All protocols alike, sampling rates applied. Without --by there is a row per exporter,
    observation point and flow. With it take care that one observation point is chosen, or every
    packet counts at each switch that it crossed; you are told. A folder is a run's, or a store
    that flowlab collect wrote.

    \b
    Examples:
      flowlab flows exports.pcap --top 10
      flowlab flows runs/one-udp-stream/latest --by exporter,protocol
      flowlab flows exports.pcap --by dstip,dstport,proto --order packets --top 20
      flowlab flows exports.pcap --bidirectional --where "protocol = 'ipfix' AND flowDirection = 0"
      flowlab flows exports.pcap --by source --where "destination LIKE '10.1.%'" --format csv
    """
    if not Path(place).is_dir():
        # Sums are small tables: threads that wait for work would cost more than they bring.
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from collector import aggregate
    from collector.source import open_source
    from collector.store import is_store
    from lab.report import summed

    with _told():
        out = _output()
        asked = aggregate.question(by, _where(where), bidirectional=bidirectional)
        account = None
        if Path(place).is_dir() and is_store(Path(place)):
            sums = aggregate.of_store(Path(place), asked)
        else:
            opened = open_source(place, **_reading(habits, ports))
            sums, account = aggregate.of_source(opened, asked)
        summed.write(aggregate.ordered(sums.table(), order, top), form, out)
        for line in summed.notes(sums, account):
            click.echo(line, err=True)


@click.command()
@click.argument("file", metavar="FILE|DIR|-")
@click.option(
    "--datagram",
    "number",
    type=click.IntRange(1),
    required=True,
    help="Which one, from 1, as the other commands number them.",
)
@_habits_option
@_port_option
def explain(file: str, number: int, habits: str | None, ports: tuple[tuple[int, str], ...]) -> None:
    """Show a datagram octet by octet: field, value, what it means, and where that is written.

    Templates are those that had come until then.

    \b
    Examples:
      flowlab explain exports.pcap --datagram 1
      flowlab explain runs/one-ping/latest --datagram 12 | less -R
    """
    from collector.explain import explain as explained
    from collector.source import open_source
    from lab.report.explained import lines
    from lab.report.terminal import console

    with _told():
        found = explained(open_source(file, **_reading(habits, ports)), number)
        screen = console()
        for line in lines(found):
            screen.print(line, soft_wrap=True)


@click.command()
@click.argument("sql", metavar="SQL")
@click.argument("place", metavar="[DIR|URL]", default="runs")
@_format_option
def query(sql: str, place: str, form: str) -> None:
    """Ask SQL of all runs and stores in a folder (runs, if none is named), or of an engine.

    The language is DuckDB's, that of an engine its own. There are the views flows, records,
    samples, counters, extended and exporters; those of runs have the column run.

    \b
    Examples:
      flowlab query "SELECT run, protocol, sum(packets) FROM flows GROUP BY ALL ORDER BY ALL"
      flowlab query "SELECT * FROM exporters WHERE lost > 0" store
      flowlab query "DESCRIBE flows" store
      flowlab query "SELECT source, sum(octets_l2) AS octets FROM flows GROUP BY ALL
                     ORDER BY octets DESC LIMIT 10" store --format csv
      flowlab query "SELECT count() FROM flows" clickhouse://localhost/flows
    """
    from collector.query import QueryError, ask
    from collector.sinks import SinkError, WrongSinkError, ask_engine, is_address
    from lab.report.summed import write

    with _told():
        out = _output()
        try:
            if not is_address(place) and not Path(place).is_dir():
                stop(Exit.WRONG_INPUT, f"{place} is neither a folder nor an engine's address")
            answer = ask_engine(sql, place) if is_address(place) else ask(sql, Path(place))
            write(answer, form, out)
        except (QueryError, WrongSinkError, SinkError) as wrong:
            stop(Exit.WRONG_INPUT, str(wrong))


@click.command()
@click.argument("place", metavar="FILE|DIR|-")
@click.option(
    "--to",
    required=True,
    metavar="DIR|URL",
    help="A folder for Parquet files, or an engine: clickhouse://HOST:8123/DATABASE, "
    "chdb:///FOLDER, kafka://HOST:9092/PREFIX.",
)
@_store_option
@_habits_option
@_port_option
def load(
    place: str,
    to: str,
    views: str | None,
    habits: str | None,
    ports: tuple[tuple[int, str], ...],
) -> None:
    """Load a capture, a run or a store into a store or an engine.

    Captures are decoded; a store's rows (what collect wrote) are handed over as they are.

    \b
    Examples:
      flowlab load exports.pcap --to store
      flowlab load exports.pcap.gz --to clickhouse://flowlab@db.example.org:8123/flows --store flows
      flowlab load store --to kafka://broker:9092/flowlab
    """
    from collector.loading import SameStoreError
    from collector.loading import load as loaded
    from collector.sinks import SinkError, WrongSinkError, is_address, open_sink
    from collector.store import VIEWS, Store, WrongViewError, chosen_views
    from lab.compiled import compile_kernel
    from lab.report.summed import accounted

    if not is_address(to) and (why := outputs.no_folder(Path(to))):
        stop(Exit.WRONG_INPUT, f"--to: {why}")
    compile_kernel()
    with _told():
        try:
            chosen = VIEWS if views is None else chosen_views(views)
            sink = open_sink(to) if is_address(to) else Store(Path(to))
            rows, account = loaded(place, sink, chosen, **_reading(habits, ports))
            sink.close()
        except (WrongViewError, WrongSinkError, SameStoreError) as wrong:
            stop(Exit.WRONG_INPUT, str(wrong))
        except SinkError as refused:
            stop(Exit.CANNOT_RUN, str(refused))
    click.echo(f"{rows} rows loaded", err=True)
    if account is not None:
        for line in accounted(account):
            click.echo(line, err=True)


class _Duration(click.ParamType[float]):
    """``5m``."""

    name = "DURATION"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Read one, in seconds."""
        text = str(value)
        units_s = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
        number = text[:-1]
        if text[-1:] not in units_s or not (number.isascii() and number.isdigit() and int(number)):
            self.fail(f"{text!r} is not like 30s, 5m, 1h or 1d", param, ctx)
        return float(int(number) * units_s[text[-1]])


@click.command()
@click.option(
    "--listen",
    "places",
    multiple=True,
    required=True,
    metavar="PROTOCOL://[ADDRESS][:PORT]",
    help="netflow, ipfix or sflow; without an address on loopback only. May be repeated.",
)
@click.option(
    "--out",
    type=outputs.FOLDER,
    required=True,
    metavar="DIR",
    help="The folder that gets the Parquet files.",
)
@_store_option
@click.option(
    "--rotate",
    "rotate_s",
    type=_Duration(),
    default="5m",
    show_default=True,
    help="So often the files of all batches become one.",
)
@click.option(
    "--buffer",
    "buffer_octets",
    type=click.IntRange(1),
    default=16 << 20,
    metavar="OCTETS",
    help="Receive buffer to ask for; the kernel may grant less.  [default: 16 MiB]",
)
@click.option(
    "--sink",
    "addresses",
    multiple=True,
    metavar="URL",
    help="An engine that gets the same rows: clickhouse://HOST:8123/DATABASE, chdb:///FOLDER or "
    "kafka://HOST:9092/PREFIX. May be repeated.",
)
@click.option("--metrics", metavar="ADDRESS:PORT", help="Answer Prometheus there, on /metrics.")
@_habits_option
def collect(
    places: tuple[str, ...],
    out: Path,
    rotate_s: float,
    views: str | None,
    buffer_octets: int,
    addresses: tuple[str, ...],
    metrics: str | None,
    habits: str | None,
) -> None:
    """Receive exports and store them as Parquet files, until Control-C or SIGTERM.

    Every batch is a file at once, whole at every moment, and readable within 100 ms; query and
    flows read the folder while it grows. What is lost is counted by its cause.

    \b
    Examples:
      flowlab collect --listen netflow://:2055 --out store
      flowlab collect --listen netflow://[::]:2055 --listen sflow://[::] --listen ipfix://[::]
                      --out store --rotate 1h --metrics 127.0.0.1:9109
      flowlab query "SELECT * FROM exporters" store
    """
    from collector.listen import WrongListenError, parse, parse_http
    from collector.live import Collector
    from collector.sinks import SinkError, WrongSinkError, open_sink
    from collector.sinks.beside import Beside
    from collector.source import HABITS
    from collector.store import VIEWS, Store, WrongViewError, chosen_views
    from lab.compiled import compile_kernel
    from lab.report.live import Status

    compile_kernel()
    try:
        listening = parse(places)
        http = None if metrics is None else parse_http(metrics)
        store = Store(out)
        chosen = VIEWS if views is None else chosen_views(views)
        habit = HABITS[habits or "standard"]
        sinks = [Beside(open_sink(address), _complain) for address in addresses]
        collector = Collector(listening, store, habit, chosen, buffer_octets, sinks)
    except (WrongListenError, WrongViewError, WrongSinkError) as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))
    except SinkError as refused:
        stop(Exit.CANNOT_RUN, str(refused))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: collector.stop())
    status = Status()
    with collector:
        for name, port in zip(collector.names, collector.ports, strict=True):
            place = f"{port.address} port {port.number}"
            click.echo(
                f"listening for {name} on {place}, "
                f"receive buffer {port.receive_buffer_octets // 1024} KiB",
                err=True,
            )
        if http is not None:
            from collector.metrics import serve

            shown = serve(collector.counts, http.host, http.port)
            click.echo(f"metrics on {metrics}, port {shown}", err=True)
        collector.run(rotate_s, status)
        status.end(collector.counts())


def _complain(words: str) -> None:
    """Tell the user at once, and go on."""
    click.echo(words, err=True)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what is wrong with the input into a line and exit code 2."""
    from collector.aggregate import WrongKeyError
    from collector.explain import NoSuchDatagramError
    from collector.pcap import NotACaptureError
    from collector.source import NoExportsError
    from collector.where import WrongFilterError

    try:
        yield
    except (FileNotFoundError, IsADirectoryError, PermissionError) as refused:
        stop(Exit.WRONG_INPUT, f"{refused.filename}: {refused.strerror}")
    except (
        NotACaptureError,
        NoExportsError,
        NoSuchDatagramError,
        WrongFilterError,
        WrongKeyError,
    ) as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))


def _output() -> BinaryIO:
    """Standard output, for octets."""
    # Python has none if it was closed, whatever the types say.
    stream: Any = sys.stdout
    if stream is None:
        stop(Exit.WRONG_INPUT, "standard output is closed: there is nowhere to write to")
    octets: BinaryIO = stream.buffer
    return octets


def _where(text: str | None) -> Where | None:
    from collector.where import parse

    return None if text is None else parse(text)


def _reading(habits: str | None, ports: tuple[tuple[int, str], ...]) -> Any:
    """How a source is to be read; what reads it fast is compiled, if that can be."""
    from collector.decoding import ports_of
    from collector.source import HABITS
    from lab.compiled import compile_kernel

    compile_kernel()
    return {"habits": None if habits is None else HABITS[habits], "ports": ports_of(ports)}


COMMANDS: Final = (decode, flows, explain, query, load, collect)
"""All of them, for `lab.cli`."""
