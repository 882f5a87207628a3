"""The commands that run scenarios and judge runs: what each takes, and which room it calls.

Imports are inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab import outputs
from lab.commands_scenarios import library, load, load_all
from lab.exit import CODES, Exit, stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.capsule.outside import Way
    from lab.runner import Ran

_runs_option = click.option(
    "--runs",
    type=outputs.FOLDER,
    default=Path("runs"),
    show_default=True,
    help="The folder that gets a folder for every run.",
)
_listen_option = click.option(
    "--listen",
    default="127.0.0.1:0",
    show_default=True,
    metavar="ADDRESS:PORT",
    help="Where the live page is served; port 0 is any free one.",
)
_datapath_option = click.option(
    "--datapath",
    type=click.Choice(["userspace", "kernel"]),
    default="userspace",
    show_default=True,
    help="The private switch, or the kernel's through the system's Open vSwitch (needs root).",
)


@click.command()
@_runs_option
@_datapath_option
def demo(runs: Path, datapath: str) -> None:
    """Run the flagship scenario, explained as it goes."""
    from lab import demo as flagship

    scenario = load(flagship.SCENARIO)
    sys.exit(_code([flagship.run(scenario, runs, _way(datapath))]))


@click.command(epilog=CODES)
@click.argument("scenarios", nargs=-1, metavar="[NAME|FILE]...")
@click.option("--all", "everything", is_flag=True, help="Every scenario of the library.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, help="Runs side by side.")
@click.option("--repeat", type=click.IntRange(1, 10_000), default=1, help="Run each so often.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--junit", type=outputs.FILE, help="JUnit XML.")
@click.option("--keep-going", is_flag=True, help="Do not stop at the first run that fails.")
@click.option(
    "--to",
    "targets",
    multiple=True,
    metavar="HOST:PORT",
    help="Send a copy of all export datagrams to a collector outside the run.",
)
@click.option("--live", "shown", is_flag=True, help="Show it on a page as it happens.")
@_listen_option
@_runs_option
@_datapath_option
def run(
    scenarios: tuple[str, ...],
    everything: bool,
    jobs: int,
    repeat: int,
    form: str,
    junit: Path | None,
    keep_going: bool,
    targets: tuple[str, ...],
    shown: bool,
    listen: str,
    runs: Path,
    datapath: str,
) -> None:
    """Run scenarios and judge what their exporters reported.

    \b
    Examples:
      flowlab run one-ping
      flowlab run protocols/ipv6 my.yaml --keep-going
      flowlab run --all --repeat 20 --jobs 2 --junit report.xml
      flowlab run one-udp-stream --to 127.0.0.1:9995
      flowlab run ring --live
    """
    from contextlib import ExitStack

    from lab import batch

    if everything == bool(scenarios):
        stop(Exit.WRONG_INPUT, "name the scenarios to run, or give --all; see flowlab list")
    chosen = load_all(library() if everything else scenarios)
    plan = batch.Plan(tuple(chosen) * repeat, runs, jobs, keep_going)
    way = _copying(_way(datapath), targets)
    with ExitStack() as page:
        if shown:
            page.enter_context(_live_page(runs, None, listen, only_new=True))
        finished = batch.run(plan, way, form)
        if junit is not None:
            from lab.report.junit import document

            junit.write_bytes(document(finished))
        if shown:
            _until_interrupted()
    sys.exit(_code(finished))


@click.command()
@click.argument(
    "folder",
    required=False,
    metavar="[RUNDIR]",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@_listen_option
@_runs_option
def live(folder: Path | None, listen: str, runs: Path) -> None:
    """Show runs on a page as they happen: always the newest, or one.

    Links, what each exporter has told on one time axis, every datagram to its octets, and the
    verdict. The page works offline; its address has a token that nobody can guess.

    \b
    Examples:
      flowlab live                               beside it: flowlab run one-udp-stream
      flowlab live runs/one-udp-stream/latest
      flowlab live --listen 0.0.0.0:8000         for a class, in a network that you trust
    """
    with _live_page(runs, folder, listen, only_new=False):
        _until_interrupted()


@contextmanager
def _live_page(runs: Path, folder: Path | None, listen: str, *, only_new: bool) -> Iterator[None]:
    """Serve the page about runs, and say where it is."""
    from datetime import UTC, datetime

    from collector.receive import parse_endpoint
    from lab.report.page.serve import Board, Page

    since = f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}" if only_new else ""
    board = Board(runs, folder.resolve() if folder else None, since)
    try:
        place = parse_endpoint(listen)
        page = Page(board, (place.family, place.host, place.port))
    except (OSError, ValueError) as wrong:
        stop(Exit.WRONG_INPUT, f"--listen {listen}: {wrong}")
    with page:
        click.echo(f"watch it at {page.address}", err=True)
        yield


def _until_interrupted() -> None:
    import signal
    import threading

    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    click.echo("the page stays until you press Control-C", err=True)
    over.wait()


@click.command(epilog=CODES)
@click.argument("scenarios", nargs=-1, required=True, metavar="NAME|FILE|RUNDIR...")
@click.option(
    "--out",
    type=outputs.FOLDER,
    required=True,
    metavar="DIR",
    help="The folder that gets a case, a folder itself, for every scenario.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=1, help="Runs side by side.")
@_runs_option
def record(scenarios: tuple[str, ...], out: Path, jobs: int, runs: Path) -> None:
    """Run scenarios and make cases of them: their exports, with the truth about these.

    A run folder is taken as it is. Only a run that passes makes a case. What can be done with
    cases: flowlab replay, flowlab conform.

    \b
    Examples:
      flowlab record one-udp-stream protocols/ipv6 --out cases
      flowlab record runs/my-scenario/latest --out cases
    """
    from lab import batch
    from lab.judge import NotARun
    from lab.record import NoCase, SkippedRun
    from lab.record import record as recorded

    folders = [Path(name) for name in scenarios if Path(name).is_dir()]
    others = [name for name in scenarios if not Path(name).is_dir()]
    failed = 0
    if others:
        plan = batch.Plan(tuple(load_all(others)), runs, jobs, keep_going=True)
        finished = batch.run(plan, _way("userspace"), "text")
        failed = _code(finished)
        folders += [ran.folder for ran in finished]
    made: dict[Path, Path] = {}
    made_all = True
    for folder in folders:
        try:
            case = recorded(folder, out)
        except NotARun as odd:
            stop(Exit.WRONG_INPUT, str(odd))
        except NoCase as odd:
            click.echo(str(odd), err=True)
            made_all = made_all and isinstance(odd, SkippedRun)
            continue
        truth = case.truth()
        click.echo(f"{case.folder}: {len(truth.flows)} flows, {truth.counts['records']} records")
        if case.folder in made:
            click.echo(f"{case.folder}: of {folder}, no longer of {made[case.folder]}", err=True)
        made[case.folder] = folder
    if failed or not made_all:
        sys.exit(failed or Exit.NO_VERDICT)


@click.command()
@click.argument("folders", nargs=-1, required=True, metavar="RUNDIR...")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
def check(folders: tuple[str, ...], form: str) -> None:
    """Judge recorded runs again: no root, no Mininet, no Open vSwitch needed.

    \b
    Example:
      flowlab check runs/one-udp-stream/latest
    """
    from lab import batch
    from lab.judge import NotARun

    try:
        finished = batch.check([Path(folder) for folder in folders], form)
    except NotARun as odd:
        stop(Exit.WRONG_INPUT, str(odd))
    sys.exit(_code(finished))


@click.command()
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="RUNDIR...",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--out",
    type=outputs.FILE,
    metavar="FILE",
    help="The page.  [default: report.html in the run's folder; of several runs, here]",
)
@click.option(
    "--figures",
    "form",
    type=click.Choice(["svg", "png"]),
    help="Write the figures beside it as files, too.",
)
def report(folders: tuple[Path, ...], out: Path | None, form: str | None) -> None:
    """Make a page of one run or several: figures, the verdict, datagrams octet by octet.

    One HTML file that needs nothing but a browser, and no network. Each run writes its own,
    report.html in its folder; this makes it anew, or one about several runs.

    \b
    Examples:
      flowlab report runs/one-udp-stream/latest
      flowlab report runs/one-in-ten/latest runs/one-in-two/latest --out sampling.html
      flowlab report runs/active-timeout/latest --figures png
    """
    from lab.judge import NotARun
    from lab.report.page import write
    from lab.report.page.follow import PAGE

    where = out or (folders[0] / PAGE if len(folders) == 1 else Path(PAGE))
    if why := outputs.no_file(where):
        stop(Exit.WRONG_INPUT, f"{why}; choose a file: --out FILE")
    try:
        runs = write.write(folders, where)
    except NotARun as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))
    click.echo(str(where))
    for run, folder in zip(runs, folders, strict=True) if form else ():
        for path in write.draw(run, folder / "figures", form or ""):
            click.echo(str(path))


@click.command()
@click.argument("scenario", metavar="NAME|FILE")
@_runs_option
def shell(scenario: str, runs: Path) -> None:
    """Open Mininet's command line in a scenario's network, with its exporters on.

    Commands may also come through a pipe. When you leave, the exporters are flushed and what
    they reported is shown.

    \b
    Examples:
      flowlab shell one-ping
      echo 'h1 ping -c 3 h2' | flowlab shell one-ping
    """
    from lab import batch
    from lab.runner import ShellFailed

    try:
        batch.shell(load(scenario), runs, _way("userspace"))
    except ShellFailed as failed:
        stop(Exit.NO_VERDICT, str(failed))


def _way(datapath: str) -> Way:
    from lab.capsule.outside import CannotEnter, find_way
    from lab.kernel import why_no_kernel_datapath

    own_network = datapath == "userspace"
    reason = None if own_network else why_no_kernel_datapath()
    if reason is not None:
        stop(Exit.CANNOT_RUN, f"--datapath kernel cannot run here: {reason}")
    try:
        way = find_way(own_network=own_network)
    except CannotEnter as refused:
        stop(Exit.CANNOT_RUN, str(refused))
    if way.notice:
        click.echo(f"flowlab: {way.notice}", err=True)
    return way


def _copying(way: Way, targets: Iterable[str]) -> Way:
    """A way into a capsule that has sockets out of it, each to a collector elsewhere."""
    from dataclasses import replace

    from lab.copies import WrongTargetError, connected

    try:
        descriptors = tuple(connected(target) for target in targets)
    except WrongTargetError as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))
    if descriptors and way.through_sudo:
        stop(
            Exit.CANNOT_RUN,
            "--to: sudo closes the sockets that would lead out of the run",
            "run flowlab itself with sudo, or allow unprivileged user namespaces",
        )
    return replace(way, descriptors=descriptors)


def _code(finished: Iterable[Ran]) -> int:
    from collector.check.model import Outcome

    outcomes = {ran.verdict.outcome for ran in finished}
    if Outcome.FAIL in outcomes:
        return Exit.FAILED
    return Exit.NO_VERDICT if Outcome.INVALID in outcomes else Exit.PASSED


COMMANDS = (demo, run, live, record, check, report, shell)
"""All of them, for `lab.cli`."""
