"""A collector of NetFlow v5: prints a line of JSON for each record."""

import json
import socket
import struct
import sys


def records(datagram):
    """The records in a datagram, as dictionaries."""
    if len(datagram) < 24:
        return []  # Anybody may send anything.
    version, count = struct.unpack_from("!HH", datagram)
    if version != 5:
        return []
    # Now read `count` records behind the header.
    return []


def main():
    port = int(sys.argv[1])
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", port))
    while True:
        datagram, sender = receiver.recvfrom(65536)
        for record in records(datagram):
            print(json.dumps(record), flush=True)


main()
