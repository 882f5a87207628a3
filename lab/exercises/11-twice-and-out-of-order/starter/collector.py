"""A collector of NetFlow v5: prints a line of JSON for each record."""

import json
import socket
import struct
import sys

HEADER = struct.Struct("!HHIIIIBBH")
RECORD = struct.Struct("!4s4s4sHHIIIIHHBBBBHHBBH")


def records(datagram):
    """The records in a datagram, as dictionaries."""
    if len(datagram) < HEADER.size:
        return
    version, count, *_, sampling = HEADER.unpack_from(datagram)
    if version != 5:
        return
    rate = sampling & 0x3FFF or 1
    whole = (len(datagram) - HEADER.size) // RECORD.size
    for number in range(min(count, whole)):
        fields = RECORD.unpack_from(datagram, HEADER.size + number * RECORD.size)
        source, destination, _, _, _, packets, octets, _, _, from_port, to_port, *rest = fields
        yield {
            "source": socket.inet_ntoa(source),
            "destination": socket.inet_ntoa(destination),
            "protocol": rest[2],
            "source_port": from_port,
            "destination_port": to_port,
            "packets": packets * rate,
            "octets": octets * rate,
        }


def main():
    port = int(sys.argv[1])
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", port))
    while True:
        datagram, _ = receiver.recvfrom(65536)
        for record in records(datagram):
            print(json.dumps(record), flush=True)


main()
