#!/bin/sh
# Writes answers.yaml from a run of chain.yaml, with flowlab's own commands and Python.
set -eu
flowlab=${FLOWLAB:-flowlab}
"$flowlab" run chain.yaml --runs runs >/dev/null
"$flowlab" flows runs/chain/latest --format csv 2>/dev/null >told.csv
python3 - >answers.yaml <<'END'
import csv
from collections import Counter

KEY = ("source", "destination", "protocolIdentifier", "sourceTransportPort",
       "destinationTransportPort")
told = list(csv.DictReader(open("told.csv")))
packets = {tuple(row[name] for name in KEY): int(row["packets"]) for row in told}
crossed = Counter(tuple(row[name] for name in KEY) for row in told)
at = Counter()
for row in told:
    at[int(row["observation_domain"])] += int(row["packets"])
print("told:", len(told))
print("flows:", len(packets))
print("packets:", sum(packets.values()))
print(f"switch: s{min(at, key=lambda switch: (-at[switch], switch))}")
print("all_the_way:", sum(times == 3 for times in crossed.values()))
END
