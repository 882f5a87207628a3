"""Whether this machine can run with the kernel's datapath, asked before anything is started."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

_PID: Final = Path("/var/run/openvswitch/ovs-vswitchd.pid")
_MODULE: Final = "openvswitch"


def why_no_kernel_datapath() -> str | None:
    """Why ``--datapath kernel`` cannot run, and what to do; None if it can."""
    if os.geteuid() != 0:
        return "it works with the machine's own Open vSwitch, which needs root; use sudo"
    if not _has_module():
        return f"this kernel has no module {_MODULE}; the userspace datapath needs none"
    if not _PID.exists():
        return "the machine's Open vSwitch is not running; systemctl start openvswitch-switch"
    return None


def _has_module() -> bool:
    if Path("/sys/module", _MODULE).exists():
        return True
    modprobe = shutil.which("modprobe")
    if modprobe is None:
        return False
    done = subprocess.run((modprobe, "--dry-run", _MODULE), capture_output=True, check=False)
    return done.returncode == 0
