"""What was published of transfer: its table is that of its recordings, and the one in the docs."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
from conftest import ROOT

STUDY = ROOT / "results/systems-musdb18-7"
RUNS = {"spleeter": "run", "unmix": "run-unmix"}


def test_the_table_is_that_of_the_recordings() -> None:
    text = (STUDY / "transfer.md").read_text().strip()
    assert text in (ROOT / "docs/results.md").read_text()
    losses = pd.read_csv(STUDY / "run-unmix/transfer.csv")
    header, _, *rows = text.splitlines()
    columns = [cell.strip().removeprefix("crafted on ") for cell in header.split("|")[2:-1]]
    assert columns == ["spleeter", "unmix", "random signs"] and len(rows) == 2
    for row in rows:
        name = row.split("|")[1].split()[0]
        own = losses[losses["played_to"] == name]
        assert len(own) == own["track"].nunique() == 50
        shown = [float(value) for value in re.findall(r"(-?[\d.]+) \[", row)]
        assert shown == [pytest.approx(own[column].median(), abs=0.0051) for column in columns]


@pytest.mark.parametrize("name", RUNS)
def test_on_itself_a_system_loses_what_its_run_says(name: str) -> None:
    """Of Spleeter that is another run of the same attack."""
    losses = pd.read_csv(STUDY / "run-unmix/transfer.csv").set_index("played_to")
    metrics = json.loads((STUDY / RUNS[name] / f"metrics/systems/{name}.json").read_text())
    assert losses.loc[name, name].median() == pytest.approx(metrics["excerpt_drop"], abs=1e-3)
