#!/bin/sh
# Writes answers.yaml from exports.pcap, with flowlab's own commands and awk.
set -eu
flowlab=${FLOWLAB:-flowlab}
flows() { "$flowlab" flows exports.pcap "$@" --format csv 2>/dev/null; }
column() { awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; next } { print $at }'; }
sum() { awk '{ sum += $1 } END { print sum + 0 }'; }
seconds() {
    python3 -c '
import csv, sys
from datetime import datetime
rows = list(csv.DictReader(sys.stdin))
when = lambda text: datetime.fromisoformat(text.replace("Z", "+00:00"))
lasted = lambda row: when(row["last"]) - when(row["first"])
longest = max(rows, key=lasted)
print(round(lasted(longest).total_seconds()), longest["octets_l3"])'
}
longest=$(flows | seconds)
{
    echo "records: $(flows | column records | sum)"
    echo "flows: $(flows | tail -n +2 | wc -l)"
    echo "longest_s: ${longest% *}"
    echo "octets_of_longest: ${longest#* }"
} > answers.yaml
