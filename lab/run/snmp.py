"""Polling by SNMP: an agent that serves the switch ports' counters, and who asks it.

Knows: net-snmp's agent and the poller's process. Both are inside the capsule, where the switch
ports are and where nobody else can ask. Must not know: what the counters are compared with.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from lab.run.spoken import Unheard, hear

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM: Final = "snmpd"
ANSWERS: Final = "snmp.json"
"""In the run folder: every answer, in the form of the OpenFlow poller's ``counters.json``."""
_PORT: Final = 161
_COMMUNITY: Final = "flowlab"
_MODULES: Final = "ifTable,ifXTable,nsCache,system_mib,vacm_conf,usmConf,snmpEngine"
"""Of the agent: the interfaces, its cache, and who may ask."""
_LIMIT_S: Final = 10.0
_POLL_S: Final = 0.005


class PollingFailed(Exception):
    """The agent or the poller did not do its work; the text says which, and where to look."""


class Running:
    """An agent and its poller."""

    def __init__(self, interval_s: float, directory: Path, folder: Path) -> None:
        """Start both; wait until the first answer is there.

        Args:
            interval_s: how often is asked.
            directory: for the agent's own files; goes with the capsule.
            folder: the run folder: it gets ``snmp.json``, ``logs/snmpd.log``, ``logs/snmp.log``.

        Raises:
            PollingFailed: one of them did not start.
        """
        directory.mkdir(parents=True)
        settings = directory / "snmpd.conf"
        # The poller also sets: how long the agent may keep what it has read.
        settings.write_text(
            f"agentaddress udp:127.0.0.1:{_PORT}\nrwcommunity {_COMMUNITY} 127.0.0.1\n"
            "dontLogTCPWrappersConnects yes\n",
            encoding="ascii",
        )
        self._logs = folder / "logs"
        agent = (PROGRAM, "-f", "-C", "-c", str(settings), "-Lo", "-I", _MODULES)
        poller = ("--port", str(_PORT), "--community", _COMMUNITY)
        told = ("--interval-s", str(interval_s), "--out", str(folder / ANSWERS))
        own = {"MIBS": "", "SNMP_PERSISTENT_DIR": str(directory), "SNMPCONFPATH": str(directory)}
        with (self._logs / "snmpd.log").open("wb") as log:
            self._agent = subprocess.Popen(
                agent, env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._wait_for_agent()
        with (self._logs / "snmp.log").open("wb") as log:
            self._poller = subprocess.Popen(
                (sys.executable, "-B", "-m", "lab.run.snmp_poller", *poller, *told),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._hear("ready")

    def finish(self) -> int:
        """Have it ask a last time, and write; end both.

        Returns:
            How many datagrams the two have sent each other.

        Raises:
            PollingFailed: it did not.
        """
        assert self._poller.stdin is not None
        self._poller.stdin.write(b"\n")
        self._poller.stdin.close()
        words = self._hear("done")
        self._agent.kill()
        self._agent.wait()
        return 2 * int(words[words.index("questions") + 1])

    def _hear(self, word: str) -> list[str]:
        try:
            return hear(self._poller, word, _LIMIT_S)
        except Unheard as unheard:
            raise PollingFailed(f"the SNMP poller {unheard}: see {self._logs}") from None

    def _wait_for_agent(self) -> None:
        """Wait until the agent has its port: who binds it too is refused then."""
        until_s = time.monotonic() + _LIMIT_S
        while self._agent.poll() is None and time.monotonic() < until_s:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(("127.0.0.1", _PORT))
                except OSError:
                    return
            time.sleep(_POLL_S)
        raise PollingFailed(f"the SNMP agent did not start: see {self._logs / 'snmpd.log'}")
