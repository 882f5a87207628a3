"""The command line: what each command takes, and which room it calls. Nothing is decided here.

Imports are inside the commands, so that ``--help`` and ``show`` answer at once.
"""

from __future__ import annotations

import gc
import io
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

from lab import (
    __version__,
    commands_collector,
    commands_exercises,
    commands_generating,
    commands_running,
    commands_scenarios,
    commands_testing,
    early,
)
from lab.exit import CODES, Exit, stop

# Commands answer at once: importing makes many objects that live for ever, which is not worth
# looking for garbage in, and no pydantic plugin is wanted, so none is searched for.
gc.set_threshold(500_000, 20, 50)
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
# Nobody multiplies matrices here, so numpy's library for that needs no threads, which it would
# start at once.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Commands(click.Group):
    """Turns what the machine refuses, and Control-C, into a line and an exit code."""

    def invoke(self, context: click.Context) -> Any:
        try:
            early.end()
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


@click.group(cls=_Commands, context_settings=_CONTEXT, epilog=CODES)
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
    *commands_running.COMMANDS,
    *commands_scenarios.COMMANDS,
    *commands_collector.COMMANDS,
    *commands_generating.COMMANDS,
    *commands_testing.COMMANDS,
    *commands_exercises.COMMANDS,
):
    main.add_command(_command)


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
    """Measure the collector against others: the same corpora, in turn, medians.

    \b
    Examples:
      flowlab bench
      flowlab bench --records 10000000 --runs 5 --only openvswitch --peer nfdump --out bench.json
      flowlab bench --folder corpora

    Corpora: netflow5, netflow9, ipfix, openvswitch, sflow; with --folder they are kept.
    Peers: flowlab, nfdump, pmacct, tshark, netflow (the Python package).
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
