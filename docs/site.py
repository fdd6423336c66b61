"""For the site that `make site` builds: what is not on it is named, and not linked."""

from __future__ import annotations

import re
from typing import Any

# A link out of docs/, as it leads somewhere in the repository.
OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs calls it for every page, before links are resolved."""
    return OUTSIDE.sub(_named, markdown)


def _named(link: re.Match[str]) -> str:
    words, path = link.groups()
    return words if path in words else f"{words} (`{path}` in the repository)"
