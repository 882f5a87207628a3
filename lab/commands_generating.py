"""The command `flowlab generate`: export datagrams out of profiles, to files or to the network.

Imports are inside the command, so that ``--help`` answers at once.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from lab import outputs
from lab.exit import Exit, stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.disturbances import Disturbance
    from lab.profiles import Plan


@click.command()
@click.argument("profile", required=False, metavar="[PROFILE|FILE.yaml|CASE]")
@click.option("--out", type=outputs.FILE_OR_FOLDER, help="A case's folder, or a file .pcap.")
@click.option("--to", "target", metavar="HOST:PORT", help="Send it there.")
@click.option("--rate", type=click.FloatRange(1, 1e8), help="Datagrams a second; else the most.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Decides on all that is drawn.")
@click.option("--records", type=click.IntRange(1, 10**9), help="How many.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND=N[:SEED]",
    help="What befalls N of a hundred datagrams; late_collector=N: the first N. May be repeated.",
)
@click.option("--catalogue", is_flag=True, help="A case of every bundled profile.")
@click.option("--list", "as_list", is_flag=True, help="The bundled profiles.")
def generate(
    profile: str | None,
    out: Path | None,
    target: str | None,
    rate: float | None,
    seed: int | None,
    records: int | None,
    faults: tuple[str, ...],
    *,
    catalogue: bool,
    as_list: bool,
) -> None:
    """Make export datagrams as a profile's exporter sends them, with the truth about them.

    Needs no root, no Mininet and no Open vSwitch. The same profile, records and seed make the same
    octets. PROFILE is a bundled one (--list) or a file; of a case only faults can be made.

    \b
    Examples:
      flowlab generate softflowd --out cases/softflowd
      flowlab generate juniper-ipfix --records 1000000 --out big.pcap
      flowlab generate router-netflow5 --to 127.0.0.1:2055 --rate 10000
      flowlab generate softflowd --fault drop=5 --fault duplicate=5:7 --out cases/broken
      flowlab generate --catalogue --out cases
    """
    from lab import profiles
    from lab.compiled import compile_kernel

    if as_list:
        _list()
        return
    compile_kernel()
    if (out is None) == (target is None):
        stop(Exit.WRONG_INPUT, "say where to: --out DIR, --out FILE.pcap, or --to HOST:PORT")
    if (profile is None) != catalogue:
        stop(Exit.WRONG_INPUT, "name one profile, or say --catalogue; see flowlab generate --list")
    if rate is not None and target is None:
        stop(Exit.WRONG_INPUT, "--rate is for --to")
    befalling = [_fault(text) for text in faults]
    if profile is not None and (Path(profile) / "case.yaml").is_file():
        _break_case(Path(profile), befalling, out)
        return
    for name in [profile] if profile else [path.stem for path in profiles.all_profiles()]:
        plan = _plan(name, records, seed, befalling)
        if out is None:
            _send(plan, str(target), rate)
        else:
            _write(plan, name, out if profile else out / name)


def _list() -> None:
    from lab import profiles

    for path in profiles.all_profiles():
        click.echo(f"{path.stem:32} {profiles.read_profile(path.stem).title}")


def _plan(name: str, records: int | None, seed: int | None, faults: Sequence[Disturbance]) -> Plan:
    from lab import profiles
    from lab.described import WrongFile

    try:
        return profiles.Plan.of(profiles.read_profile(name), records, seed, faults)
    except WrongFile as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))


def _fault(text: str) -> Disturbance:
    """A fault as the command line has it."""
    from pydantic import ValidationError

    from lab.disturbances import DISTURBANCES
    from lab.profiles import ON_THE_WAY

    kind, _, rest = text.partition("=")
    number, colon, seed = rest.partition(":")
    if kind not in ON_THE_WAY:
        stop(Exit.WRONG_INPUT, f"--fault {text}: there is {', '.join(ON_THE_WAY)}")
    settings: dict[str, Any] = {"missed" if kind == "late_collector" else "percent": number}
    if colon:
        settings["seed"] = seed
    try:
        return DISTURBANCES[kind].model_validate(settings)
    except ValidationError as wrong:
        stop(Exit.WRONG_INPUT, f"--fault {text}: {wrong.errors()[0]['msg'].lower()}; write drop=5")


def _break_case(folder: Path, faults: Sequence[Disturbance], out: Path | None) -> None:
    from collector.corpus.case import WrongCaseError
    from lab.corpus import read_case
    from lab.profiles import from_case

    if out is None:
        stop(Exit.WRONG_INPUT, "a case becomes another: --out DIR; flowlab replay sends it")
    if not faults:
        stop(Exit.WRONG_INPUT, f"{folder} is a case: say what befalls it, as --fault drop=5")
    if out.resolve() == folder.resolve():
        stop(Exit.WRONG_INPUT, "--out must be another folder: the case is kept")
    try:
        case = from_case(read_case(folder), faults, out)
        _say(str(case.folder), case.truth().counts, len(case.truth().flows))
    except WrongCaseError as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))


def _write(plan: Plan, name: str, out: Path) -> None:
    """A case, or a capture alone."""
    from collector.encode import NotEncodableError
    from lab.described import WrongFile
    from lab.profiles import write, write_capture

    began_s = time.perf_counter()
    try:
        if out.suffix == ".pcap":
            totals = write_capture(plan, out, rows=False).totals
            took_s = time.perf_counter() - began_s
            rate = totals["records"] / took_s
            click.echo(
                f"{out}: {totals['datagrams']} datagrams, {totals['records']} records, "
                f"{totals['packets']} packets in {took_s:.2f} s ({rate:,.0f} records/s)"
            )
            return
        truth = write(plan, name, out).truth()
        _say(str(out), truth.counts, len(truth.flows))
    except (NotEncodableError, WrongFile) as wrong:
        stop(Exit.WRONG_INPUT, f"{name}: {wrong}")
    except OSError as refused:
        stop(Exit.CANNOT_RUN, str(refused))


def _say(where: str, counts: Any, flows: int) -> None:
    told = ", ".join(f"{number} {name}" for name, number in counts.items() if number)
    click.echo(f"{where}: {flows} flows; {told}")


def _send(plan: Plan, target: str, rate: float | None) -> None:
    """To the network."""
    from collector.encode import NotEncodableError
    from lab.described import WrongFile
    from lab.profiles import send

    host, colon, port = target.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) <= 0xFFFF):
        _wrong_target(target)
    try:
        sent, records, took_s = send(plan, host.strip("[]"), int(port), rate)
    except (NotEncodableError, WrongFile) as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))
    except OSError as refused:
        stop(Exit.CANNOT_RUN, f"{target}: {refused}")
    per_s = sent / took_s if took_s else 0.0
    click.echo(
        f"{target}: {sent} datagrams, {records} records in {took_s:.2f} s "
        f"({per_s:,.0f} datagrams/s)"
    )


def _wrong_target(target: str) -> NoReturn:
    stop(Exit.WRONG_INPUT, f"--to {target!r} is not like 127.0.0.1:2055 or [::1]:4739")


COMMANDS: Final = (generate,)
"""All of them, for `lab.cli`."""
