"""A collector of sFlow v5: prints a line of JSON for each sampled packet."""

import json
import socket
import struct
import sys


def words(octets, at, count):
    """So many 32-bit words, and where the next one begins."""
    return (*struct.unpack_from(f"!{count}I", octets, at), at + 4 * count)


def packets(datagram):
    """The sampled packets in a datagram, as dictionaries."""
    if len(datagram) < 28:
        return []  # Anybody may send anything.
    version, kind, at = words(datagram, 0, 2)
    at += {1: 4, 2: 16}[kind]
    sub_agent, sequence, uptime, samples, at = words(datagram, at, 4)
    for _ in range(samples):
        sample_type, length, at = words(datagram, at, 2)
        # What is in the sample depends on its type.
        at += length
    return []


def main():
    port = int(sys.argv[1])
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", port))
    while True:
        datagram, _ = receiver.recvfrom(65536)
        for packet in packets(datagram):
            print(json.dumps(packet), flush=True)


main()
