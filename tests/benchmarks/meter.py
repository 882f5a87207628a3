"""What a command costs, with all the processes that it starts: `python -m tests.benchmarks.meter`.

    meter RESULT.json COMMAND…

Runs the command, passes SIGINT and SIGTERM on to it, collects every process that descends from it
(also those that their parents did not wait for), and writes CPU seconds (user and system), wall
seconds and the peak memory of the largest one. Only the standard library, in a process of its own:
the kernel adds up what was waited for, and nothing else may be in that sum.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36


def main(result: str, *command: str) -> int:
    """Run the command; its exit status."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    started_s = time.perf_counter()
    child = subprocess.Popen(command)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: child.send_signal(number))
    status, peak_octets = 0, 0
    with suppress(ChildProcessError):
        while True:
            process, state, usage = os.wait4(-1, 0)
            peak_octets = max(peak_octets, usage.ru_maxrss * 1024)
            if process == child.pid:
                status = os.waitstatus_to_exitcode(state)
                child.returncode = status
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {
        "cpu_s": used.ru_utime + used.ru_stime,
        "wall_s": time.perf_counter() - started_s,
        "peak_octets": peak_octets,
    }
    Path(result).write_text(json.dumps(cost), encoding="ascii")
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
