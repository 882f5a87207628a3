"""The flagship scenario, explained as it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lab import runner
from lab.report import terminal
from topologies.picture import draw

if TYPE_CHECKING:
    from pathlib import Path

    from lab.capsule.outside import Way
    from lab.runner import Ran
    from lab.scenario.model import Scenario

SCENARIO: Final = "one-udp-stream"

_STAGES: Final = {
    "network": (
        "Building a real network: Mininet hosts, Open vSwitch switches, in namespaces of its own. "
        "Nothing of your machine is touched."
    ),
    "exporters": "Switching on NetFlow v5, sFlow and IPFIX on every switch.",
    "traffic": "Sending the scenario's traffic:",
    "flush": (
        "The traffic is over. Most flows are still in the switches' caches: a flow is exported "
        "when it times out. The switches' clock is moved ahead, so nobody has to wait for that."
    ),
}


def run(scenario: Scenario, runs: Path, way: Way) -> Ran:
    """Run the scenario, say what happens, show the verdict and what to do next."""
    console = terminal.console()
    console.print(f"[bold]{scenario.title}[/bold]\n")
    console.print(draw(scenario.build_topology()), markup=False)

    def watch(event: dict[str, Any]) -> None:
        if event["event"] == "stage":
            console.print(f"[cyan]•[/cyan] {_STAGES[event['name']]}")
        elif event["event"] == "step":
            console.print(f"    {event['text']}")

    ran = runner.Prepared(scenario, runs, way).run(watch)
    console.print(
        f"[cyan]•[/cyan] Every export datagram was decoded by the bundled collector. Expected and "
        f"observed, for each flow, switch and exporter{_after(ran)}:\n"
    )
    console.print(terminal.table(ran.verdict))
    console.print()
    for line in terminal.complaints(ran.verdict):
        console.print(line, soft_wrap=True)
    terminal.print_looked_for(console, ran.verdict)
    console.print(f"{terminal.summary(ran)}\n")
    console.print(
        f"Everything is in {ran.folder}: the export datagrams (exports.pcap), what crossed"
    )
    console.print("the wire (wire/), the verdict (verdict.json). Next, try:\n")
    for command, what in (
        (f"flowlab check {ran.folder}", "judge the recorded datagrams again"),
        (f"flowlab show {scenario.name}", "what was expected, and why"),
        ("flowlab list", "more scenarios"),
        (f"flowlab shell {scenario.name}", "work in this network yourself"),
    ):
        console.print(f"    ./{command:<44} {what}", soft_wrap=True)
    return ran


def _after(ran: Ran) -> str:
    return f", {ran.verdict_after_s:.2f} s after the last packet" if ran.verdict_after_s else ""
