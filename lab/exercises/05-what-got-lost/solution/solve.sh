#!/bin/sh
# Writes answers.yaml from what the collector says of exports.pcap.
set -eu
flowlab=${FLOWLAB:-flowlab}
said=$("$flowlab" decode exports.pcap --format csv 2>&1 >/dev/null)
number() { printf '%s\n' "$said" | grep -o "[0-9][0-9]* $1" | head -n 1 | cut -d' ' -f1; }
missing=$(number 'data records lost')
{
    echo "datagrams: $(number datagrams)"
    echo "records: $(number records)"
    echo "missing: $missing"
    echo "exported: $(($(number records) + missing))"
} > answers.yaml
