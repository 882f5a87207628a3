"""Runs beside every application: says when all rules are there, and records each packet-out.

When switches have gone and come back it says so again.

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

from eventlet import hubs
from ryu.base import app_manager
from ryu.controller import event, ofp_event
from ryu.controller.controller import Datapath
from ryu.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from ryu.lib import hub
from ryu.ofproto import ofproto_v1_3

from collector.recording import Writer

SNAP_OCTETS = 190


class _Handled(event.EventBase):
    """Comes to an application after all that came to it before."""


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
        self._behind: set[int] = set()
        self._writers: dict[int, Writer] = {}
        send = Datapath.send_msg

        def watched(switch: Any, message: Any, **options: Any) -> Any:
            if isinstance(message, switch.ofproto_parser.OFPPacketOut) and message.data:
                self._record(switch.id, bytes(message.data))
            return send(switch, message, **options)

        Datapath.send_msg = watched

    def start(self) -> Any:
        """Wait for the word to stop, beside the events."""
        hub.spawn(self._wait_for_the_end)
        return super().start()

    @set_ev_cls(ofp_event.EventOFPStateChange, MAIN_DISPATCHER)
    def switch_came(self, change: Any) -> None:
        """When the last one is there: wait until the application has told them all."""
        self._switches[change.datapath.id] = change.datapath
        if set(self._switches) != set(self._names) or self._behind:
            return
        self._behind = set(self._switches)
        for app in self._others():
            app.register_handler(_Handled, lambda _: self._ask_whether_done())
            self.send_event(app.name, _Handled())

    @set_ev_cls(ofp_event.EventOFPStateChange, DEAD_DISPATCHER)
    def switch_went(self, change: Any) -> None:
        """It will come back as another one, and has to be told all again."""
        if change.datapath in self._switches.values():
            del self._switches[change.datapath.id]
            self._behind.clear()

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def switch_is_done(self, reply: Any) -> None:
        """When all are: say so."""
        if self._behind:
            self._behind.discard(reply.msg.datapath.id)
            if not self._behind:
                _say("ready")

    def _ask_whether_done(self) -> None:
        for switch in self._switches.values():
            switch.send_msg(switch.ofproto_parser.OFPBarrierRequest(switch))

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
