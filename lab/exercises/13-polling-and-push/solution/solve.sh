#!/bin/sh
# Writes answers.yaml from a run of port.yaml, with flowlab's own commands, Python and awk.
set -eu
flowlab=${FLOWLAB:-flowlab}
"$flowlab" run port.yaml --runs runs >/dev/null
flows() { "$flowlab" flows runs/port/latest "$@" --format csv 2>/dev/null; }
column() { awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next } { print $at }'; }
counted() {
    python3 -c '
import json, sys
first, *_, last = json.load(open("runs/port/latest/snmp.json"))
print(last["ports"]["4"][sys.argv[1]] - first["ports"]["4"][sys.argv[1]])' "$1"
}
{
    echo "packets_counted: $(counted tx_packets)"
    echo "octets_counted: $(counted tx_octets)"
    echo "busiest: $(flows --by srcip --top 1 | column source)"
    echo "not_told: $(($(counted tx_packets) - $(flows | column packets | awk '{ sum += $1 } END { print sum }')))"
} > answers.yaml
