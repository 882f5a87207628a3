"""The interactive shell on a real terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time

import pytest

from tests.support import FLOWLAB, ROOT

LIMIT_S = 30


class Terminal:
    """A command on a pseudo-terminal, spoken to as a person would."""

    def __init__(self, folder, *arguments):
        self.own, theirs = pty.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *FLOWLAB, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self.said = ""

    def wait_for(self, text):
        until_s = time.monotonic() + LIMIT_S
        while text not in self.said:
            assert time.monotonic() < until_s, f"{text!r} did not come: {self.said}"
            if select.select([self.own], [], [], 0.1)[0]:
                try:
                    self.said += os.read(self.own, 65536).decode(errors="replace")
                except OSError:  # the other end has closed
                    assert text in self.said, self.said
        self.said = self.said.partition(text)[2]

    def type(self, text):
        os.write(self.own, text.encode())

    def end(self):
        self.process.kill()
        self.process.wait()
        os.close(self.own)


@pytest.fixture
def terminal(tmp_path):
    opened = Terminal(tmp_path, "shell", "one-ping")
    yield opened
    opened.end()


def test_control_c_ends_what_runs_in_the_shell_and_not_the_lab(terminal):
    terminal.wait_for("mininet>")
    terminal.type("h1 ping -i 0.05 h2\n")
    terminal.wait_for("icmp_seq=3")
    terminal.type("\x03")
    terminal.wait_for("packet loss")
    terminal.wait_for("mininet>")
    terminal.type("exit\n")
    terminal.wait_for("icmp 10.0.0.1")
    terminal.wait_for("All of it is in")
    assert terminal.process.wait(LIMIT_S) == 0
