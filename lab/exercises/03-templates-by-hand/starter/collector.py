"""A collector of IPFIX and NetFlow v9: prints a line of JSON for each record."""

import json
import socket
import struct
import sys

templates = {}
"""What is known of templates: you decide how."""


def records(datagram, sender):
    """The records in a datagram, as dictionaries."""
    if len(datagram) < 16:
        return []  # Anybody may send anything.
    (version,) = struct.unpack_from("!H", datagram)
    at = {9: 20, 10: 16}[version]
    while at + 4 <= len(datagram):
        set_id, length = struct.unpack_from("!HH", datagram, at)
        # What is in the set depends on its id.
        at += max(length, 4)
    return []


def main():
    port = int(sys.argv[1])
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", port))
    while True:
        datagram, sender = receiver.recvfrom(65536)
        for record in records(datagram, sender):
            print(json.dumps(record), flush=True)


main()
