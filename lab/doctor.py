"""What this machine can do, what it cannot and why, and what to do about it.

Knows: how to ask a machine. Must not know: scenarios, runs, how a lab is built. Standard library
only, so that it answers before anything has been set up (``./flowlab doctor``). Asking
(`Machine`), judging (`examine`) and wording (`report`) are kept apart.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from lab.capsule.outside import CannotEnter, Way, find_way

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Status = Literal["ok", "warning", "missing"]

CANNOT_RUN: Final = 4
"""The exit status that says: this machine cannot run a lab."""

_SETUP: Final = "./flowlab setup"
_LIMIT_S: Final = 15
_COMPATIBLE: Final = "polars-runtime-compat"
"""The package; its module is `_polars_runtime_compat`."""
_OLDEST_PYTHON: Final = (3, 11)
_LITTLE_MEMORY_OCTETS: Final = 1 << 30
_SMALL_RECEIVE_BUFFER_OCTETS: Final = 4 << 20
_GOOD_RECEIVE_BUFFER_OCTETS: Final = 16 << 20

# Tried in a capsule, where they can neither disturb nor stay: a kernel may have a feature as a
# module that is not loaded yet, and only using it tells.
_FEATURES: Final = {
    "sch_netem": "ip link set lo up && tc qdisc add dev lo root netem delay 1ms",
    "8021q": "ip link add link lo name lo.5 type vlan id 5",
    "nftables": "nft add table inet flowlab",
}
_PRIVATE_PLACES: Final = "mount -t tmpfs none /run && mount -t sysfs none /sys"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it is.
        status: ``ok``; ``warning`` if something works less well or not at all, but labs run;
            ``missing`` if no lab runs without it.
        found: what was there.
        meaning: what it is for, or what follows from its state.
        remedy: what to do about it; empty if there is nothing to do.
    """

    name: str
    status: Status
    found: str
    meaning: str
    remedy: str = ""


@dataclass(frozen=True)
class Answer:
    """How a program ended, and the last line of what it said (its first, if it ended well)."""

    status: int
    text: str


# ── asking ────────────────────────────────────────────────────────────────────────────────────


def _run(command: Sequence[str]) -> Answer:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        return Answer(-1, str(fault))
    if done.returncode == 0:
        return Answer(0, next(iter(done.stdout.strip().splitlines()), ""))
    said = (done.stderr or done.stdout).strip().splitlines()
    return Answer(done.returncode, said[-1] if said else f"status {done.returncode}")


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _writable(path: str) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


def _version(name: str) -> str | None:
    if importlib.util.find_spec(name) is None:
        return None
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


@dataclass(frozen=True)
class Machine:
    """This machine, asked through few and narrow doors, each of which a test can replace.

    Attributes:
        run: a program and its arguments → how it ended.
        read: a file's path → its text, stripped; None if it cannot be read.
        which: a program's name → where it is; None if it is not in PATH.
        version: an installed Python package's name → its version; None if it is not there.
        enter: how this user gets a capsule; raises `CannotEnter`.
        writable: a path → whether this user may read and write it.
        user: the effective user id.
        cores: how many processor cores this process may use.
        python: this Python's version.
    """

    run: Callable[[Sequence[str]], Answer] = _run
    read: Callable[[str], str | None] = _read
    which: Callable[[str], str | None] = shutil.which
    version: Callable[[str], str | None] = _version
    enter: Callable[[], Way] = find_way
    writable: Callable[[str], bool] = _writable
    user: int = field(default_factory=os.geteuid)
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    python: tuple[int, int, int] = sys.version_info[:3]


# ── judging ───────────────────────────────────────────────────────────────────────────────────


def examine(machine: Machine | None = None) -> tuple[Finding, ...]:
    """Look at everything; what a lab cannot do without comes first.

    Args:
        machine: the machine to ask; this one if not given.
    """
    asked = machine or Machine()
    way, refusal = _way(asked)
    return (
        _python(asked),
        _libraries(asked),
        _mininet(asked),
        *_programs(asked),
        _open_vswitch(asked),
        _capsule(asked, way, refusal),
        _user_namespaces(asked, way),
        _root(asked),
        *_features(asked, way),
        _kernel_datapath(asked),
        _tun(asked),
        *_peers(asked),
        _processor(asked),
        _cores(asked),
        _memory(asked),
        _receive_buffer(asked),
    )


def can_run(findings: Sequence[Finding]) -> bool:
    """Whether labs run on a machine with these findings."""
    return all(finding.status != "missing" for finding in findings)


def _python(machine: Machine) -> Finding:
    found = ".".join(map(str, machine.python))
    if machine.python >= _OLDEST_PYTHON:
        return Finding("Python", "ok", found, "runs flowlab")
    return Finding(
        "Python",
        "missing",
        found,
        "flowlab needs 3.11 or later, and Mininet's modules for the same Python",
        "use Debian 12, Ubuntu 24.04 or later",
    )


def _libraries(machine: Machine) -> Finding:
    absent = [name for name in ("click", "polars", "pydantic") if machine.version(name) is None]
    if not absent:
        return Finding("Python libraries", "ok", "installed", "from requirements.lock")
    return Finding(
        "Python libraries",
        "missing",
        f"without {', '.join(absent)}",
        "every other command needs them, in an environment of their own (.venv)",
        _SETUP,
    )


def _mininet(machine: Machine) -> Finding:
    version = machine.version("mininet")
    name = "Mininet"
    if version is None:
        return Finding(name, "missing", "not installed", "builds the network", _SETUP)
    if machine.which("mnexec") is None:
        return Finding(
            name,
            "missing",
            f"{version}, without mnexec",
            "that program starts a command in a host's network; PyPI's package lacks it",
            _SETUP,
        )
    return Finding(name, "ok", f"{version}, with mnexec", "builds the network")


def _programs(machine: Machine) -> list[Finding]:
    uses = {
        "ip": "addresses and links (package iproute2)",
        "ethtool": "switches offloads off, so that what is counted is what is sent",
        "unshare": "makes the capsule (package util-linux)",
        "ping": "used in Mininet's own command line (package iputils-ping)",
    }
    return [
        Finding(name, "ok", place, meaning)
        if (place := machine.which(name))
        else Finding(name, "missing", "not installed", meaning, _SETUP)
        for name, meaning in uses.items()
    ]


def _open_vswitch(machine: Machine) -> Finding:
    name, meaning = "Open vSwitch", "the switches, and what exports NetFlow, sFlow and IPFIX"
    if machine.which("ovs-vswitchd") is None or machine.which("ovsdb-server") is None:
        return Finding(name, "missing", "not installed", meaning, _SETUP)
    plain = machine.run(["ovs-vswitchd", "--version"])
    version = re.sub(r"^.*\)\s*", "", plain.text) or "of unknown version"
    dummy = machine.run(["ovs-vswitchd", "--enable-dummy", "--version"])
    if plain.status == 0 and dummy.status == 0:
        return Finding(name, "ok", f"{version}, with virtual time", meaning)
    return Finding(
        name,
        "missing",
        dummy.text,
        "the private switch needs ovs-vswitchd --enable-dummy: its clock is moved to flush it",
        "install the distribution's package openvswitch-switch",
    )


def _way(machine: Machine) -> tuple[Way | None, str]:
    try:
        return machine.enter(), ""
    except (CannotEnter, OSError, subprocess.SubprocessError) as fault:
        return None, str(fault)


def _capsule(machine: Machine, way: Way | None, refusal: str) -> Finding:
    name, meaning = "capsule", "each run has its own network, processes and Open vSwitch"
    if way is None:
        return Finding(
            name, "missing", refusal, meaning, "see user namespaces and root, below; or use a VM"
        )
    tried = machine.run([*_quietly(way), "sh", "-c", _PRIVATE_PLACES])
    if tried.status != 0:
        return Finding(
            name,
            "missing",
            f"made, but without a /run and a /sys of its own: {tried.text}",
            meaning,
            "a container usually forbids this: run it privileged, or use a VM",
        )
    if way.notice is not None:
        return Finding(name, "warning", "works through sudo", way.notice)
    by = "as root" if machine.user == 0 else "as an ordinary user"
    return Finding(name, "ok", f"works {by}", meaning)


def _quietly(way: Way) -> tuple[str, ...]:
    """The way in, without a question for a password: a doctor's probe must not stop there."""
    if Path(way.prefix[0]).name == "sudo":
        return (way.prefix[0], "-n", *way.prefix[1:])
    return way.prefix


def _user_namespaces(machine: Machine, way: Way | None) -> Finding:
    name = "user namespaces"
    tried = machine.run(["unshare", "--user", "--map-root-user", "--net", "true"])
    if tried.status == 0:
        return Finding(name, "ok", "allowed", "an ordinary user's run needs no root")
    remedy = "run flowlab through sudo, or have an administrator allow them"
    found = f"refused: {tried.text}"
    if machine.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        found += " (restricted by AppArmor)"
        remedy = "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    elif machine.read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        found += " (kernel.unprivileged_userns_clone is 0)"
        remedy = "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    elif machine.read("/proc/sys/user/max_user_namespaces") == "0":
        found += " (user.max_user_namespaces is 0)"
        remedy = "sudo sysctl -w user.max_user_namespaces=10000"
    status: Status = "missing" if way is None else "warning"
    return Finding(name, status, found, "without them a run needs root or sudo", remedy)


def _root(machine: Machine) -> Finding:
    meaning = "for packages and for --datapath kernel; ordinary runs need none"
    if machine.user == 0:
        return Finding("root", "ok", "this is root", meaning)
    if machine.which("sudo") is None:
        return Finding("root", "warning", "an ordinary user, no sudo", meaning)
    if machine.run(["sudo", "-n", "true"]).status == 0:
        return Finding("root", "ok", "through sudo", meaning)
    return Finding("root", "warning", "sudo asks for a password, or refuses", meaning)


def _features(machine: Machine, way: Way | None) -> list[Finding]:
    meanings = {
        "sch_netem": "delay and loss on links; scenarios that need it are skipped without",
        "8021q": "VLANs on hosts; scenarios that need it are skipped without",
        "nftables": "random loss; scenarios that need it are skipped without",
    }
    return [_feature(machine, way, name, meaning) for name, meaning in meanings.items()]


def _feature(machine: Machine, way: Way | None, name: str, meaning: str) -> Finding:
    if way is None:
        return Finding(name, "warning", "not tried: there is no capsule to try it in", meaning)
    if name == "nftables" and machine.which("nft") is None:
        return Finding(
            name, "warning", "program nft not installed", meaning, "sudo apt-get install nftables"
        )
    tried = machine.run([*_quietly(way), "sh", "-c", _FEATURES[name]])
    if tried.status == 0:
        return Finding(name, "ok", "works", meaning)
    return Finding(
        name, "warning", f"refused: {tried.text}", meaning, "use a kernel that has it, or a VM"
    )


def _kernel_datapath(machine: Machine) -> Finding:
    name, meaning = "openvswitch module", "--datapath kernel; the private switch needs no module"
    release = machine.read("/proc/sys/kernel/osrelease") or ""
    if re.search(r"^openvswitch ", machine.read("/proc/modules") or "", re.MULTILINE):
        return Finding(name, "ok", "loaded", meaning)
    for index, found in (("modules.builtin", "built in"), ("modules.dep", "can be loaded")):
        if "/openvswitch.ko" in (machine.read(f"/lib/modules/{release}/{index}") or ""):
            return Finding(name, "ok", found, meaning)
    return Finding(name, "warning", f"not in kernel {release}", meaning, "use a kernel that has it")


def _tun(machine: Machine) -> Finding:
    name = "/dev/net/tun"
    meaning = "for a netdev datapath with tap devices; the private switch needs none"
    if machine.writable(name):
        return Finding(name, "ok", "readable and writable", meaning)
    return Finding(name, "warning", "not readable and writable", meaning)


def _peers(machine: Machine) -> list[Finding]:
    peers = (
        ("tshark", "tshark", "flowlab test compares its decoding with ours"),
        ("nfdump", "nfdump", "another collector to compare with"),
        ("pmacctd", "pmacct", "another exporter and collector to compare with"),
        ("softflowd", "softflowd", "another exporter to compare with"),
        ("iperf3", "iperf3", "sends the traffic kind of that name"),
        ("snmpd", "snmpd", "serves the switch ports' counters to scenarios that poll"),
        ("dot", "graphviz", "lays out what flowlab graph and the live page draw"),
        ("bwrap", "bubblewrap", "shuts in the programs that flowlab grade runs"),
        ("cc", "gcc", "the collector reads large captures two to three times faster with it"),
    )
    return [
        Finding(name, "ok", place, meaning)
        if (place := machine.which(name))
        else Finding(name, "warning", "not installed", meaning, f"sudo apt-get install {package}")
        for name, package, meaning in peers
    ]


def _processor(machine: Machine) -> Finding:
    """Whether it has what polars' usual build is compiled for; others than x86 have their own."""
    flags = re.search(r"^flags\s*:(.*)$", machine.read("/proc/cpuinfo") or "", re.MULTILINE)
    compatible = machine.version(f"_{_COMPATIBLE.replace('-', '_')}") is not None
    if flags is None or "avx2" in flags[1].split() or compatible:
        found = "without AVX2" if flags and "avx2" not in flags[1].split() else "as expected"
        return Finding("processor", "ok", found, "polars computes with it")
    return Finding(
        "processor",
        "missing",
        "without AVX2",
        "polars' usual build ends with an illegal instruction; its other build needs no AVX2",
        f".venv/bin/python -m pip install {_COMPATIBLE}=={machine.version('polars')}",
    )


def _cores(machine: Machine) -> Finding:
    if machine.cores > 1:
        return Finding("cores", "ok", str(machine.cores), "switches, traffic and collector at once")
    return Finding("cores", "warning", "1", "lower rates, and no --jobs: everything shares it")


def _memory(machine: Machine) -> Finding:
    text = machine.read("/proc/meminfo") or ""
    amount = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    meaning = "for the switches, the traffic and the collector of each run"
    if amount is None:
        return Finding("memory", "warning", "unknown", meaning)
    octets = int(amount[1]) * 1024
    found = f"{octets / (1 << 30):.1f} GiB available"
    if octets >= _LITTLE_MEMORY_OCTETS:
        return Finding("memory", "ok", found, meaning)
    return Finding("memory", "warning", found, meaning, "end other programs, or use --jobs 1")


def _receive_buffer(machine: Machine) -> Finding:
    name = "net.core.rmem_max"
    meaning = "how many export datagrams can wait while the collector is busy"
    text = machine.read("/proc/sys/net/core/rmem_max") or ""
    if not text.isdecimal():
        return Finding(name, "warning", "unknown", meaning)
    if int(text) >= _SMALL_RECEIVE_BUFFER_OCTETS:
        return Finding(name, "ok", f"{text} octets", meaning)
    return Finding(
        name,
        "warning",
        f"{text} octets",
        f"{meaning}: enough for ordinary scenarios, little for heavy load",
        f"sudo sysctl -w net.core.rmem_max={_GOOD_RECEIVE_BUFFER_OCTETS}",
    )


# ── wording ───────────────────────────────────────────────────────────────────────────────────

_COLOURS: Final = {"ok": "\033[32m", "warning": "\033[33m", "missing": "\033[31m"}
_PLAIN: Final = "\033[0m"


def report(findings: Sequence[Finding], *, colour: bool = False) -> str:
    """One line per finding; what is not ok is followed by its meaning and its remedy.

    Args:
        findings: what `examine` found.
        colour: whether the statuses are coloured (for a terminal).
    """
    status_width = max((len(finding.status) for finding in findings), default=0)
    name_width = max((len(finding.name) for finding in findings), default=0)
    indent = " " * (status_width + name_width + 4)
    lines = []
    for finding in findings:
        status = f"{finding.status:{status_width}}"
        if colour:
            status = f"{_COLOURS[finding.status]}{status}{_PLAIN}"
        lines.append(f"{status}  {finding.name:{name_width}}  {finding.found}")
        if finding.status != "ok":
            lines.append(f"{indent}{finding.meaning}")
            if finding.remedy:
                lines.append(f"{indent}→ {finding.remedy}")
    return "\n".join([*lines, "", conclusion(findings)])


def conclusion(findings: Sequence[Finding]) -> str:
    """The sentence at the end."""
    missing = [finding.name for finding in findings if finding.status == "missing"]
    if missing:
        return f"This machine cannot run labs yet: {', '.join(missing)}."
    warnings = sum(finding.status == "warning" for finding in findings)
    if warnings:
        limits = "1 thing is limited" if warnings == 1 else f"{warnings} things are limited"
        return f"This machine can run labs; {limits}, see above."
    return "This machine can run labs."


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine this machine and print what was found.

    This is ``./flowlab doctor`` where no Python environment is there yet.

    Returns:
        The exit status: 0 if labs run here, 4 if not.
    """
    parser = argparse.ArgumentParser(prog="flowlab", description="What this machine can do.")
    parser.add_argument("command", choices=["doctor"], help=argparse.SUPPRESS)
    parser.parse_args(arguments)
    findings = examine()
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    sys.stdout.write(f"{report(findings, colour=colour)}\n")
    return 0 if can_run(findings) else CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main())
