#!/bin/sh
# Writes answers.yaml from exports.pcap, with flowlab's own commands and awk.
set -eu
flowlab=${FLOWLAB:-flowlab}
flows() { "$flowlab" flows exports.pcap "$@" --format csv 2>/dev/null; }
column() { awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next } { print $at }'; }
sum() { awk '{ sum += $1 } END { print sum + 0 }'; }
all=$(flows | column octets_l3 | sum)
missed=$(flows --where 'ipVersion = 6' | column octets_l3 | sum)
{
    echo "flows: $(flows | tail -n +2 | wc -l)"
    echo "in_netflow5: $(flows --where 'ipVersion = 4' | tail -n +2 | wc -l)"
    echo "octets_missed: $missed"
    echo "percent_missed: $(((200 * missed + all) / (2 * all)))"
} > answers.yaml
