"""The wire as a witness: every frame at every switch port, captured beside the switch.

Knows: packet sockets. Must not know: Open vSwitch, flows. One ring of fixed slots serves all
ports; its ready slots are handled together, as columns, so that capturing costs the machine
little while traffic runs. Source: Linux, ``Documentation/networking/packet_mmap.rst``.
"""

from __future__ import annotations

import ctypes
import mmap
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

import numpy as np

from collector.recording import Writer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from pathlib import Path

    from numpy.typing import NDArray

SNAP_OCTETS: Final = 190
"""How much of a frame is kept: all headers, and what fits in a slot."""

_SLOT_OCTETS: Final = 256
_BLOCK_OCTETS: Final = 1 << 20
_BLOCKS: Final = 32
_SLOTS: Final = _BLOCKS * _BLOCK_OCTETS // _SLOT_OCTETS
_FRAME_AT: Final = 66  # TPACKET_ALIGN(TPACKET2_HDRLEN + 16) - 14 octets of Ethernet header
_CHUNK: Final = 4096
_POLL_S: Final = 0.01
_SHOWN_S: Final = 0.2
"""So long a frame is captured at most before a reader of the growing files sees it."""

# linux/if_packet.h, linux/filter.h
_SOL_PACKET: Final = 263
_PACKET_RX_RING, _PACKET_STATISTICS, _PACKET_VERSION, _TPACKET_V2 = 5, 6, 10, 1
_STATUS_USER: Final = 1
_STATUS_VLAN: Final = 1 << 4
_STATUS_VLAN_TYPE: Final = 1 << 6
_VLAN_TYPE: Final = 0x8100
_TAG_AT, _TAG_OCTETS = 12, 4
_OUTGOING: Final = 4
_SO_ATTACH_FILTER: Final = 26
_SKF_AD_IFINDEX: Final = 0xFFFFF000 + 8
_LOOPBACK_IFINDEX: Final = 1
_ETH_P_ALL: Final = 3

_SLOT: Final = np.dtype(
    {
        "names": [
            *("status", "length", "seconds", "nanoseconds"),
            *("vlan", "vlan_type", "ifindex", "direction"),
        ],
        "formats": ["<u4", "<u4", "<u4", "<u4", "<u2", "<u2", "<i4", "u1"],
        "offsets": [0, 4, 16, 20, 24, 26, 36, 42],
        "itemsize": _SLOT_OCTETS,
    }
)
_RECORD_HEADER_OCTETS: Final = 16


class Capture:
    """A running capture of all switch ports of this network namespace."""

    def __init__(self, ports: Mapping[int, str], folder: Path) -> None:
        """Start capturing.

        Args:
            ports: the switch ports' names by interface index; other interfaces are passed over.
            folder: gets ``<port>-in.pcap`` (into the switch) and ``<port>-out.pcap`` as needed.
        """
        self._ports = ports
        self._folder = folder
        self._writers: dict[tuple[int, bool], Writer] = {}
        self._next = 0
        self._lost = 0
        self.packets_in = 0
        self._socket = _packet_socket()
        ring = mmap.mmap(self._socket.fileno(), _SLOTS * _SLOT_OCTETS, mmap.MAP_SHARED)
        self._octets: NDArray[np.uint8] = np.frombuffer(ring, np.uint8).reshape(
            _SLOTS, _SLOT_OCTETS
        )
        self._slots = self._octets.reshape(-1).view(_SLOT)

    def drain(self) -> None:
        """Write everything that is ready."""
        while count := self._ready():
            self._write(slice(self._next, self._next + count))
            self._slots["status"][self._next : self._next + count] = 0
            self._next = (self._next + count) % _SLOTS

    def show(self) -> None:
        """Let those who read along see what is captured so far."""
        for writer in self._writers.values():
            writer.flush()

    def flush(self) -> dict[str, int]:
        """Hand all files to the kernel; return ``packets_in`` (all ports) and ``lost``."""
        self.drain()
        self.show()
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._lost += struct.unpack("II", statistics)[1]
        return {"packets_in": self.packets_in, "lost": self._lost}

    def _ready(self) -> int:
        """How many slots from the next one on hold a frame: a chunk of the ring at most."""
        status = self._slots["status"][self._next : self._next + _CHUNK]
        if not status[0] & _STATUS_USER:
            return 0
        free = np.flatnonzero((status & _STATUS_USER) == 0)
        return int(free[0]) if free.size else len(status)

    def _write(self, ready: slice) -> None:
        slots, octets = self._slots[ready], self._octets[ready]
        outgoing = slots["direction"] == _OUTGOING
        for ifindex in np.unique(slots["ifindex"]).tolist():
            if ifindex not in self._ports:
                continue
            here = slots["ifindex"] == ifindex
            for out in (False, True):
                chosen = np.flatnonzero(here & (outgoing == out))
                if chosen.size:
                    self._writer(ifindex, out=out).write_records(_records(slots, octets, chosen))
                    self.packets_in += 0 if out else chosen.size

    def _writer(self, ifindex: int, *, out: bool) -> Writer:
        if (ifindex, out) not in self._writers:
            name = f"{self._ports[ifindex]}-{'out' if out else 'in'}.pcap"
            self._writers[ifindex, out] = Writer(self._folder / name)
            self._writers[ifindex, out].flush()  # a capture that breaks off is one all the same
        return self._writers[ifindex, out]


def _records(slots: NDArray[np.void], octets: NDArray[np.uint8], chosen: NDArray[np.intp]) -> bytes:
    """The chosen slots as pcap records (nanoseconds)."""
    frames = octets[chosen, _FRAME_AT : _FRAME_AT + SNAP_OCTETS]
    lengths = slots["length"][chosen]
    tagged = np.flatnonzero(slots["status"][chosen] & _STATUS_VLAN)
    if tagged.size:
        frames[tagged] = _with_tags(frames[tagged], slots[chosen[tagged]])
        lengths[tagged] += _TAG_OCTETS
    captured = np.minimum(lengths, SNAP_OCTETS)
    records = np.zeros((chosen.size, _RECORD_HEADER_OCTETS + SNAP_OCTETS), np.uint8)
    header = records[:, :_RECORD_HEADER_OCTETS].view("<u4")
    header[:, 0] = slots["seconds"][chosen]
    header[:, 1] = slots["nanoseconds"][chosen]
    header[:, 2] = captured
    header[:, 3] = lengths
    records[:, _RECORD_HEADER_OCTETS:] = frames
    used = np.arange(records.shape[1]) < _RECORD_HEADER_OCTETS + captured[:, None]
    return bytes(records[used].tobytes())


def _with_tags(frames: NDArray[np.uint8], slots: NDArray[np.void]) -> NDArray[np.uint8]:
    """Frames with their VLAN tags, which the kernel takes out and tells apart (IEEE 802.1Q)."""
    types = np.where(slots["status"] & _STATUS_VLAN_TYPE, slots["vlan_type"], _VLAN_TYPE)
    tags = np.stack([types, slots["vlan"]], axis=1).astype(">u2").view(np.uint8)
    whole = np.concatenate([frames[:, :_TAG_AT], tags, frames[:, _TAG_AT:]], axis=1)
    return whole[:, :SNAP_OCTETS]


def _packet_socket() -> socket.socket:
    """A packet socket with a ring that gets the frames of all interfaces but loopback."""
    own = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    program = [
        (0x20, 0, 0, _SKF_AD_IFINDEX),  # ld  [ifindex]
        (0x15, 0, 1, _LOOPBACK_IFINDEX),  # jeq #1
        (0x06, 0, 0, 0),  # ret 0: the export datagrams are recorded elsewhere
        (0x06, 0, 0, SNAP_OCTETS),  # ret
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    own.setsockopt(
        socket.SOL_SOCKET,
        _SO_ATTACH_FILTER,
        struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)),
    )
    own.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
    own.setsockopt(
        _SOL_PACKET,
        _PACKET_RX_RING,
        struct.pack("IIII", _BLOCK_OCTETS, _BLOCKS, _SLOT_OCTETS, _SLOTS),
    )
    return own


def serve(ports: Mapping[int, str], folder: Path, line: Connection) -> None:
    """Capture until told to ``stop`` or hung up on; answer each message with the counts."""
    capture = Capture(ports, folder)
    line.send({"packets_in": 0, "lost": 0})
    shown_s = time.monotonic()
    while True:
        try:
            if line.poll(_POLL_S):
                command = line.recv()
                line.send(capture.flush())
                if command == "stop":
                    return
        except (EOFError, BrokenPipeError):
            capture.flush()
            return
        capture.drain()
        if time.monotonic() - shown_s >= _SHOWN_S:
            capture.show()
            shown_s = time.monotonic()
