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
    from collections.abc import Mapping, Sequence

    from lab.disturbances import Disturbance
    from lab.profiles import Plan


@click.command()
@click.argument("profile", required=False, metavar="[PROFILE|FILE.yaml|CASE]")
@click.option("--out", type=outputs.FILE_OR_FOLDER, help="A case's folder, or a file .pcap.")
@click.option("--to", "target", metavar="HOST:PORT", help="Send it there.")
@click.option("--rate", type=click.FloatRange(1, 1e8), help="Datagrams a second; else the most.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="Decides on all that is drawn, but for faults with a SEED of their own.",
)
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
    _see_the_options(profile, out, target, rate, all_=catalogue)
    befalling = [_fault(text) for text in faults]
    if profile is not None and (Path(profile) / "case.yaml").is_file():
        _break_case(
            Path(profile), befalling if seed is None else profiles.seeded(befalling, seed), out
        )
        return
    names = [profile] if profile else [path.stem for path in profiles.all_profiles()]
    plans = {name: _plan(name, records, seed, befalling) for name in names}
    if out is None:
        for plan in plans.values():
            _send(plan, str(target), rate)
    elif profile is None:
        _write_all(plans, out)
    elif wrong := _write(plans[profile], profile, out):
        stop(Exit.WRONG_INPUT, wrong)


def _write_all(plans: Mapping[str, Plan], out: Path) -> None:
    """A case of each; one that cannot be is no reason to go without the others."""
    wrong = [told for name, plan in plans.items() if (told := _write(plan, name, out / name))]
    if wrong:
        stop(Exit.WRONG_INPUT, "\n".join([f"{len(wrong)} profiles make no case so:", *wrong]))


def _see_the_options(
    profile: str | None, out: Path | None, target: str | None, rate: float | None, *, all_: bool
) -> None:
    """Stop if they do not fit together."""
    if (out is None) == (target is None):
        stop(Exit.WRONG_INPUT, "say where to: --out DIR, --out FILE.pcap, or --to HOST:PORT")
    if (profile is None) != all_:
        stop(Exit.WRONG_INPUT, "name one profile, or say --catalogue; see flowlab generate --list")
    if rate is not None and target is None:
        stop(Exit.WRONG_INPUT, "--rate is for --to")


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
    from lab.described import WrongFile
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
    except WrongFile as wrong:
        stop(Exit.WRONG_INPUT, f"{folder}: {wrong}")


def _write(plan: Plan, name: str, out: Path) -> str:
    """A case, or a capture alone; why it cannot be, or nothing."""
    from collector.encode import NotEncodableError
    from lab.described import WrongFile
    from lab.profiles import write, write_capture

    began_s = time.perf_counter()
    try:
        if out.suffix == ".pcap":
            made = write_capture(plan, out, rows=False)
            took_s = time.perf_counter() - began_s
            counts = made.truth.counts
            records = counts["records"] or 0
            # Of what faults left, nobody asked the packets.
            packets = "" if plan.fault else f", {made.totals['packets']} packets"
            click.echo(
                f"{out}: {counts['datagrams']} datagrams, {records} records{packets} "
                f"in {took_s:.2f} s ({records / took_s:,.0f} records/s)"
            )
        else:
            truth = write(plan, name, out).truth()
            _say(str(out), truth.counts, len(truth.flows))
    except (NotEncodableError, WrongFile) as wrong:
        return f"{name}: {wrong}"
    except OSError as refused:
        stop(Exit.CANNOT_RUN, str(refused))
    return ""


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
        sent = send(plan, host.strip("[]"), int(port), rate)
    except (NotEncodableError, WrongFile) as wrong:
        stop(Exit.WRONG_INPUT, str(wrong))
    except OSError as refused:
        stop(Exit.CANNOT_RUN, f"{target}: {refused}")
    per_s = sent.datagrams / sent.took_s if sent.took_s else 0.0
    click.echo(
        f"{target}: {sent.datagrams} datagrams, {sent.records} records in {sent.took_s:.2f} s "
        f"({per_s:,.0f} datagrams/s)"
    )
    if sent.refused:
        click.echo(f"  nobody listens at {host.strip('[]')} port {port}", err=True)


def _wrong_target(target: str) -> NoReturn:
    stop(Exit.WRONG_INPUT, f"--to {target!r} is not like 127.0.0.1:2055 or [::1]:4739")


COMMANDS: Final = (generate,)
"""All of them, for `lab.cli`."""
