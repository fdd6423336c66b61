"""What was published of protection: its medians are those of its songs."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from stemproof.core.files import read_json
from stemproof.figures.params import StatisticsParams
from stemproof.protecting.section import ProtectSection
from stemproof.protecting.summary import summarized
from stemproof.report.protection_tables import STUDY, TRANSFERS, read_measured

DOCUMENTS = sorted(file for part in (STUDY, TRANSFERS) for file in (ROOT / part).glob("*.json"))


def test_there_are_documents() -> None:
    assert {"masking-3", "masking-10", "masking-20", "snr-26", "snr-35"} <= {
        file.stem for file in DOCUMENTS
    }
    assert {"spleeter", "unmix", "both"} <= {file.stem for file in (ROOT / TRANSFERS).glob("*")}


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.stem)
def test_medians_are_those_of_the_songs(file: Path) -> None:
    content, found = read_json(file), read_measured(file)
    statistics = StatisticsParams.model_validate(content["parameters"]["statistics"])
    params = ProtectSection.model_validate(content["params"])
    aims = [found.system, *(name for name in params.ensemble if name != found.system)]
    assert summarized(content["tracks"], aims, statistics) == found.medians
    assert found.budget == params.words
    assert found.n_tracks == len({row["track"] for row in content["tracks"]})
    # The budget is kept by every song.
    if params.budget == "snr":
        assert all(row["costs"]["snr"] >= params.size for row in content["tracks"])
    # Nobody learned from a song that he is tried on.
    assert not {row["track"] for row in content["tracks"]} & set(content["taught"])
