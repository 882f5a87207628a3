"""The flush: no more at once than the collector has room for, and nothing left behind."""

from __future__ import annotations

import pytest

from exporters import EXPORTERS, Bridge
from lab.run.openvswitch import Counters, PrivateSwitch, Room

BRIDGES = [Bridge("s1", 1), Bridge("s2", 2), Bridge("s3", 3)]


class Caches(PrivateSwitch):
    """No switch at all: only what its IPFIX caches hold, and what they send."""

    def __init__(self, held, tmp_path):
        super().__init__(tmp_path, tmp_path)
        self.held = dict(held)
        self.waiting = 0
        self.most = 0
        self.drained = 0

    def configure(self, commands):
        for command in commands:
            match command:
                case ("set", "IPFIX", name, cache):
                    self.send(name, int(cache.removeprefix("cache_max_flows=")))
                case ("clear", "Bridge", name, "ipfix"):
                    self.send(name, 0)

    def send(self, name, keep):
        assert keep >= 0
        self.waiting += max(0, self.held[name] - keep)
        self.held[name] = min(self.held[name], keep)
        self.most = max(self.most, self.waiting)

    def drain(self):
        self.waiting = 0
        self.drained += 1

    def push_statistics(self):
        """There are none."""

    settle = push_statistics

    def pass_time(self):
        return 3000


@pytest.mark.parametrize(
    ("held", "room", "drained"),
    [
        ({"s1": 0, "s2": 0, "s3": 0}, 100, 0),
        ({"s1": 30, "s2": 30, "s3": 40}, 100, 0),
        ({"s1": 30, "s2": 30, "s3": 41}, 100, 1),
        ({"s1": 100, "s2": 0, "s3": 100}, 100, 1),
        ({"s1": 1000, "s2": 101, "s3": 1}, 100, 12),
        ({"s1": 7, "s2": 5, "s3": 3}, 1, 14),
    ],
)
def test_a_flush_sends_no_more_at_once_than_there_is_room_for(held, room, drained, tmp_path):
    switch = Caches(held, tmp_path)
    counted = {name: Counters(0, 0, {"current flows": flows}) for name, flows in held.items()}
    exporters = [EXPORTERS["netflow"](), EXPORTERS["ipfix"]()]
    assert switch.flush(exporters, BRIDGES, counted, Room(room, switch.drain)) == 3000
    assert switch.held == {"s1": 0, "s2": 0, "s3": 0}
    assert switch.most <= room
    assert switch.drained == drained


def test_what_the_datapath_calls_lost_is_handled_all_the_same(monkeypatch, tmp_path):
    said = "dummy@ovs-dummy:\n  lookups: hit:5 missed:3 lost:2\n  flows: 3\n"
    monkeypatch.setattr("lab.run.unixctl.call", lambda *_: said)
    assert PrivateSwitch(tmp_path, tmp_path).handled_packets() == 10
