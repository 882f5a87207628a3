"""The commands for testing collectors: what each takes, and which room it calls.

Imports are inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lab import outputs
from lab.exit import Exit, stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collector.corpus.case import Case
    from collector.replay import Target
    from lab.conform.run import Collector, Outcome

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)
_NAMED: Final = "NAME|FILE.yaml"
_collector_option = click.option(
    "--collector",
    "collectors",
    multiple=True,
    required=True,
    metavar=f"{_NAMED},…",
    help="A collector of flowlab collectors, or a file that describes one; may be repeated.",
)


@click.command()
@click.argument("cases", nargs=-1, required=True, metavar="CASE...")
@click.option(
    "--to",
    "targets",
    multiple=True,
    required=True,
    metavar="[netflow=|sflow=]HOST:PORT",
    help="Where to send; with a kind in front only what is of that kind.",
)
@click.option("--speed", type=click.FloatRange(0.001, 1e6), help="So many times as fast.")
@click.option("--rate", type=click.FloatRange(0.001, 1e9), help="So many datagrams a second.")
@click.option("--as-recorded", is_flag=True, help="As they came; so it is without the other two.")
@click.option(
    "--source",
    default="",
    metavar="keep|ADDRESS",
    help="Insist on the exporters' own addresses, or send all from one.",
)
def replay(
    cases: tuple[str, ...],
    targets: tuple[str, ...],
    speed: float | None,
    rate: float | None,
    as_recorded: bool,
    source: str,
) -> None:
    """Send the exports of cases to a collector; needs no root.

    CASE is a case's folder or name, a run folder, or a capture. Exporters are kept apart by source
    port, and by source address where this machine has them: to a collector on the loopback each
    exporter comes from an address of 127.0.0.0/8.

    \b
    Examples:
      flowlab replay one-datagram --to 127.0.0.1:2055
      flowlab replay runs/one-udp-stream/latest --to netflow=[::1]:2055 --to sflow=[::1]:6343
      flowlab replay exports.pcap --to 192.0.2.1:9995 --rate 1000
    """
    from collector import pcap
    from collector import replay as player
    from collector.senders import families_of

    if (speed is not None) + (rate is not None) + as_recorded > 1:
        stop(Exit.WRONG_INPUT, "choose one of --speed, --rate and --as-recorded")
    if source not in ("", player.KEEP) and not _is_address(source):
        stop(Exit.WRONG_INPUT, f"--source {source!r} is neither {player.KEEP} nor an address")
    places = _targets(targets)
    for capture in _captures(cases):
        try:
            datagrams = pcap.datagrams(pcap.read(capture))
        except (OSError, pcap.NotACaptureError) as wrong:
            stop(Exit.WRONG_INPUT, f"{capture}: {wrong}")
        nowhere = sorted(set(families_of(datagrams)) - places.keys())
        if nowhere:
            stop(Exit.WRONG_INPUT, f"{capture} has {nowhere[0]}: add --to {nowhere[0]}=HOST:PORT")
        due = player.as_recorded(datagrams, speed or 1.0)
        if rate is not None:
            due = player.at_rate(len(datagrams), rate)
        try:
            sent = player.replay(datagrams, places, due, source)
        except player.WrongSourceError as wrong:
            stop(Exit.WRONG_INPUT, str(wrong))
        click.echo(
            f"{capture}: {sent.datagrams} datagrams ({sent.octets} octets) of "
            f"{len(sent.senders)} senders in {sent.took_s:.3f} s"
        )
        for (address, port), own in sent.senders.items():
            click.echo(f"  {address} port {port} sent from {own[0]} port {own[1]}")
        for target in sent.refused:
            click.echo(f"  nobody listens at {target.host} port {target.port}", err=True)


def _targets(texts: Sequence[str]) -> dict[str, Target]:
    """Where each kind of datagrams goes."""
    import socket

    from collector.replay import Target
    from collector.senders import FAMILIES

    found: dict[str, Target] = {}
    for text in texts:
        kind, equals, rest = text.partition("=")
        host, colon, port = (rest if equals else text).rpartition(":")
        wrong = (
            (equals and kind not in FAMILIES)
            or not host
            or not (port.isascii() and port.isdecimal())
        )
        if wrong or not colon or len(port) > len("65535") or not 0 < int(port) <= 0xFFFF:
            stop(Exit.WRONG_INPUT, f"--to {text!r} is not like 127.0.0.1:2055 or sflow=[::1]:6343")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            address = socket.getaddrinfo(bare, int(port), type=socket.SOCK_DGRAM)[0][4]
        except (OSError, UnicodeError) as refused:
            stop(Exit.WRONG_INPUT, f"--to {text}: {refused}")
        for family in (kind,) if equals else FAMILIES:
            found.setdefault(family, Target(str(address[0]), int(port)))
    return found


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _captures(names: Sequence[str]) -> list[Path]:
    """The captures of cases, run folders, or files."""
    from collector.corpus.case import MANIFEST
    from collector.source import EXPORTS

    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.exists() and not path.is_dir() and not path.is_file():
            stop(
                Exit.WRONG_INPUT,
                f"{name} is a pipe or a device, and what is sent has to be a file: write it to one",
            )
        if path.is_file():
            found.append(path)
        elif (path / EXPORTS).is_file() and not (path / MANIFEST).exists():
            found.append(path / EXPORTS)
        else:
            found += [case.exports for case in _cases([name])]
    return found


def _cases(names: Sequence[str]) -> list[Case]:
    from collector.corpus.case import WrongCaseError
    from lab.corpus import find_cases

    try:
        return find_cases(names)
    except WrongCaseError as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))


def _refused_now(cases: Sequence[Case]) -> None:
    """Refuse what could be refused in the end only, when all results would be lost."""
    from collector.corpus.case import WrongCaseError

    for case in cases:
        try:
            case.truth()
        except WrongCaseError as wrong:
            stop(Exit.WRONG_INPUT, str(wrong))


@click.command()
def collectors() -> None:
    """List the collectors that can be examined, with the version that is installed here."""
    from collector.backends import BACKENDS

    for name, backend in BACKENDS.items():
        missing = backend.missing()
        state = missing or backend.version() or "version unknown"
        click.echo(f"{name:10} {'-' if missing else '✓'} {state}")
        click.echo(f"{'':12} {backend.says}")
    click.echo(f"{'FILE.yaml':10}   any other: a command, and where its output has what")


@click.command()
@_collector_option
@click.option(
    "--cases",
    "cases",
    multiple=True,
    metavar="CASE|DIR",
    help="A case, or a folder with cases; may be repeated.  [default: the bundled corpus]",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=1, help="Pairs side by side.")
@click.option("--json", "as_json", is_flag=True, help="What came of each as JSON, on stdout.")
@click.option("--junit", type=outputs.FILE, help="JUnit XML.")
@click.option("--html", type=outputs.FILE, help="A page, whole.")
def conform(
    collectors: tuple[str, ...],
    cases: tuple[str, ...],
    jobs: int,
    as_json: bool,
    junit: Path | None,
    html: Path | None,
) -> None:
    """Feed collectors with cases, and compare what they tell with what is true.

    Each pair is run by itself, in a network of its own where the machine grants one, so that
    exporters keep their addresses. What a collector cannot express is left out and counted.

    \b
    Examples:
      flowlab conform --collector nfdump
      flowlab conform --collector flowlab,nfdump,pmacct,tshark --jobs 2 --html matrix.html
      flowlab conform --collector mine.yaml --cases cases/ --junit report.xml
    """
    from collector.backends import named
    from lab.conform.run import conform as examine
    from lab.conform.run import way_in
    from lab.report import matrix

    found = _cases(cases)
    chosen = _chosen(collectors)
    _refused_now(found)
    way, why = way_in()
    if way is None:
        click.echo(f"flowlab: exporters are addresses of the loopback here, for {why}", err=True)

    def watch(outcome: Outcome) -> None:
        if not as_json:
            click.echo(matrix.line(outcome), err=True)

    versions = {one.label: named(one.name, one.custom).version() for one in chosen}
    with _signals_as_control_c():
        outcomes = examine(found, chosen, way, jobs, watch)
    if as_json:
        click.echo(json.dumps(matrix.plain(outcomes, versions), indent=1))
    else:
        matrix.show(outcomes)
    if junit is not None:
        junit.write_bytes(matrix.junit(outcomes, versions))
    if html is not None:
        html.write_text(matrix.page(outcomes, versions), encoding="utf-8")
    sys.exit(matrix.code(outcomes))


@click.command()
@_collector_option
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 60),
    default=1.0,
    show_default=True,
    help="How long each rate is held.",
)
@click.option(
    "--tries",
    type=click.IntRange(1, 10),
    default=2,
    show_default=True,
    help="At each rate; it is lost only if every try loses.",
)
@click.option(
    "--precision",
    type=click.FloatRange(1.01, 4),
    default=1.1,
    show_default=True,
    help="The factor to which the limit is narrowed down.",
)
@click.option("--json", "as_json", is_flag=True, help="All tries as JSON on standard output.")
@click.option("--svg", type=outputs.FILE, help="The curves.")
def limit(
    collectors: tuple[str, ...],
    seconds: float,
    tries: int,
    precision: float,
    as_json: bool,
    svg: Path | None,
) -> None:
    """Find the highest rate at which a collector loses nothing, and where it loses beyond.

    IPFIX messages of ten records are sent over the loopback: some to warm up, then a flood at a
    rate, then it has time to recover. What is lost is placed: the kernel's queue, the collector,
    its storage. Sender and collector share the machine: compare collectors, not machines.

    \b
    Examples:
      flowlab limit --collector nfdump
      flowlab limit --collector flowlab,nfdump,pmacct --svg limits.svg
    """
    from dataclasses import asdict

    from collector import flood
    from collector import limit as limits
    from collector.backends import named
    from lab.printable import printable
    from lab.report.curves import picture

    every = _chosen(collectors)
    _see_that_they_can_be_flooded(every)
    curves: dict[str, list[limits.Try]] = {}
    for chosen in every:

        def attempted(rate_dps: float) -> limits.Try:
            one = limits.best_of(
                tries,
                lambda: limits.tried(named(chosen.name, chosen.custom), rate_dps, seconds),  # noqa: B023
            )
            click.echo(
                f"{chosen.label:10} {one.reached_dps:>9,.0f} datagrams/s  {one.lost:8.3%} lost"  # noqa: B023
                f"  {printable(one.where())}",
                err=True,
            )
            return one

        with _signals_as_control_c():
            curves[chosen.label] = limits.search(attempted, precision=precision)
    for name, found in curves.items():
        highest = limits.best(found)
        rate = f"{highest.reached_dps:,.0f} datagrams/s, " if highest else ""
        told = f"{highest.reached_dps * flood.RECORDS:,.0f} records/s" if highest else "no rate"
        first = next((one for one in found if one.lost), None)
        beyond = f"; beyond, {printable(first.where())}" if first else "; the sender got no faster"
        click.echo(f"{name}: loses nothing up to {rate}{told}{beyond}", err=as_json)
    if as_json:
        plain = {
            name: [{**asdict(one), "lost": one.lost} for one in found]
            for name, found in curves.items()
        }
        click.echo(json.dumps(plain, indent=1))
    if svg is not None:
        svg.write_text(picture(curves, flood.RECORDS), encoding="utf-8")
    if any(all(one.why for one in found) for found in curves.values()):
        sys.exit(Exit.NO_VERDICT)


def _see_that_they_can_be_flooded(collectors: Sequence[Collector]) -> None:
    """Stop if one of them takes no IPFIX from a port."""
    from collector.backends import named
    from collector.decode import NETFLOW
    from collector.flood import FLOW

    for one in collectors:
        backend = named(one.name, one.custom)
        if not backend.receives:
            stop(Exit.WRONG_INPUT, f"{one.label} reads captures and receives nothing")
        if not backend.takes(NETFLOW):
            stop(Exit.WRONG_INPUT, f"{one.label} does not take netflow: what is sent is IPFIX")
        if why := backend.cannot(FLOW):
            stop(Exit.WRONG_INPUT, f"{one.label} cannot express what is sent, IPFIX: {why}")


@contextmanager
def _signals_as_control_c() -> Iterator[None]:
    """Let SIGTERM, and a terminal that goes, end what runs as Control-C does, with all of it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    # What is ignored (nohup) stays so.
    ending = [one for one in _ENDING if signal.getsignal(one) is signal.SIG_DFL]
    for one in ending:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in ending:
            signal.signal(one, signal.SIG_DFL)


def _chosen(texts: Sequence[str]) -> list[Collector]:
    """The collectors that are named; stops if one cannot be had here."""
    from lab.conform.run import NoCollector, NotHere, chosen

    try:
        return chosen(texts)
    except NotHere as missing:
        stop(Exit.CANNOT_RUN, str(missing))
    except NoCollector as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))


COMMANDS: Final = (replay, collectors, conform, limit)
"""All of them, for `lab.cli`."""
