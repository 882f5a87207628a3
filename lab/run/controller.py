"""The controller's process: started, waited for, and told to finish.

Knows: processes, and the words that `lab.controllers.witness` says. Must not know: Ryu.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from lab.controllers.settings import ASKED_PORT, network
from lab.jsonfile import write_json
from lab.run.spoken import Unheard, hear

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from exporters import Exporter
    from lab.controllers.settings import Controller
    from topologies import Topology

TARGET: Final = "tcp:127.0.0.1:6653"
"""Where it listens: in the capsule's own network, so it is never taken."""
_PLAN: Final = "controller.json"
_START_LIMIT_S: Final = 30.0
_END_LIMIT_S: Final = 10.0
_PROGRESS_LIMIT_S: Final = 10.0
_POLL_S: Final = 0.01


class ControllerFailed(Exception):
    """The controller did not start, or did not answer; the text says where to look."""


class Running:
    """A controller's process."""

    def __init__(
        self,
        controller: Controller,
        topology: Topology,
        exporters: Sequence[Exporter],
        folder: Path,
    ) -> None:
        """Start it; it takes a moment until it `listens`.

        Args:
            controller: what to run.
            topology: what it is told of the network.
            exporters: of the scenario.
            folder: the run folder: it gets ``controller.json`` and ``logs/controller.log``.
        """
        plan = folder / _PLAN
        write_json(plan, {"settings": controller.told(exporters), **network(topology)})
        self._log = folder / "logs" / "controller.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                (sys.executable, "-B", "-m", "lab.controllers.start", controller.application),
                env={**os.environ, "FLOWLAB_CONTROLLER": str(plan)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def listen(self) -> None:
        """Wait until switches can connect.

        Raises:
            ControllerFailed: it ended, or took too long.
        """
        host, port = TARGET.split(":")[1:]
        until_s = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < until_s:
            with socket.socket() as probe:
                if probe.connect_ex((host, int(port))) == 0:
                    return
            if self._process.poll() is not None:
                break
            time.sleep(_POLL_S)
        raise ControllerFailed(f"the controller did not start: see {self._log}")

    def ready(self) -> None:
        """Wait until every switch has all that the controller told it.

        Raises:
            ControllerFailed: it ended, or took too long.
        """
        self._hear("ready", _START_LIMIT_S)

    def asked(self) -> Callable[[], int]:
        """What asks it how many packets have come to it, and waits until all are handled.

        Asked twice, with nothing waiting at the switches in between, the same number says that
        nothing is under way any more. Opened in the capsule's own network, usable anywhere.
        """
        line = socket.create_connection(("127.0.0.1", ASKED_PORT), _PROGRESS_LIMIT_S)
        return lambda: self._handled(line)

    def _handled(self, line: socket.socket) -> int:
        told = b""
        try:
            line.sendall(b"?")
            while not told.endswith(b"\n"):
                part = line.recv(64)
                if not part:
                    raise ControllerFailed(f"the controller ended: see {self._log}")
                told += part
        except TimeoutError:
            raise ControllerFailed(
                f"the controller has packets of the switches and has not got on with them for "
                f"{_PROGRESS_LIMIT_S:g} s: see {self._log}"
            ) from None
        return int(told.strip(b".\n"))

    def finish(self) -> None:
        """Let it write down what it has counted, and end.

        Raises:
            ControllerFailed: it did not.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(
            b"\n"
        )  # closing is not enough: what was forked since holds it too
        self._process.stdin.close()
        self._hear("done", _END_LIMIT_S)

    def _hear(self, word: str, limit_s: float) -> None:
        try:
            hear(self._process, word, limit_s)
        except Unheard as unheard:
            raise ControllerFailed(f"the controller {unheard}: see {self._log}") from None
