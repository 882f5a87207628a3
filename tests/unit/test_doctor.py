"""The doctor's judgement, on machines that are made up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lab.capsule.outside import CannotEnter, Way
from lab.doctor import Answer, Finding, Machine, can_run, conclusion, examine, report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMPATIBLE = "_polars_runtime_compat"
VERSIONS = {"click": "8", "polars": "2", "pydantic": "2", "mininet": "2.3.0", COMPATIBLE: "2"}
FILES = {
    "/proc/cpuinfo": "processor : 0\nflags\t\t: fpu sse4_2 avx avx2 bmi2\nbugs : none",
    "/proc/meminfo": "MemTotal:  8000000 kB\nMemAvailable:    4194304 kB",
    "/proc/sys/net/core/rmem_max": "16777216",
    "/proc/sys/kernel/osrelease": "6.1.0",
    "/proc/modules": "veth 16384 0 - Live\nopenvswitch 200704 0 - Live",
}
AS_USER = Way(("/usr/bin/unshare", "--user", "--net"))
THROUGH_SUDO = Way(("/usr/bin/sudo", "/usr/bin/unshare"), "forbidden: made through sudo")


def refuse() -> Way:
    reason = "no namespaces, and no sudo"
    raise CannotEnter(reason)


def machine(
    *,
    without: Sequence[str] = (),
    refusing: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    way: Way | None = AS_USER,
) -> Machine:
    """A machine on which all is well, but for what is said here.

    Args:
        without: programs and Python packages that are not there.
        refusing: a part of a command → what it says when it fails.
        files: files with another text.
        way: how to get into a capsule; None if there is none.
    """
    texts = FILES | dict(files or {})

    def run(command: Sequence[str]) -> Answer:
        line = " ".join(command)
        for part, said in (refusing or {}).items():
            if part in line:
                return Answer(1, said)
        return Answer(0, "ovs-vswitchd (Open vSwitch) 3.1.0" if "--version" in line else "")

    def enter() -> Way:
        return refuse() if way is None else way

    return Machine(
        run=run,
        read=texts.get,
        which=lambda name: None if name in without else f"/usr/bin/{name}",
        version=lambda name: None if name in without else VERSIONS[name],
        enter=enter,
        writable=lambda path: path not in without,
        user=1000,
        cores=2,
        python=(3, 11, 2),
    )


def finding(name: str, on: Machine) -> Finding:
    (found,) = [found for found in examine(on) if found.name == name]
    return found


def test_machine_on_which_all_is_well() -> None:
    findings = examine(machine())
    assert {found.status for found in findings} == {"ok"}
    assert can_run(findings)
    assert conclusion(findings) == "This machine can run labs."


@pytest.mark.parametrize(
    ("without", "name", "found"),
    [
        ("mininet", "Mininet", "not installed"),
        ("mnexec", "Mininet", "2.3.0, without mnexec"),
        ("ovs-vswitchd", "Open vSwitch", "not installed"),
        ("ovsdb-server", "Open vSwitch", "not installed"),
        ("polars", "Python libraries", "without polars"),
        ("ip", "ip", "not installed"),
        ("ethtool", "ethtool", "not installed"),
        ("unshare", "unshare", "not installed"),
    ],
)
def test_what_no_lab_runs_without(without: str, name: str, found: str) -> None:
    asked = machine(without=[without])
    judged = finding(name, asked)
    assert (judged.status, judged.found) == ("missing", found)
    assert judged.remedy == "./flowlab setup"
    assert not can_run(examine(asked))


@pytest.mark.parametrize(
    ("without", "package"),
    [
        ("tshark", "tshark"),
        ("nfdump", "nfdump"),
        ("pmacctd", "pmacct"),
        ("softflowd", "softflowd"),
        ("iperf3", "iperf3"),
        ("snmpd", "snmpd"),
        ("cc", "gcc"),
    ],
)
def test_what_is_only_compared_with(without: str, package: str) -> None:
    asked = machine(without=[without])
    judged = finding(without, asked)
    assert (judged.status, judged.remedy) == ("warning", f"sudo apt-get install {package}")
    assert can_run(examine(asked))


def test_old_python() -> None:
    judged = finding("Python", replace(machine(), python=(3, 10, 12)))
    assert (judged.status, judged.found) == ("missing", "3.10.12")


def test_switch_without_virtual_time() -> None:
    asked = machine(refusing={"--enable-dummy": "unrecognized option '--enable-dummy'"})
    judged = finding("Open vSwitch", asked)
    assert (judged.status, judged.found) == ("missing", "unrecognized option '--enable-dummy'")


@pytest.mark.parametrize(
    ("file", "value", "remedy"),
    [
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "apparmor_restrict"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "max_user_namespaces=10000"),
        ("/proc/sys/user/max_user_namespaces", "100", "through sudo"),
    ],
)
def test_why_user_namespaces_are_refused(file: str, value: str, remedy: str) -> None:
    asked = machine(
        refusing={"--map-root-user": "Operation not permitted"},
        files={file: value},
        way=THROUGH_SUDO,
    )
    judged = finding("user namespaces", asked)
    assert judged.status == "warning"
    assert "Operation not permitted" in judged.found
    assert remedy in judged.remedy
    assert can_run(examine(asked))


def test_capsule_through_sudo_says_why() -> None:
    judged = finding("capsule", machine(way=THROUGH_SUDO))
    assert (judged.status, judged.found) == ("warning", "works through sudo")
    assert judged.meaning == THROUGH_SUDO.notice


def test_probes_never_let_sudo_ask() -> None:
    asked = machine(way=THROUGH_SUDO)
    seen: list[str] = []

    def run(command: Sequence[str]) -> Answer:
        seen.append(" ".join(command))
        return Answer(0, "")

    examine(replace(asked, run=run))
    through_sudo = [line for line in seen if "sudo" in line.split()[0]]
    assert through_sudo
    assert all(line.split()[1] == "-n" for line in through_sudo)


def test_no_way_into_a_capsule() -> None:
    asked = machine(refusing={"--map-root-user": "Operation not permitted"}, way=None)
    assert finding("capsule", asked).status == "missing"
    assert finding("capsule", asked).found == "no namespaces, and no sudo"
    assert finding("user namespaces", asked).status == "missing"
    assert finding("sch_netem", asked).found.startswith("not tried")
    assert not can_run(examine(asked))


def test_container_that_forbids_mounts() -> None:
    judged = finding("capsule", machine(refusing={"mount -t": "mount: permission denied"}))
    assert judged.status == "missing"
    assert "mount: permission denied" in judged.found


@pytest.mark.parametrize(
    ("name", "part"), [("sch_netem", "netem"), ("8021q", "type vlan"), ("nftables", "nft add")]
)
def test_features_are_tried(name: str, part: str) -> None:
    judged = finding(name, machine(refusing={part: "unknown"}))
    assert (judged.status, judged.found) == ("warning", "refused: unknown")


def test_nftables_without_its_program() -> None:
    assert finding("nftables", machine(without=["nft"])).remedy == "sudo apt-get install nftables"


@pytest.mark.parametrize(
    ("files", "status", "found"),
    [
        ({}, "ok", "loaded"),
        (
            {"/proc/modules": "", "/lib/modules/6.1.0/modules.dep": "net/openvswitch.ko.xz: a.ko"},
            "ok",
            "can be loaded",
        ),
        (
            {"/proc/modules": "", "/lib/modules/6.1.0/modules.builtin": "net/openvswitch.ko"},
            "ok",
            "built in",
        ),
        ({"/proc/modules": "vport 1 openvswitch"}, "warning", "not in kernel 6.1.0"),
    ],
)
def test_kernel_datapath(files: dict[str, str], status: str, found: str) -> None:
    judged = finding("openvswitch module", machine(files=files))
    assert (judged.status, judged.found) == (status, found)


@pytest.mark.parametrize(
    ("without", "refusing", "status", "found"),
    [
        ([], {}, "ok", "through sudo"),
        ([], {"sudo -n": "a password is required"}, "warning", "sudo asks for a password"),
        (["sudo"], {}, "warning", "an ordinary user, no sudo"),
    ],
)
def test_root(without: list[str], refusing: dict[str, str], status: str, found: str) -> None:
    judged = finding("root", machine(without=without, refusing=refusing))
    assert judged.status == status
    assert judged.found.startswith(found)


def test_limits_of_a_small_machine() -> None:
    asked = machine(
        without=["/dev/net/tun"],
        files={
            "/proc/meminfo": "MemAvailable: 500000 kB",
            "/proc/sys/net/core/rmem_max": "212992",
        },
    )
    small = replace(asked, cores=1)
    names = ("cores", "memory", "net.core.rmem_max", "/dev/net/tun")
    assert [finding(name, small).status for name in names] == ["warning"] * 4
    assert finding("net.core.rmem_max", small).remedy.endswith("rmem_max=16777216")
    assert can_run(examine(small))


def test_unreadable_files_are_unknown() -> None:
    asked = replace(machine(), read=lambda _: None)
    assert [finding(name, asked).found for name in ("memory", "net.core.rmem_max")] == [
        "unknown",
        "unknown",
    ]


def test_report() -> None:
    findings = (
        Finding("Mininet", "ok", "2.3.0", "builds the network"),
        Finding("nft", "warning", "not there", "random loss", "install it"),
        Finding("capsule", "missing", "refused", "each run has one"),
    )
    assert report(findings).splitlines() == [
        "ok       Mininet  2.3.0",
        "warning  nft      not there",
        "                  random loss",
        "                  → install it",
        "missing  capsule  refused",
        "                  each run has one",
        "",
        "This machine cannot run labs yet: capsule.",
    ]
    coloured = report(findings, colour=True)
    assert "\033[31mmissing\033[0m" in coloured
    assert conclusion(findings[:2]).startswith("This machine can run labs; 1 ")


def test_this_machine() -> None:
    """The real doors open, whatever is behind them."""
    findings = examine()
    assert {found.status for found in findings} <= {"ok", "warning", "missing"}
    assert all(found.found and found.meaning for found in findings)


def test_a_processor_without_avx2_needs_polars_other_build() -> None:
    old = {"/proc/cpuinfo": "flags\t: fpu sse4_2 avx"}
    found = finding("processor", machine(files=old, without=(COMPATIBLE,)))
    assert (found.status, found.found) == ("missing", "without AVX2")
    assert found.remedy == ".venv/bin/python -m pip install polars-runtime-compat==2"
    assert finding("processor", machine(files=old)).status == "ok"
    other = {"/proc/cpuinfo": "processor: 0\nFeatures: fp asimd"}
    assert finding("processor", machine(files=other, without=(COMPATIBLE,))).status == "ok"
