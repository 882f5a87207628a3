"""The command line: what each command takes, and which room it calls. Nothing is decided here.

Imports are inside the commands, so that ``--help`` and ``show`` answer at once.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lab import (
    __version__,
    commands_collector,
    commands_exercises,
    commands_generating,
    commands_testing,
)
from lab.exit import Exit, stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.capsule.outside import Way
    from lab.runner import Ran
    from lab.scenario.load import Inspection
    from lab.scenario.model import Scenario


# Commands answer at once: importing makes many objects that live for ever, which is not worth
# looking for garbage in, and no pydantic plugin is wanted, so none is searched for.
gc.set_threshold(500_000, 20, 50)
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# Nobody multiplies matrices here, so numpy's library for that needs no threads, which it would
# start at once.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_EXIT_CODES = """\b
Exit codes: 0 all passed, 1 some failed, 2 your input is wrong,
3 no verdict possible (INVALID), 4 this machine cannot run it.
"""
_runs_option = click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
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


class _Commands(click.Group):
    """Turns what the machine refuses, and Control-C, into a line and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            stop(Exit.INTERRUPTED, "interrupted; what was running ends with it")
        except BrokenPipeError:  # as `head` does; not worth a word
            sys.exit(Exit.NOBODY_READS)
        except OSError as refused:
            stop(Exit.CANNOT_RUN, f"the machine refused: {refused}")
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as unforeseen:
            if "FLOWLAB_DEBUG" in os.environ:
                raise
            # A crash must not look like a verdict.
            stop(
                Exit.NO_VERDICT,
                f"a fault of flowlab itself: {type(unforeseen).__name__}: {unforeseen}",
                "please report it, with what FLOWLAB_DEBUG=1 shows",
            )


@click.group(cls=_Commands, context_settings=_CONTEXT, epilog=_EXIT_CODES)
@click.version_option(version=__version__, prog_name="flowlab")
def main() -> None:
    """A lab for flow monitoring: real switches, real exports, an exact verdict.

    \b
    Examples:
      flowlab demo                    see it work
      flowlab list                    what scenarios there are
      flowlab show one-udp-stream     what one of them does, without running it
      flowlab run one-udp-stream      run it and judge it
      flowlab run my.yaml             run your own
      flowlab run --all --jobs 2      run everything
      flowlab check runs/one-udp-stream/latest
      flowlab decode exports.pcap     what any capture of exports says
    """


for _command in (
    *commands_collector.COMMANDS,
    *commands_generating.COMMANDS,
    *commands_testing.COMMANDS,
    *commands_exercises.COMMANDS,
):
    main.add_command(_command)


@main.command()
@_runs_option
@_datapath_option
def demo(runs: Path, datapath: str) -> None:
    """Run the flagship scenario, explained as it goes."""
    from lab import demo as flagship

    scenario = _load(flagship.SCENARIO)
    sys.exit(_code([flagship.run(scenario, runs, _way(datapath))]))


@main.command(epilog=_EXIT_CODES)
@click.argument("scenarios", nargs=-1, metavar="[NAME|FILE]...")
@click.option("--all", "everything", is_flag=True, help="Every scenario of the library.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, help="Runs side by side.")
@click.option("--repeat", type=click.IntRange(1, 10_000), default=1, help="Run each so often.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="JUnit XML.")
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
    chosen = _load_all(_library() if everything else scenarios)
    if junit is not None:
        junit.touch()  # better refused now than after all runs
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


@main.command()
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


@main.command(epilog=_EXIT_CODES)
@click.argument("scenarios", nargs=-1, required=True, metavar="NAME|FILE|RUNDIR...")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
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
    if others:
        plan = batch.Plan(tuple(_load_all(others)), runs, jobs, keep_going=False)
        finished = batch.run(plan, _way("userspace"), "text")
        if code := _code(finished):
            sys.exit(code)
        folders += [ran.folder for ran in finished]
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
    if not made_all:
        sys.exit(Exit.NO_VERDICT)


@main.command()
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


@main.command("list")
def list_scenarios() -> None:
    """List the scenarios of the library, theme by theme."""
    from lab import show as shown

    click.echo(shown.listing())


@main.command()
@click.argument("scenario", metavar="NAME|FILE")
@click.option("--expected", is_flag=True, help="Only what must be reported, of every flow.")
def show(scenario: str, *, expected: bool) -> None:
    """Show a scenario without running it: its picture, traffic, and what must be reported.

    \b
    Examples:
      flowlab show one-udp-stream
      flowlab show one-packet-flows --expected
    """
    from lab import show as shown

    loaded = _load(scenario)
    click.echo(shown.expected_table(loaded) if expected else shown.describe(loaded))


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--like", metavar="NAME|FILE", help="Begin with this scenario, not the template.")
@click.option(
    "--topo", metavar="NAME[,ARG]...", help="With this network of Mininet's, as for mn --topo."
)
@click.option(
    "--custom",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.py",
    help="The file that has it, as for mn --custom. It is executed, once and now.",
)
def new(file: Path, like: str | None, topo: str | None, custom: Path | None) -> None:
    """Start a scenario file from a template, ready for an editor that knows the schema.

    \b
    Examples:
      flowlab new my.yaml
      flowlab new my.yaml --like tcp-both-ways
      flowlab new my.yaml --topo torus,3,3
      flowlab new my.yaml --custom topo-2sw-2host.py --topo mytopo
    """
    from lab.library import NoSuchScenario
    from lab.new import NoSuchTopo, write, write_with_topo

    if topo is None and custom is not None:
        raise click.UsageError("--custom needs --topo NAME: which of its topologies?")
    if topo is not None and like is not None:
        raise click.UsageError("--topo and --like both bring a network; choose one")
    try:
        if topo is None:
            write(file, like)
        else:
            for words in write_with_topo(file, topo, custom):
                click.echo(f"left out {words}", err=True)
    except (NoSuchScenario, NoSuchTopo) as unknown:
        stop(Exit.WRONG_INPUT, str(unknown))
    except FileExistsError:
        stop(Exit.WRONG_INPUT, f"{file} is there already; choose another name")
    click.echo(f"{file} is written; edit it, then: flowlab lint {file}, flowlab run {file}")


@main.command()
@click.argument("scenario", metavar="NAME|FILE")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write the SVG here instead."
)
def graph(scenario: str, out: Path | None) -> None:
    """Draw a scenario's network as SVG, laid out by Graphviz; nothing leaves this machine.

    \b
    Example:
      flowlab graph fat-tree --out fat-tree.svg
    """
    import subprocess

    from topologies.dot import dot

    text = dot(_load(scenario).build_topology())
    try:
        drawn = subprocess.run(
            ("dot", "-Tsvg"), input=text.encode(), capture_output=True, check=True
        ).stdout
    except FileNotFoundError:
        stop(Exit.CANNOT_RUN, "the program dot (package graphviz) is missing; run ./flowlab graph")
    except subprocess.CalledProcessError as failed:
        stop(Exit.CANNOT_RUN, f"dot could not draw it: {failed.stderr.decode(errors='replace')}")
    if out is None:
        click.echo(drawn.decode(), nl=False)
    else:
        out.write_bytes(drawn)


@main.command()
@click.argument("scenarios", nargs=-1, metavar="[NAME|FILE]...")
def lint(scenarios: tuple[str, ...]) -> None:
    """Check scenario files: every fault with its line and column, and what to do about it."""
    names = scenarios or _library()
    looked_at = _inspect(names)
    for one in looked_at:
        for warning in one.warnings:
            click.echo(f"{warning} (a warning)", err=True)
    click.echo(f"{len(looked_at)} scenario{'s' * (len(looked_at) != 1)}: no faults")


@main.command()
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    metavar="RUNDIR...",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
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
    try:
        runs = write.write(folders, where)
    except NotARun as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))
    click.echo(str(where))
    for run, folder in zip(runs, folders, strict=True) if form else ():
        for path in write.draw(run, folder / "figures", form or ""):
            click.echo(str(path))


@main.command()
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
        batch.shell(_load(scenario), runs, _way("userspace"))
    except ShellFailed as failed:
        stop(Exit.NO_VERDICT, str(failed))


@main.command()
def doctor() -> None:
    """Say what this machine can do, what it cannot and why, and what to do about it."""
    from lab import doctor as physician

    findings = physician.examine()
    click.echo(physician.report(findings, colour=sys.stdout.isatty()))
    sys.exit(Exit.PASSED if physician.can_run(findings) else Exit.CANNOT_RUN)


@main.command()
def setup() -> None:
    """Set up what a lab needs; the start script ./flowlab has done it before this says so."""
    click.echo("All is set up. Try: ./flowlab demo")


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(arguments: tuple[str, ...]) -> None:
    """Run the project's own tests: format, lint, types, import rules, and all of pytest's.

    \b
    Examples:
      flowlab test
      flowlab test -k netflow -x
    """
    from lab import selftest

    sys.exit(selftest.run(arguments))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: tuple[str, ...]) -> None:
    """Measure the collector against nfdump and pmacct: the same corpora, in turn, medians.

    \b
    Examples:
      flowlab bench
      flowlab bench --records 10000000 --runs 5 --only openvswitch --peer nfdump --out bench.json
      flowlab bench --folder corpora

    Corpora: netflow5, netflow9, ipfix, openvswitch, sflow; with --folder they are kept.
    """
    import subprocess

    from lab.selftest import CHECKOUT

    command = [sys.executable, "-P", "-m", "tests.benchmarks", *arguments]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)


def entry() -> NoReturn:
    """Run the command line as a program, and leave without taking Python down piece by piece.

    That would cost a fifth of what a short command takes, and wait for threads that watch runs;
    a command that is over has closed what it opened.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an old locale has no arrows
            stream.reconfigure(errors="replace")
    try:
        main(prog_name="flowlab")
    except SystemExit as leaving:
        code = leaving.code
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, AttributeError):  # nobody reads it any more, or ever did
                stream.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _library() -> tuple[str, ...]:
    from lab.library import all_scenarios

    return tuple(str(path) for path in all_scenarios())


def _load(name: str) -> Scenario:
    return _load_all([name])[0]


def _load_all(names: Iterable[str]) -> list[Scenario]:
    """Load scenarios; see `_inspect`."""
    return [one.scenario for one in _inspect(names) if one.scenario is not None]


def _inspect(names: Iterable[str]) -> list[Inspection]:
    """Look at scenario files; on faults print all of them, of all files, and stop."""
    from lab.library import NoSuchScenario, find
    from lab.scenario.load import inspect

    looked_at: list[Inspection] = []
    faults: list[str] = []
    for name in names:
        try:
            looked_at.append(inspect(find(name)))
        except NoSuchScenario as unknown:
            faults.append(str(unknown))
        else:
            faults += map(str, looked_at[-1].faults)
    if faults:
        stop(Exit.WRONG_INPUT, *faults)
    return looked_at


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
