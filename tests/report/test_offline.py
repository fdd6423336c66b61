"""DVC's page of plots with its drawing code inside."""

from __future__ import annotations

from pathlib import Path

import pytest
from dvc_render import VegaRenderer
from dvc_render.html import render_html

from stemproof.core.errors import InputError
from stemproof.report.offline import template


def test_a_page_of_dvc_loads_nothing(tmp_path: Path) -> None:
    codes = [tmp_path / name for name in ("vega.js", "lite.js", "embed.js")]
    for number, code in enumerate(codes):
        code.write_text(f"let one{number} = {{a: '{{b}}'}};")
    page = tmp_path / "template.html"
    page.write_text(template(codes))
    points = [{"x": 1, "y": 2, "rev": "workspace"}]
    plot = VegaRenderer(points, "plot", template="simple", x="x", y="y")
    render_html([plot], tmp_path / "made.html", page)
    made = (tmp_path / "made.html").read_text()
    assert "src=" not in made and "link" not in made
    assert made.index("one0") < made.index("one1") < made.index("one2") < made.index("vegaEmbed")
    assert "let one0 = {a: '{b}'};" in made
    # What DVC writes by itself does load something.
    render_html([plot], tmp_path / "other.html", None)
    assert "src=" in (tmp_path / "other.html").read_text()


def test_files_that_make_no_page(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.js: no such file; name the drawing code"):
        template([tmp_path / "gone.js"])
    (tmp_path / "ends.js").write_text("'</script>'")
    with pytest.raises(InputError, match=r"ends\.js: it cannot stand in a page"):
        template([tmp_path / "ends.js"])
