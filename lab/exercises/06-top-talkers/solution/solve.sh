#!/bin/sh
# Writes answers.yaml from exports.pcap, with flowlab's own commands and awk.
set -eu
flowlab=${FLOWLAB:-flowlab}
flows() { "$flowlab" flows exports.pcap "$@" --format csv 2>/dev/null; }
column() { awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next } { print $at }'; }
sum() { awk '{ sum += $1 } END { print sum + 0 }'; }
all=$(flows | column octets_l3 | sum)
busiest=$(flows --by source --top 1 | column octets_l3)
{
    echo "sources: $(flows --by source | tail -n +2 | wc -l)"
    echo "busiest_source: $(flows --by source --top 1 | column source)"
    echo "percent_of_busiest: $(((200 * busiest + all) / (2 * all)))"
    echo "busiest_port: $(flows --by dstport --top 1 | column destinationTransportPort)"
    echo "octets_of_three: $(flows --by source --top 3 | column octets_l3 | sum)"
} > answers.yaml
