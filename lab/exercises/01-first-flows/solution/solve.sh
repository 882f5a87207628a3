#!/bin/sh
# Writes answers.yaml from exports.pcap, with flowlab's own commands and awk.
set -eu
flowlab=${FLOWLAB:-flowlab}
last() { "$flowlab" decode exports.pcap --format csv 2>&1 >/dev/null | grep -o "[0-9]* $1" | head -n 1 | cut -d' ' -f1; }
flows() { "$flowlab" flows exports.pcap "$@" --format csv 2>/dev/null; }
column() { awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next } { print $at }'; }
{
    echo "datagrams: $(last datagrams)"
    echo "records: $(last records)"
    echo "flows: $(flows | tail -n +2 | wc -l)"
    echo "octets: $(flows | column octets_l3 | awk '{ sum += $1 } END { print sum }')"
    echo "busiest_source: $(flows --by srcip --top 1 | column source)"
    echo "octets_of_busiest: $(flows --by srcip --top 1 | column octets_l3)"
} > answers.yaml
