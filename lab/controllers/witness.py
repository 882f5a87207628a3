"""Runs beside every application: says when all rules are there, and records each packet-out.

When switches have gone and come back it says so again. Whoever asks it hears how many packets have
come from the switches, once all of them are handled.

What the application hands back to a switch enters it there like at a port, so it is recorded as
the wire is: ``wire/<switch>-controller.pcap``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import eventlet
from eventlet import hubs
from ryu.base import app_manager
from ryu.controller import event, ofp_event
from ryu.controller.controller import Datapath
from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub
from ryu.ofproto import ofproto_v1_3

from collector.recording import Writer
from lab.controllers.settings import ASKED_PORT

SNAP_OCTETS = 190
_STILL_AT_IT_S = 0.5


class _Handled(event.EventBase):
    """Comes to an application after all that came to it before.

    Attributes:
        here: is set then.
    """

    def __init__(self) -> None:
        """It is on its way."""
        super().__init__()
        self.here = hub.Event()


class Witness(app_manager.RyuApp):
    """Watches the other application."""

    OFP_VERSIONS: ClassVar[list[int]] = [ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Look at every message that leaves."""
        super().__init__(*args, **kwargs)
        self._plan = Path(os.environ["FLOWLAB_CONTROLLER"])
        told = json.loads(self._plan.read_text(encoding="utf-8"))["switches"]
        self._names = {int(number): switch["name"] for number, switch in told.items()}
        self._switches: dict[int, Any] = {}
        self._asked: dict[tuple[int, int], Any] = {}
        self._came = self._handed_back = 0
        self._writers: dict[int, Writer] = {}
        send = Datapath.send_msg

        def watched(switch: Any, message: Any, **options: Any) -> Any:
            if isinstance(message, switch.ofproto_parser.OFPPacketOut) and message.data:
                self._handed_back += 1
                self._record(switch.id, bytes(message.data))
            return send(switch, message, **options)

        Datapath.send_msg = watched

    def start(self) -> Any:
        """Wait for the word to stop, and for those who ask, beside the events."""
        hub.spawn(self._wait_for_the_end)
        hub.spawn(eventlet.serve, eventlet.listen(("127.0.0.1", ASKED_PORT)), self._answer)
        return super().start()

    @set_ev_cls(ofp_event.EventOFPStateChange, MAIN_DISPATCHER)
    def switch_came(self, change: Any) -> None:
        """When the last one is there: wait until the application has told them all."""
        self._switches[change.datapath.id] = change.datapath
        if set(self._switches) == set(self._names):
            hub.spawn(self._say_when_ready, dict(self._switches))

    @set_ev_cls(ofp_event.EventOFPStateChange, DEAD_DISPATCHER)
    def switch_went(self, change: Any) -> None:
        """It will come back as another one, and has to be told all again."""
        gone = change.datapath
        if gone not in self._switches.values():
            return
        del self._switches[gone.id]
        for asked in [asked for asked in self._asked if asked[0] == gone.id]:
            self._asked.pop(asked).set()

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_came(self, _: Any) -> None:
        """Count it."""
        self._came += 1

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def switch_is_done(self, reply: Any) -> None:
        """With all that was sent to it before."""
        asked = self._asked.pop((reply.msg.datapath.id, reply.msg.xid), None)
        if asked is not None:
            asked.set()

    def _say_when_ready(self, switches: dict[int, Any]) -> None:
        self._await_handled(hub.Event())
        if self._switches == switches:  # else it is said when all are there again
            _say("ready")

    def _await_handled(self, done: Any) -> None:
        """Set it when all that the switches have sent is handled, and what follows done there."""
        self._await_switches()
        for app in self._others():
            handled = _Handled()
            if _Handled not in app.event_handlers:
                app.register_handler(_Handled, lambda last: last.here.set())
            self.send_event(app.name, handled)
            handled.here.wait()
        self._await_switches()
        done.set()

    def _await_switches(self) -> None:
        """Wait for the end of all that is under way to and from the switches: both are in order."""
        waited_for = []
        for switch in list(self._switches.values()):
            request = switch.ofproto_parser.OFPBarrierRequest(switch)
            done = self._asked[switch.id, switch.set_xid(request)] = hub.Event()
            waited_for.append(done)
            switch.send_msg(request)
        for done in waited_for:
            done.wait()

    def _answer(self, line: Any, _: Any) -> None:
        """For each octet that comes: dots as long as there is progress, then the number."""
        while line.recv(1):
            done = hub.Event()
            hub.spawn(self._await_handled, done)
            before = None
            while not done.wait(_STILL_AT_IT_S):
                now = (self._came, self._handed_back)
                if now != before:
                    line.sendall(b".")
                before = now
            line.sendall(b"%d\n" % self._came)

    def _others(self) -> list[Any]:
        known = app_manager.AppManager.get_instance().applications
        return [app for name, app in known.items() if app is not self and name != "ofp_event"]

    def _record(self, switch: int, frame: bytes) -> None:
        if switch not in self._writers:
            file = self._plan.parent / "wire" / f"{self._names[switch]}-controller.pcap"
            self._writers[switch] = Writer(file)
        self._writers[switch].write(time.time_ns(), frame[:SNAP_OCTETS], len(frame))

    def _wait_for_the_end(self) -> None:
        hubs.trampoline(0, read=True)  # a word, or the end of who could say it
        for app in self._others():
            if hasattr(app, "finish"):
                app.finish()
        for writer in self._writers.values():
            writer.flush()
        _say("done")
        os._exit(0)


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
