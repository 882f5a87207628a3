"""Captures read the plain way, one frame after the other: what the reader in columns must equal."""

from __future__ import annotations

import struct
from typing import NamedTuple

from collector.fault import Fault
from collector.recording import MAGIC_NS, SNAPLEN_OCTETS

SECTION, BYTE_ORDER = 0x0A0D0D0A, 0x1A2B3C4D
INTERFACES, BLOCK_OCTETS = 65_536, 16 << 20


class Frame(NamedTuple):
    offset: int
    length: int
    original: int
    timestamp_ns: int
    linktype: int


def pcap_frames(octets):
    """Frames and fault of the octets of a pcap file."""
    order = "<" if octets[0] in {0xD4, 0x4D} else ">"
    magic, linktype = struct.unpack(order + "I16xI", octets[:24])
    unit = 1 if magic == MAGIC_NS else 1000
    frames, at = [], 24
    while at + 16 <= len(octets):
        seconds, fraction, length, original = struct.unpack_from(order + "IIII", octets, at)
        needed, there = 16 + length, len(octets) - at
        if length > SNAPLEN_OCTETS or needed > there:
            reason = "no frame header" if length > SNAPLEN_OCTETS else "file ends within a frame"
            return frames, Fault(len(frames) + 1, at, needed, there, reason)
        when = seconds * 1_000_000_000 + fraction * unit
        frames.append(Frame(at + 16, length, max(original, length), when, linktype & 0xFFFF))
        at += needed
    if at == len(octets):
        return frames, None
    reason = "file ends within a frame header"
    return frames, Fault(len(frames) + 1, at, 16, len(octets) - at, reason)


def pcapng_frames(octets):
    """Frames and fault of the octets of a pcapng file."""
    order, interfaces, frames, at = "<", [], [], 0

    def fault(needed, reason):
        return frames, Fault(len(frames) + 1, at, needed, len(octets) - at, reason)

    while at + 12 <= len(octets):
        kind, length = struct.unpack_from(order + "II", octets, at)
        if kind == SECTION:
            orders = [
                one
                for one in "<>"
                if struct.unpack_from(one + "I", octets, at + 8)[0] == BYTE_ORDER
            ]
            if not orders:
                return fault(12, "a section in no known byte order")
            (order,), interfaces = orders, []
            (length,) = struct.unpack_from(order + "I", octets, at + 4)
        if length < 12 or length % 4 or length > BLOCK_OCTETS:
            return fault(12, "no pcapng block")
        if at + length > len(octets):
            return fault(length, "file ends within a block")
        reason = pcapng_block(order, kind, octets[at : at + length], at, interfaces, frames)
        if reason:
            return fault(length, reason)
        at += length
    return (frames, None) if at == len(octets) else fault(12, "file ends within a block")


def pcapng_block(order, kind, block, at, interfaces, frames):
    """Read one block; return what is wrong with it."""
    heads = {6: 28, 2: 28, 3: 12}
    if kind == 1:
        if len(block) < 20 or len(interfaces) >= INTERFACES:
            return "no interface description"
        interfaces.append(pcapng_interface(order, block))
    if kind not in heads:
        return ""
    head = heads[kind]
    if len(block) < head + 4:
        return "packet block shorter than its head"
    room = len(block) - head - 4
    if kind == 3:
        (original,) = struct.unpack_from(order + "I", block, 8)
        number, stamp, captured = 0, 0, min(original, room)
    else:
        form = order + ("IIIII" if kind == 6 else "HxxIIII")
        number, upper, lower, captured, original = struct.unpack_from(form, block, 8)
        stamp = upper << 32 | lower
    if number >= len(interfaces):
        return "a packet of an interface that is not described"
    linktype, snaplen, nanoseconds = interfaces[number]
    if kind == 3 and snaplen:
        captured = min(captured, snaplen)
    if captured > room:
        return "frame longer than its block"
    frames.append(Frame(at + head, captured, max(original, captured), nanoseconds(stamp), linktype))
    return ""


def pcapng_interface(order, block):
    """Link type, snaplen, and the function that makes nanoseconds of timestamps."""
    linktype, snaplen = struct.unpack_from(order + "HxxI", block, 8)
    resolution, shift, option = 6, 0, 16
    while option + 8 <= len(block):
        code, size = struct.unpack_from(order + "HH", block, option)
        value = block[option + 4 : option + 4 + size]
        if not code or option + 4 + size > len(block) - 4:
            break
        if code == 9 and size == 1:
            resolution = value[0]
        elif code == 14 and size == 8:
            (shift,) = struct.unpack(order + "q", value)
        option += 4 + (size + 3 & ~3)

    def nanoseconds(stamp):
        if resolution & 0x80:
            found = (stamp * 10**9 >> (resolution & 0x7F)) & ((1 << 63) - 1)
        else:
            found = stamp * 10**9 // 10 ** min(resolution, 28)
        found = (found + shift * 10**9) % (1 << 64)
        return found - (1 << 64) if found >> 63 else found

    return linktype, snaplen, nanoseconds
