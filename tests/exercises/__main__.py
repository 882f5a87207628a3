"""``python -m tests.exercises``: a class of thirty, five of them hostile, graded twice.

Says what it took, whether the marks were right and the same, and what was left behind.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from lab.exercises.grade import grade
from lab.exercises.model import find
from lab.exercises.submissions import handed_in
from tests.exercises.hostile import EXERCISE, class_of_thirty

_JOBS = 2
_AS_BEFORE_S = 5.0


def processes() -> set[str]:
    """Those of users, by number and command."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if command:
                found.add(f"{entry.name} {command[:80]!r}")
    return found


def main() -> int:
    """Grade it twice."""
    with tempfile.TemporaryDirectory(prefix="flowlab-class-") as folder:
        earned = class_of_thirty(Path(folder))
        before, files, free = (
            processes(),
            set(Path("/tmp").iterdir()),
            shutil.disk_usage("/tmp").free,
        )
        marks = []
        for _ in range(2):
            began_s = time.monotonic()
            graded = grade(handed_in(Path(folder)), find(EXERCISE), _JOBS)
            took_s = time.monotonic() - began_s
            marks.append([(one.submission.name, one.points, one.parts, one.says) for one in graded])
            points = {one.submission.name: one.points for one in graded}
            print(f"{len(graded)} submissions in {took_s:.1f} s; marks right: {points == earned}")
            for name in sorted(points):
                if points[name] != earned[name]:
                    print(f"  {name}: {points[name]}, earned {earned[name]}")
        print(f"the same marks and words the second time: {marks[0] == marks[1]}")
        for one, other in zip(*marks, strict=True):
            if one != other:
                print(f"  {one}\n  {other}")
        until_s = time.monotonic() + _AS_BEFORE_S
        while (left := processes() - before) and time.monotonic() < until_s:
            time.sleep(0.1)
        more = set(Path("/tmp").iterdir()) - files
        used = free - shutil.disk_usage("/tmp").free
        print(f"left behind: {len(left)} processes, {len(more)} files, {used >> 20} MiB")
        for one in sorted(left):
            print(f"  {one}")
        return int(points != earned or marks[0] != marks[1] or bool(left) or bool(more))


if __name__ == "__main__":
    sys.exit(main())
