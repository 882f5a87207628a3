#!/bin/sh
# Writes answers.yaml from exports.pcap, with flowlab's own commands and awk.
set -eu
flowlab=${FLOWLAB:-flowlab}
flows() { "$flowlab" flows exports.pcap "$@" --format csv 2>/dev/null; }
column() { awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next } { print $at }'; }
sum() { awk '{ sum += $1 } END { print sum + 0 }'; }
samples=$("$flowlab" decode exports.pcap --format csv 2>&1 >/dev/null | grep -o "[0-9]* records" | head -n 1 | cut -d' ' -f1)
{
    echo "samples: $samples"
    echo "one_in: $(flows --top 1 | column sampling_rate | cut -d. -f1)"
    echo "packets: $(flows | column packets | sum)"
    echo "udp_packets: $(flows --where 'protocolIdentifier = 17' | column packets | sum)"
    echo "error_percent: $(awk -v c="$samples" 'BEGIN { printf "%.0f", 196 / sqrt(c) }')"
} > answers.yaml
