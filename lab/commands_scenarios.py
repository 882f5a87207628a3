"""The commands about scenarios that run nothing: what each takes, and which room it calls.

Imports are inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lab import outputs
from lab.exit import Exit, stop

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.scenario.load import Inspection
    from lab.scenario.model import Scenario


@click.command("list")
def list_scenarios() -> None:
    """List the scenarios of the library, theme by theme."""
    from lab import show as shown

    click.echo(shown.listing())


@click.command()
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

    loaded = load(scenario)
    click.echo(shown.expected_table(loaded) if expected else shown.describe(loaded))


@click.command()
@click.argument("file", type=outputs.FILE)
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


@click.command()
@click.argument("scenario", metavar="NAME|FILE")
@click.option("--out", type=outputs.FILE, help="Write the SVG here instead.")
def graph(scenario: str, out: Path | None) -> None:
    """Draw a scenario's network as SVG, laid out by Graphviz; nothing leaves this machine.

    \b
    Example:
      flowlab graph fat-tree --out fat-tree.svg
    """
    import subprocess

    from topologies.dot import dot

    text = dot(load(scenario).build_topology())
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


@click.command()
@click.argument("scenarios", nargs=-1, metavar="[NAME|FILE]...")
def lint(scenarios: tuple[str, ...]) -> None:
    """Check scenario files: every fault with its line and column, and what to do about it."""
    names = scenarios or library()
    looked_at = inspect_all(names)
    for one in looked_at:
        for warning in one.warnings:
            click.echo(f"{warning} (a warning)", err=True)
    click.echo(f"{len(looked_at)} scenario{'s' * (len(looked_at) != 1)}: no faults")


def library() -> tuple[str, ...]:
    """Every scenario of the library, as a file."""
    from lab.library import all_scenarios

    return tuple(str(path) for path in all_scenarios())


def load(name: str) -> Scenario:
    """Load one scenario; see `inspect_all`."""
    return load_all([name])[0]


def load_all(names: Iterable[str]) -> list[Scenario]:
    """Load scenarios; see `inspect_all`."""
    return [one.scenario for one in inspect_all(names) if one.scenario is not None]


def inspect_all(names: Iterable[str]) -> list[Inspection]:
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


COMMANDS = (list_scenarios, show, new, graph, lint)
"""All of them, for `lab.cli`."""
