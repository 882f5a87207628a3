"""Pages and figures as files. Nothing of a page is fetched from anywhere: all it needs is in it."""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
import vl_convert
from markupsafe import Markup

from lab import __version__
from lab.report.page.figures import figures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lab.report.page.facts import Facts

FORMS: Final = ("svg", "png")
_FOLDER: Final = Path(__file__).parent
_SCALE: Final = 2.0
"""Pixels of a PNG per pixel of the chart."""
_COMPLAINTS: Final = 100
CHAIN: Final = (
    ("declared", "the scenario"),
    ("sent", "the traffic programs"),
    ("on the wire", "captured at the switch ports"),
    ("switch", "its own counters"),
    ("exported", "datagrams sent"),
    ("received", "datagrams recorded"),
    ("decoded", "records"),
)


def page(runs: Sequence[Facts]) -> str:
    """One HTML page about some runs."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER), autoescape=True, undefined=jinja2.StrictUndefined
    )
    charts = [figures(facts) for facts in runs]
    return environment.get_template("page.html").render(
        runs=[_shown(facts, number) for number, facts in enumerate(runs)],
        charts=_script([chart for one in charts for chart in one.values()]),
        names=[list(one) for one in charts],
        vega=Markup(vega()),  # noqa: S704 - the library's own code
        chain=CHAIN,
        version=__version__,
    )


def draw(facts: Facts, folder: Path, form: str) -> list[Path]:
    """Each figure of a run as a file of its own.

    Args:
        facts: the run.
        folder: where to.
        form: one of `FORMS`.
    """
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


def _shown(facts: Facts, number: int) -> dict[str, Any]:
    """A run as the template wants it."""
    bad = [check for check in facts.verdict["checks"] if check["verdict"] in ("FAIL", "INVALID")]
    return {
        "number": number,
        "facts": facts,
        "bad": bad[:_COMPLAINTS],
        "more": max(0, len(bad) - _COMPLAINTS),
        "passed": sum(check["verdict"] == "PASS" for check in facts.verdict["checks"])
        + facts.verdict.get("passed_besides", 0),
        "datagrams": _script(facts.datagrams),
        "broken": _broken(facts),
    }


def _broken(facts: Facts) -> set[str]:
    """The witnesses between which something was lost."""
    links = [one["link"] for one in facts.verdict["experiment"]]
    return {end.strip() for link in links for end in link.split("→")}


def _script(value: Any) -> Markup:
    """A value for a script in a page: what would end the script is written otherwise."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - no markup is left in it


def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script; put together once, then kept."""
    name = f"vega-{version('vl-convert-python')}.js"
    for folder in (Path(sys.prefix, "lib", "flowlab"), Path("~/.cache/flowlab").expanduser()):
        kept = folder / name
        if kept.is_file():
            return kept.read_text(encoding="utf-8")
    # Without a snippet of one's own it is all of Vega, though its types say that one is needed.
    bundle: Callable[[], str] = vl_convert.javascript_bundle  # type: ignore[assignment]
    text = bundle().replace("</script", "<\\/script")
    for folder in (Path(sys.prefix, "lib", "flowlab"), Path("~/.cache/flowlab").expanduser()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=folder, delete=False, encoding="utf-8"
            ) as new:
                new.write(text)
            Path(new.name).replace(folder / name)
        except OSError:
            continue
        break
    return text
