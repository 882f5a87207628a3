#!/bin/sh
# Writes answers.yaml from exports.pcap, with flowlab's own commands and awk.
set -eu
flowlab=${FLOWLAB:-flowlab}
flows() { "$flowlab" flows exports.pcap "$@" --format csv 2>/dev/null; }
column() { awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next } { print $at }'; }
most() { sort | uniq -c | sort -k1,1nr -k2 | head -n 1 | awk '{ print $2 }'; }
scanner=$(flows --by source,destination | column source | most)
victim=$(flows --by source,destination | column destination | most)
port=$(flows --where "source = '$scanner'" | column destinationTransportPort | most)
{
    echo "scanner: $scanner"
    echo "scanned_port: $port"
    echo "scanned: $(flows --by destination --where "source = '$scanner' AND destinationTransportPort = $port" | tail -n +2 | wc -l)"
    echo "victim: $victim"
    echo "attackers: $(flows --by source --where "destination = '$victim'" | tail -n +2 | wc -l)"
} > answers.yaml
