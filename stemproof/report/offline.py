"""A page for ``dvc plots show`` that needs no net: a template with its drawing code inside."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from stemproof.core.errors import InputError
from stemproof.core.files import opened, write_text

# `{plot_divs}` is DVC's; it leaves out its own links to drawing code where `{scripts}` is not.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Plots</title>
{code}
</head>
<body>
{{plot_divs}}
</body>
</html>
"""


def template(scripts: Sequence[Path]) -> str:
    """The template: ``dvc plots show --html-template FILE``.

    Args:
        scripts: Vega, Vega-Lite and Vega-Embed, in this order.

    Raises:
        InputError: a file is missing, or would end its own element.
    """
    parts = []
    for script in scripts:
        with opened(script, "no such file; name the drawing code's .js files") as stream:
            code = stream.read().decode()
        if "</script" in code:
            raise InputError(f"{script}: it cannot stand in a page; name the .min.js file")
        parts.append(f"<script>\n{code}\n</script>")
    return PAGE.format(code="\n".join(parts))


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), template([Path(name) for name in sys.argv[2:]]))
