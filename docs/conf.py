"""How these documents become a site with search: `python -m sphinx -W docs build/site`.

Source of the settings: https://www.sphinx-doc.org/en/master/usage/configuration.html.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "flowlab"
extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"  # light and dark, for the keyboard, nothing fetched from anywhere
html_title = "flowlab"
html_show_copyright = False
html_copy_source = False
html_show_search_summary = False  # it would fetch, which files may not
exclude_patterns = ["collectors"]

_LINK = re.compile(r"^- \[[^\]]*\]\(([^)]+)\.md\)", re.MULTILINE)


def _navigate(app: Sphinx, document: str, source: list[str]) -> None:
    """Make the front page's lists the navigation: there is one place to add a document."""
    if document == app.config.root_doc:
        for section in source[0].split("\n## ")[1:]:
            names = "\n".join(_LINK.findall(section))
            caption = section.partition("\n")[0]
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{names}\n```\n"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", _navigate)
