"""The server of the live page: on the loopback, behind a token, for as long as somebody wants it.

Knows: HTTP and who may ask. What is shown is `follow`'s. Streams are server-sent events
(https://html.spec.whatwg.org/multipage/server-sent-events.html).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from lab.report.page.follow import PAGE, Following
from lab.report.page.write import SCRIPTS, vega

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

_HERE: Final = Path(__file__).parent
_EVERY_S: Final = 0.4
_READY_S: Final = 10.0
_ELSEWHERE: Final = {"0.0.0.0": "192.0.2.1", "::": "2001:db8::1"}  # noqa: S104 - it is looked up
"""All addresses of a machine, and one that is elsewhere: for documents, nobody has it (RFC 5737 and
3849)."""
_STREAMS: Final = 64
"""At a time: a class, and not more than that."""
_BEGUN: Final = ("exports.pcap", "witnesses.json")
"""What a run folder has one of, at the latest when packets can be on the wire."""
_SCRIPTS: Final = "".join(
    f'<script type="module" src="{name}.js"></script>\n' for name in ("vega", "page")
)
_POLICY: Final = "Content-Security-Policy"
_HEADERS: Final = {
    _POLICY: "default-src 'none'; script-src 'self' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Board:
    """The run that is shown: one, or always the newest that has begun."""

    def __init__(self, runs: Path, folder: Path | None = None, since: str = "") -> None:
        """Nothing is read yet.

        Args:
            runs: the folder of all runs.
            folder: the one to show; None: the newest.
            since: only runs that began then or later, as their folders are called.
        """
        self._runs = runs
        self._only = folder
        self._since = since
        self._lock = threading.Lock()
        self._following: Following | None = None
        self._looked_s = 0.0
        self._told: dict[str, dict[str, Any]] = {}
        self._states: dict[str, str] = {}

    def look(self) -> None:
        """Read what has come since the last look; however many ask, as often as for one."""
        with self._lock:
            if time.monotonic() - self._looked_s < _EVERY_S / 2:
                return
            self._looked_s = time.monotonic()
        folder = self._only or newest(self._runs, self._since)
        with self._lock:
            if folder is not None and (self._following is None or self._following.folder != folder):
                # It is there a moment before what is in it.
                with contextlib.suppress(OSError, ValueError):
                    self._following = Following(folder)
            if self._following is not None and not self._following.is_over:
                self._following.look(time.time_ns())
            self._states.clear()

    @property
    def folder(self) -> Path | None:
        """Of the run that is shown."""
        with self._lock:
            return None if self._following is None else self._following.folder

    def run(self) -> dict[str, Any] | None:
        """What does not change while a run is shown; None: there is none."""
        with self._lock:
            following = self._following
        if following is None:
            return None
        if following.name not in self._told:
            self._told = {following.name: following.about()}
        return self._told[following.name]

    def state(self, switch: str) -> str:
        """What changes, of one switch or of the first, as JSON.

        It is put together once after a look, however many pages show it.
        """
        with self._lock:
            following = self._following
            if following is None:
                return _compact({"run": None, "stage": "waiting"})
            chosen = switch if switch in following.switches else following.switches[0]
            if chosen not in self._states:
                seen = {"run": following.name, "switch": chosen, **following.seen(chosen)}
                self._states[chosen] = _compact(seen)
            return self._states[chosen]

    def datagram(self, number: int) -> dict[str, Any] | None:
        """A datagram field by field."""
        with self._lock:
            return None if self._following is None else self._following.datagram(number)


def newest(runs: Path, since: str = "") -> Path | None:
    """The run that began last, by when its folder was made, which folders are called by.

    While a run is under way the folder of the next one may be made already. It has to wait until
    something is in it, unless no run has begun at all.
    """
    found = [
        run
        for scenario in runs.glob("*/")
        for run in scenario.glob("????-??-??T*Z")
        if run.name >= since
    ]
    found.sort(key=lambda run: run.name, reverse=True)
    return next(filter(_has_begun, found), found[0] if found else None)


def _has_begun(run: Path) -> bool:
    """Whether anything was witnessed of a run."""
    if any((run / name).exists() for name in _BEGUN):
        return True
    with contextlib.suppress(OSError):  # it may have been dropped meanwhile
        return any((run / "wire").iterdir())
    return False


class Page:
    """The page being served, in a thread of its own."""

    def __init__(self, board: Board, listen: tuple[socket.AddressFamily, str, int]) -> None:
        """Open the port.

        Args:
            board: what is shown.
            listen: the family, address and port; port 0 is any free one.

        Raises:
            OSError: the address is taken, or not of this machine.
        """
        self._board = board
        self._token = secrets.token_urlsafe(16)
        self._streams = 0
        self._socket = socket.create_server(listen[1:], family=listen[0])
        self._server = uvicorn.Server(
            uvicorn.Config(
                Starlette(
                    routes=[
                        Route("/{token}/", self._page),
                        Route("/{token}/page.js", self._script),
                        Route("/{token}/vega.js", self._vega),
                        Route("/{token}/report.html", self._report),
                        Route("/{token}/run", self._run),
                        Route("/{token}/stream", self._stream),
                        Route("/{token}/datagram/{number:int}", self._datagram),
                    ]
                ),
                log_level="error",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), daemon=True
        )

    @property
    def address(self) -> str:
        """What a browser is given."""
        host, port = self._socket.getsockname()[:2]
        host = _own_address(host) if host in _ELSEWHERE else host
        name = f"[{host}]" if ":" in host else host
        return f"http://{name}:{port}/{self._token}/"

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        # The first time ever it is put together, which takes seconds: until somebody asks.
        threading.Thread(target=vega, daemon=True).start()
        until_s = time.monotonic() + _READY_S
        while not self._server.started and time.monotonic() < until_s:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        """End it; streams are cut."""
        self._server.should_exit = True
        self._thread.join(_READY_S)
        self._socket.close()

    def _allow(self, request: Request) -> None:
        # As octets: texts are compared only if they are ASCII, and anybody may send others.
        given = request.path_params["token"].encode()
        if not secrets.compare_digest(given, self._token.encode()):
            raise HTTPException(404)

    async def _page(self, request: Request) -> Response:
        self._allow(request)
        text = (_HERE / "page.html").read_text(encoding="utf-8")
        return HTMLResponse(text.replace(SCRIPTS, _SCRIPTS), headers=_HEADERS)

    async def _script(self, request: Request) -> Response:
        self._allow(request)
        return _javascript((_HERE / "page.js").read_bytes())

    async def _vega(self, request: Request) -> Response:
        self._allow(request)
        return _javascript((await asyncio.to_thread(vega)).encode())

    async def _report(self, request: Request) -> Response:
        """The run's own page, once it is written; it says itself what it may do."""
        self._allow(request)
        folder = self._board.folder
        if folder is None or not (folder / PAGE).is_file():
            raise HTTPException(404)
        named = {name: said for name, said in _HEADERS.items() if name != _POLICY}
        return HTMLResponse((folder / PAGE).read_bytes(), headers=named)

    async def _run(self, request: Request) -> Response:
        self._allow(request)
        return JSONResponse(await asyncio.to_thread(self._board.run), headers=_HEADERS)

    async def _datagram(self, request: Request) -> Response:
        self._allow(request)
        number = request.path_params["number"]
        found = await asyncio.to_thread(self._board.datagram, number)
        if found is None:
            raise HTTPException(404)
        return JSONResponse(found, headers=_HEADERS)

    async def _stream(self, request: Request) -> Response:
        self._allow(request)
        if self._streams >= _STREAMS:
            raise HTTPException(503)
        switch = request.query_params.get("switch", "")
        return StreamingResponse(
            self._states(switch), media_type="text/event-stream", headers=_HEADERS
        )

    async def _states(self, switch: str) -> AsyncIterator[str]:
        """What is seen, again and again; what has not changed is not sent again."""
        self._streams += 1
        before = ""
        try:
            while not self._server.should_exit:
                state = await asyncio.to_thread(self._state, switch)
                yield f"data: {state}\n\n" if state != before else ": as before\n\n"
                before = state
                await asyncio.sleep(_EVERY_S)
        finally:
            self._streams -= 1

    def _state(self, switch: str) -> str:
        self._board.look()
        return self._board.state(switch)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _own_address(everywhere: str) -> str:
    """The address of this machine that others reach it by, or its name if it has none.

    A UDP socket that is connected has one, by the routes alone: nothing is sent, nobody is asked.
    """
    family = socket.AF_INET6 if ":" in everywhere else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_ELSEWHERE[everywhere], 9))
        host = str(probe.getsockname()[0])
        if not host.startswith("fe80:"):  # that needs an interface's name, which no browser takes
            return host
    return socket.gethostname()


def _javascript(octets: bytes) -> Response:
    return Response(octets, media_type="text/javascript", headers=_HEADERS)
