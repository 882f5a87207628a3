"""``--datapath kernel``: the machine's own Open vSwitch, of which only ours may be touched.

The kernel's datapath itself cannot be had everywhere (most containers and small kernels have no
module), so here an Open vSwitch plays the machine's own in a network namespace, and its
userspace datapath stands in for the kernel's. Everything else is as with the kernel's: no virtual
time, shared sockets and bridges, real root.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lab.kernel import why_no_kernel_datapath
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

STAND_IN = """
import lab.kernel
from lab.run.openvswitch import SystemSwitch

lab.kernel._has_module = lambda: True
SystemSwitch.datapath_type = "netdev"
"""
MACHINE = """
set -e
ip link set lo up
mount -t tmpfs none /run
mount -t sysfs none /sys
mkdir /run/openvswitch
cd /run/openvswitch
ovsdb-tool create conf.db /usr/share/openvswitch/vswitch.ovsschema
ovsdb-server conf.db --remote=punix:db.sock --no-chdir --pidfile --detach --log-file=a.log
ovs-vsctl --no-wait init
ovs-vswitchd --no-chdir --pidfile --detach --log-file=b.log
ovs-vsctl add-br mine -- set bridge mine datapath_type=netdev
cd "$FOLDER"
"""
RUN = '"$PYTHON" -m lab run {} --datapath kernel\n'
SHOW = "ovs-vsctl list-br; ls /sys/class/net\n"


def on_a_machine(folder: Path, script: str) -> str:
    """Run a script where an Open vSwitch of the machine's own is running."""
    if os.geteuid() != 0:
        pytest.skip("needs root, as the kernel's datapath does")
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        pytest.skip("/dev/net/tun is not there: the stand-in's bridges need it")
    (folder / "sitecustomize.py").write_text(STAND_IN, encoding="utf-8")
    done = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "sh"],
        input=MACHINE + script,
        env={
            **os.environ,
            "PYTHONPATH": f"{folder}:{ROOT}",
            "PYTHON": sys.executable,
            "FOLDER": str(folder),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_passes_and_leaves_the_machines_own_bridges_alone(tmp_path):
    said = on_a_machine(tmp_path, RUN.format("one-udp-stream") + SHOW)
    assert "PASS    one-udp-stream" in said
    left = said[said.index("PASS    one-udp-stream") :].splitlines()[1:]
    assert left == ["mine", "lo", "mine", "ovs-netdev"]


def test_what_a_killed_run_leaves_is_removed_by_the_next(tmp_path):
    killed = (
        '"$PYTHON" -m lab run active-timeout --datapath kernel >/dev/null 2>&1 & run=$!\n'
        "until ovs-vsctl --bare --columns=name find Bridge external_ids:flowlab=run | grep -q s1\n"
        "do :; done\n"
        "kill -9 $run\n"
    )
    said = on_a_machine(tmp_path, killed + RUN.format("one-ping") + SHOW)
    assert "PASS    one-ping" in said
    left = said[said.index("PASS    one-ping") :].splitlines()[1:]
    assert left == ["mine", "lo", "mine", "ovs-netdev"]


def test_bridges_that_are_not_ours_are_not_taken(tmp_path):
    taken = "ovs-vsctl add-br s1 -- set bridge s1 datapath_type=netdev\n"
    again = '"$PYTHON" -m lab run one-ping --datapath kernel || echo code $?\n'
    said = on_a_machine(tmp_path, taken + again + SHOW)
    assert "this machine has bridges called s1 already" in said
    assert "code 3" in said
    assert said.splitlines()[-5:] == ["s1", "lo", "mine", "ovs-netdev", "s1"]


def test_where_there_is_no_kernel_datapath_it_says_why_and_exits_4(flowlab):
    if why_no_kernel_datapath() is None:
        pytest.skip("here it can run")
    said = flowlab("run", "one-ping", "--datapath", "kernel", code=4)
    assert "--datapath kernel cannot run here" in said
