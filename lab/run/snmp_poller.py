"""Polls the switch ports' counters by SNMP: ``python -m lab.run.snmp_poller``.

Asks the agent for IF-MIB's ifXTable (RFC 2863) again and again, and writes every answer down. Says
``ready`` when it has the first one. A line on its standard input ends it: it asks once more, when
all packets have passed, writes, and says ``done``.

Its own datagrams cross the same network namespace as the exports. It sends none twice, so that
their number is known: two for every question.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from pysnmp.hlapi.v3arch.asyncio import (
    CommunityData,
    ContextData,
    Integer32,
    ObjectIdentity,
    ObjectType,
    SnmpEngine,
    UdpTransportTarget,
    bulk_cmd,
    set_cmd,
)

NAME: Final = "1.3.6.1.2.1.31.1.1.1.1"
"""ifName."""
COUNTERS: Final = {
    "rx_octets": (6,),
    "rx_packets": (7, 8, 9),
    "tx_octets": (10,),
    "tx_packets": (11, 12, 13),
}
"""Columns of ifXTable: ifHCInOctets and so on; packets are unicast, multicast, broadcast ones."""
COLUMNS: Final = tuple(column for columns in COUNTERS.values() for column in columns)
_TABLE: Final = NAME.rpartition(".")[0]
CACHE_TIMEOUT: Final = "1.3.6.1.4.1.8072.1.5.3.1.2.1.3.6.1.2.1.2.2"
"""nsCacheTimeout of net-snmp's interface table: 3 s by default, so long an answer may be old."""
MOST_ROWS: Final = 20
"""In one answer: it has to fit into a datagram that nobody fragments much."""
_LIMIT_S: Final = 5.0


class Silent(Exception):
    """The agent did not answer, or refused; the text says what."""


class Agent:
    """What is asked of one agent."""

    def __init__(self, target: UdpTransportTarget, community: str) -> None:
        """Ask nothing yet."""
        self._engine = SnmpEngine()
        self._whom = CommunityData(community), target, ContextData()
        self.questions = 0

    async def no_cache(self) -> None:
        """Have it look at its interfaces anew for every question.

        Raises:
            Silent: it did not answer.
        """
        self.questions += 1
        wanted = ObjectType(ObjectIdentity(CACHE_TIMEOUT), Integer32(0))
        _answered(await set_cmd(self._engine, *self._whom, wanted, lookupMib=False))

    async def table(self, *columns: str) -> dict[int, list[Any]]:
        """Columns of a table whose last index is a number, by that number.

        Raises:
            Silent: it did not answer.
        """
        found: dict[int, list[Any]] = {}
        at = list(columns)
        while True:
            self.questions += 1
            asked = [ObjectType(ObjectIdentity(oid)) for oid in at]
            rows = min(MOST_ROWS, 200 // len(columns))
            told = _answered(
                await bulk_cmd(self._engine, *self._whom, 0, rows, *asked, lookupMib=False)
            )
            pairs = [(str(name), value) for name, value in told]
            if not pairs:
                return found
            for begin in range(0, len(pairs) - len(columns) + 1, len(columns)):
                row = pairs[begin : begin + len(columns)]
                if not row[0][0].startswith(columns[0] + "."):
                    return found
                found[int(row[0][0].rpartition(".")[2])] = [value for _, value in row]
                at = [name for name, _ in row]


def _answered(told: Any) -> Any:
    """The variables of an answer.

    Raises:
        Silent: there is none, or it is an error.
    """
    error, status, index, variables = told
    if error or status:
        message = f"{error or status} (variable {index})"
        raise Silent(message)
    return variables


def by_switch(names: dict[int, str], table: dict[int, list[Any]], at_ns: int) -> list[Any]:
    """An answer in the form of the OpenFlow poller's: for each switch its ports.

    Args:
        names: of the interfaces, by their numbers; ports of switches are ``s1-eth2``.
        table: the `COLUMNS` by the same numbers.
        at_ns: when it came.
    """
    switches: dict[str, dict[str, dict[str, int]]] = {}
    for number, values in table.items():
        switch, dash, port = names.get(number, "").rpartition("-eth")
        if dash and port.isdigit():
            value = dict(zip(COLUMNS, map(int, values), strict=True))
            counted = {name: sum(value[n] for n in columns) for name, columns in COUNTERS.items()}
            switches.setdefault(switch, {})[port] = counted
    return [
        {"at_ns": at_ns, "switch": switch, "ports": ports} for switch, ports in switches.items()
    ]


async def poll(options: argparse.Namespace) -> list[Any]:
    """Ask until a line comes; all answers.

    Raises:
        Silent: the agent did not answer.
    """
    target = await UdpTransportTarget.create(
        (options.host, options.port), timeout=_LIMIT_S, retries=0
    )
    agent = Agent(target, options.community)
    await agent.no_cache()
    names = {number: str(name) for number, (name,) in (await agent.table(NAME)).items()}
    columns = [f"{_TABLE}.{column}" for column in COLUMNS]
    answers: list[Any] = []

    async def ask() -> None:
        before_ns = time.time_ns()
        table = await agent.table(*columns)
        answers.extend(by_switch(names, table, (before_ns + time.time_ns()) // 2))

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ask()
    say("ready")
    due_s = loop.time()
    while not ended.is_set():
        due_s = max(due_s + options.interval_s, loop.time())
        try:
            async with asyncio.timeout_at(due_s):
                await ended.wait()
        except TimeoutError:
            await ask()
    await ask()
    say(f"questions {agent.questions}")
    return answers


def say(words: str) -> None:
    """To whoever started this."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab.run.snmp_poller", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--community", required=True)
    parser.add_argument("--interval-s", type=float, required=True)
    parser.add_argument("--out", required=True)
    try:
        options = parser.parse_args()
        answers = asyncio.run(poll(options))
    except Silent as silent:
        sys.stderr.write(f"the SNMP agent did not answer: {silent}\n")
        return 1
    Path(options.out).write_text(json.dumps(answers), encoding="utf-8")
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
