"""A collector of sFlow v5: prints a line of JSON for each sampled packet."""

import json
import socket
import struct
import sys

ADDRESS_OCTETS = {1: 4, 2: 16}
FLOW_SAMPLE = HEADER_RECORD = ETHERNET = 1
TAG, IPV4 = 0x8100, 0x0800
WITH_PORTS = (6, 17)


def words(octets, at, count):
    """So many 32-bit words, and where the next one begins."""
    return (*struct.unpack_from(f"!{count}I", octets, at), at + 4 * count)


def packets(datagram):
    """The sampled packets in a datagram, as dictionaries."""
    if len(datagram) < 28:
        return  # Anybody may send anything.
    version, kind, at = words(datagram, 0, 2)
    if version != 5 or kind not in ADDRESS_OCTETS:
        return
    at += ADDRESS_OCTETS[kind]
    *_, samples, at = words(datagram, at, 4)
    for _ in range(samples):
        sample_type, length, at = words(datagram, at, 2)
        if sample_type == FLOW_SAMPLE:
            yield from sampled(datagram[at : at + length])
        at += length


def sampled(sample):
    """The packets of a flow sample."""
    _, _, rate, _, _, _, _, records, at = words(sample, 0, 8)
    for _ in range(records):
        record_type, length, at = words(sample, at, 2)
        if record_type == HEADER_RECORD:
            protocol, frame_length, stripped, size, begin = words(sample, at, 4)
            key = addressed(sample[begin : begin + size]) if protocol == ETHERNET else None
            if key is not None:
                yield {**key, "packets": rate, "octets": rate * (frame_length - stripped)}
        at += length


def addressed(frame):
    """Who sent a packet to whom; None if it is not of IPv4."""
    (kind,) = struct.unpack_from("!H", frame, 12)
    at = 14
    while kind == TAG:
        (kind,) = struct.unpack_from("!H", frame, at + 2)
        at += 4
    if kind != IPV4:
        return None
    header = frame[at:]
    behind = 4 * (header[0] & 0x0F)
    ports = struct.unpack_from("!HH", header, behind) if header[9] in WITH_PORTS else (0, 0)
    return {
        "source": socket.inet_ntoa(header[12:16]),
        "destination": socket.inet_ntoa(header[16:20]),
        "protocol": header[9],
        "source_port": ports[0],
        "destination_port": ports[1],
    }


def main():
    port = int(sys.argv[1])
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", port))
    while True:
        datagram, _ = receiver.recvfrom(65536)
        for packet in packets(datagram):
            print(json.dumps(packet), flush=True)


main()
