"""Pages and figures as files. Nothing of a page is fetched from anywhere: all it needs is in it."""

from __future__ import annotations

import json
import sys
import tempfile
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lab.report.page.facts import read
from lab.report.page.figures import figures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.report.page.facts import Facts

FORMS: Final = ("svg", "png")
SCRIPTS: Final = "<!-- scripts -->"
"""Where in page.html they go."""
_POLICY_AT: Final = "<!-- policy -->"
_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data:"
)
_TITLE: Final = "<title>flowlab live</title>"
_FOLDER: Final = Path(__file__).parent
_SCALE: Final = 2.0
"""Pixels of a PNG per pixel of the chart."""


def page(runs: Sequence[Facts]) -> str:
    """One HTML page about some runs: the live page, with what it shows in the end."""
    text = (_FOLDER / "page.html").read_text(encoding="utf-8")
    title = escape(", ".join(facts.name for facts in runs))
    told = _script([_told(facts) for facts in runs])
    program = (_FOLDER / "page.js").read_text(encoding="utf-8")
    scripts = (
        f'<script type="application/json" id="told">{told}</script>',
        f'<script type="module">{vega()}</script>',
        f'<script type="module">{program}</script>',
    )
    for mark, value in (
        (_POLICY_AT, f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        (_TITLE, f"<title>{title} · flowlab</title>"),
        (SCRIPTS, "\n".join(scripts)),
    ):
        before, _, behind = text.partition(mark)
        text = f"{before}{value}{behind}"
    return text


def write(folders: Sequence[Path], to: Path) -> list[Facts]:
    """Write a page about runs that have been judged.

    Args:
        folders: of the runs.
        to: the file.

    Returns:
        What it tells, run by run.

    Raises:
        NotARun: one of the folders is none, or has no verdict yet.
    """
    runs = [read(folder) for folder in folders]
    _put(page(runs), to)
    return runs


def _put(text: str, file: Path) -> None:
    """Write a file that is whole at every moment; everybody may read it."""
    with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as new:
        fresh = Path(new.name)
        try:
            new.write(text)
            new.flush()
            fresh.chmod(0o644)
            fresh.replace(file)
        except OSError:
            fresh.unlink()
            raise


def draw(facts: Facts, folder: Path, form: str) -> list[Path]:
    """Each figure of a run as a file of its own.

    Args:
        facts: the run.
        folder: where to.
        form: one of `FORMS`.
    """
    import vl_convert

    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, chart in figures(facts).items():
        path = folder / f"{name}.{form}"
        if form == "svg":
            path.write_text(vl_convert.vegalite_to_svg(chart), encoding="utf-8")
        else:
            path.write_bytes(vl_convert.vegalite_to_png(chart, scale=_SCALE))
        made.append(path)
    return made


def _told(facts: Facts) -> dict[str, Any]:
    """A run as the page's program wants it."""
    return {
        "run": facts.about,
        "state": facts.state,
        "known": facts.known,
        "datagrams": facts.datagrams,
        "figures": figures(facts),
    }


def _script(value: Any) -> str:
    """A value for a script in a page: what would end the script is written otherwise."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script; put together once, then kept."""
    name = f"vega-{version('vl-convert-python')}.js"
    for folder in (Path(sys.prefix, "lib", "flowlab"), Path("~/.cache/flowlab").expanduser()):
        kept = folder / name
        if kept.is_file():
            return kept.read_text(encoding="utf-8")
    import vl_convert

    # Without a snippet of one's own it is all of Vega, though its types say that one is needed.
    bundle: Callable[[], str] = vl_convert.javascript_bundle  # type: ignore[assignment]
    text = bundle().replace("</script", "<\\/script")
    for folder in (Path(sys.prefix, "lib", "flowlab"), Path("~/.cache/flowlab").expanduser()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _put(text, folder / name)
        except OSError:
            continue
        break
    return text
