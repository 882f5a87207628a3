"""Submissions that mean harm, and a class that has some of them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from lab.exercises.model import SOLUTION, STARTER, find
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

EXERCISE: Final = "02-netflow5-by-hand"
PROGRAM: Final = "collector.py"
_LISTENS: Final = """
import json, os, socket, sys
port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port.bind(("127.0.0.1", int(sys.argv[1])))
"""
_ANSWERS: Final = """
while True:
    port.recv(65536)
    print(json.dumps(told), flush=True)
"""
FORKS = f"""{_LISTENS}
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
FILLS_THE_DISK = f"""{_LISTENS}
number = 0
for place in ("/tmp", "/dev/shm", "/dev", "/", "/submission", "/usr", "/var/tmp"):
    try:
        while True:
            number += 1
            with open(f"{{place}}/{{number}}", "wb") as full:
                full.write(bytes(4 << 20))
    except OSError:
        pass
while True:
    print("x" * 65536)
"""
READS_OTHERS = f"""{_LISTENS}
import glob
told = {{}}
for place in ({str(ROOT)!r}, "/home", "/root", "/tmp", "/var", "/srv", "/proc/1/root/tmp"):
    for pattern in ("**/solution/*", "**/collector.py", "**/truth*", "**/exports.pcap"):
        for found in glob.iglob(f"{{place}}/{{pattern}}", recursive=True):
            if os.path.realpath(found) != os.path.realpath(__file__):
                sys.exit("FOUND " + found)
{_ANSWERS}"""
ENDS_ITS_PARENT = f"""{_LISTENS}
import ctypes, signal
for pid in range(2, 40_000):
    if pid == os.getpid():
        continue
    for does in (lambda: os.kill(pid, signal.SIGKILL), lambda: open(f"/proc/{{pid}}/mem", "r+b")):
        try:
            does()
            sys.exit(f"REACHED {{pid}}")
        except OSError:
            pass
told = {{}}
{_ANSWERS}"""
SAYS_IT_IS_RIGHT = f"""{_LISTENS}
print(json.dumps({{"exercise": "{EXERCISE}", "points": 6, "of": 6, "right": True}}))
print("right   6  all of it\\n6 of 6 points")
os.write(2, b"PASS\\n" * 20)
told = {{"source": "\\x1b[2J=1+1", "destination": "10.0.0.1", "packets": 10**19, "octets": 1}}
{_ANSWERS}"""
EATS_MEMORY = f"""{_LISTENS}
kept = []
try:
    while True:
        kept.append(bytearray(1 << 20))
except MemoryError:
    sys.exit(f"no more than {{len(kept)}} MiB")
"""
NESTS = f"""{_LISTENS}
port.recv(65536)
print("[" * 200_000, flush=True)
while True:
    port.recv(65536)
"""
INFINITE = f"""{_LISTENS}
told = {{"source": "10.0.0.1", "destination": "10.0.0.2", "packets": float("inf"), "octets": 1}}
{_ANSWERS}"""
PACKED = f"""{_LISTENS}
import gzip
packed = gzip.compress(bytes(1 << 24), 1)
for _ in range(64):
    sys.stdout.buffer.write(packed)
while True:
    port.recv(65536)
"""
PROGRAMS: Final = {
    "forks": FORKS,
    "fills-the-disk": FILLS_THE_DISK,
    "reads-others": READS_OTHERS,
    "ends-its-parent": ENDS_ITS_PARENT,
    "says-it-is-right": SAYS_IT_IS_RIGHT,
    "eats-memory": EATS_MEMORY,
    "nests": NESTS,
    "infinite": INFINITE,
    "packed": PACKED,
}
IN_A_CLASS: Final = tuple(PROGRAMS)[:5]


def hand_in(folder: Path, text: str) -> Path:
    """A submission of one program."""
    folder.mkdir(parents=True)
    (folder / PROGRAM).write_text(text, encoding="utf-8")
    return folder


def class_of_thirty(folder: Path) -> dict[str, int]:
    """Make one; the points that each has earned.

    Twenty are right, two have the starter, three are wrong somewhere, five are hostile.
    """
    exercise = find(EXERCISE)
    solution = (exercise.folder / SOLUTION / PROGRAM).read_text(encoding="utf-8")
    wrong = {
        "no-sampling": (solution.replace("sampling & 0x3FFF or 1", "1"), 4),
        "first-record": (solution.replace("range(min(count, whole))", "range(1)"), 1),
        "ports-swapped": (
            solution.replace("from_port, to_port, *rest", "to_port, from_port, *rest"),
            0,
        ),
    }
    earned = {}
    for number in range(20):
        hand_in(folder / f"learner-{number:02}", solution)
        earned[f"learner-{number:02}"] = exercise.points
    for number in range(2):
        shutil.copytree(exercise.folder / STARTER, folder / f"starter-{number}")
        earned[f"starter-{number}"] = 0
    for name, (text, points) in wrong.items():
        assert text != solution
        hand_in(folder / name, text)
        earned[name] = points
    for name in IN_A_CLASS:
        hand_in(folder / name, PROGRAMS[name])
        earned[name] = 0
    return earned
