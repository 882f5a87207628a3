"""The bundled collector's receiver as a process of its own, and what it answers."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

_LIMIT_S: Final = 10.0


class ReceiverFailed(Exception):
    """The receiver is not there or does not answer; the text says how that came."""


class Receiver:
    """A running ``python -m collector.receive``."""

    def __init__(
        self,
        targets: Iterable[str],
        out: Path,
        log: Path,
        faults: Sequence[Mapping[str, Any]] = (),
        copies: Sequence[int] = (),
    ) -> None:
        """Start it; `ready` waits for it.

        Args:
            targets: where it listens, ``address:port``.
            out: the pcap file it writes.
            log: takes what it says on standard error.
            faults: what happens to datagrams before it (`lab.run.faulty.Stage`).
            copies: descriptors of sockets that get a copy of what it records.
        """
        program = ["collector.receive"]
        if faults:
            file = log.parent / "faults.json"
            file.write_text(json.dumps(faults), encoding="utf-8")
            program = ["lab.run.faulty", str(file)]
        copied = [word for number in copies for word in ("--copy", str(number))]
        listen = [word for target in targets for word in ("--listen", target)]
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-B", "-m", *program, *listen, *copied, "--out", str(out)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=copies,
            )

    def ready(self) -> dict[str, Any]:
        """Wait until it listens; what it was granted.

        Raises:
            ReceiverFailed: it does not.
        """
        answer = self._answer()
        if not answer.get("ready"):
            raise ReceiverFailed(f"could not listen: {answer.get('error')}")
        return answer

    def ask(self, command: str) -> dict[str, Any]:
        """Send ``drain`` or ``stop``; return its counts.

        Raises:
            ReceiverFailed: it is gone, or does not answer.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ReceiverFailed(self._ending()) from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], _LIMIT_S)[0]:
            raise ReceiverFailed(f"did not answer within {_LIMIT_S:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise ReceiverFailed(self._ending())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _ending(self) -> str:
        try:
            status = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "closed its output but still runs"
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
