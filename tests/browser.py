"""A real Chromium, driven through its own pipe: no port, no driver, no profile left behind.

Protocol: https://chromedevtools.github.io/devtools-protocol/, one JSON object after the other, each
ended by a zero octet, on file descriptors 3 (to it) and 4 (from it).
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import need

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT_S = 60.0
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--remote-debugging-pipe", "--window-size=1600,1000", "--hide-scrollbars"),
)


class Browser:
    """One page."""

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.errors: list[str] = []
        """What the page complained of."""
        self.asked: list[str] = []
        """The addresses that it asked for."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")

    def go(self, address: str) -> None:
        """Open an address."""
        self._call("Page.navigate", url=address)
        self.until("document.body !== null")

    def says(self, expression: str) -> Any:
        """The value of an expression in the page."""
        told = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def until(self, expression: str, limit_s: float = _LIMIT_S) -> Any:
        """Wait until an expression is true; its value."""
        until_s = time.monotonic() + limit_s
        while not (value := self.says(expression)):
            assert time.monotonic() < until_s, f"never true: {expression}; {self.errors}"
            time.sleep(0.05)
        return value

    def picture(self, path: Path) -> None:
        """Write what is seen as PNG."""
        shot = self._call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End the browser in order: one that is terminated leaves a folder behind."""
        self._session = None
        self._call("Browser.close")

    def dark(self, *, on: bool) -> None:
        """Prefer dark colours, or light ones."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer.get("method", ""), answer.get("params", {}))

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._back], [], [], _LIMIT_S)[0], "Chromium says nothing"
            piece = os.read(self._back, 1 << 20)
            assert piece, "Chromium is gone"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, method: str, told: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.asked.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(told["exceptionDetails"]))
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(str(told["entry"]))
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.errors.append(str(told["args"]))


def picture(page: Browser, name: str) -> None:
    """Take a picture for the documents, where FLOWLAB_PICTURES says which folder gets it."""
    if folder := os.environ.get("FLOWLAB_PICTURES"):
        page.picture(Path(folder).resolve() / f"{name}.png")


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A Chromium with a new profile; skips where there is none."""
    program = shutil.which("chromium-browser") or need("chromium")
    theirs, to = os.pipe()
    back, answers = os.pipe()

    def third_and_fourth() -> None:
        kept = os.dup(theirs), os.dup(answers)
        os.dup2(kept[0], 3)
        os.dup2(kept[1], 4)

    with (folder / "chromium.log").open("wb") as log:
        started = subprocess.Popen(
            (program, *_OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            close_fds=False,
            preexec_fn=third_and_fourth,  # noqa: PLW1509 (no thread of ours holds a lock)
        )
    os.close(theirs)
    os.close(answers)
    try:
        page = Browser(to, back)
        yield page
        page.close()
        with suppress(subprocess.TimeoutExpired):
            started.wait(10)
    finally:
        started.terminate()
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        os.close(to)
        os.close(back)
