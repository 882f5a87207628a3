"""A collector of IPFIX and NetFlow v9: prints a line of JSON for each record."""

import json
import socket
import struct
import sys

HEADER_OCTETS = {9: 20, 10: 16}
DOMAIN_AT = {9: 16, 10: 12}
TEMPLATES = {9: 0, 10: 2}
VARIABLE = 65535
NAMES = {
    1: "octets",
    2: "packets",
    4: "protocol",
    7: "source_port",
    8: "source",
    11: "destination_port",
    12: "destination",
}
ADDRESSES = (8, 12)

templates = {}
"""The fields of each template, by sender, version, domain and id."""


def records(datagram, sender):
    """The records in a datagram, as dictionaries."""
    if len(datagram) < HEADER_OCTETS[9]:
        return  # Anybody may send anything.
    (version,) = struct.unpack_from("!H", datagram)
    if version not in HEADER_OCTETS:
        return
    (domain,) = struct.unpack_from("!I", datagram, DOMAIN_AT[version])
    at = HEADER_OCTETS[version]
    while at + 4 <= len(datagram):
        set_id, length = struct.unpack_from("!HH", datagram, at)
        if length < 4:
            return
        body = datagram[at + 4 : at + length]
        if set_id == TEMPLATES[version]:
            for template_id, fields in announced(body, version):
                templates[sender, version, domain, template_id] = fields
        elif (sender, version, domain, set_id) in templates:
            yield from told(body, templates[sender, version, domain, set_id])
        at += length


def announced(body, version):
    """The templates in a set: id, and element and length of each field."""
    at = 0
    while at + 4 <= len(body):
        template_id, count = struct.unpack_from("!HH", body, at)
        at += 4
        fields = []
        for _ in range(count):
            element, length = struct.unpack_from("!HH", body, at)
            at += 4
            if version == 10 and element & 0x8000:
                element = None  # An enterprise's own: its number follows.
                at += 4
            fields.append((element, length))
        if template_id >= 256:
            yield template_id, fields


def told(body, fields):
    """The records in a data set."""
    least = sum(1 if length == VARIABLE else length for _, length in fields)
    at = 0
    while fields and at + least <= len(body):
        record = {}
        for element, length in fields:
            if length == VARIABLE:
                length = body[at]
                at += 1
                if length == 255:
                    (length,) = struct.unpack_from("!H", body, at)
                    at += 2
            octets = body[at : at + length]
            at += length
            if element in ADDRESSES:
                record[NAMES[element]] = socket.inet_ntoa(octets)
            elif element in NAMES:
                record[NAMES[element]] = int.from_bytes(octets, "big")
        if "source" in record:
            yield record


def main():
    port = int(sys.argv[1])
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", port))
    while True:
        datagram, sender = receiver.recvfrom(65536)
        for record in records(datagram, sender):
            print(json.dumps(record), flush=True)


main()
