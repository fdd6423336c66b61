"""Files with any content: what is right comes out, or one sentence; never another exception."""

from __future__ import annotations

import io
import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save

from stemproof.attacks.broken import AboutBreaks
from stemproof.attacks.stored import Index
from stemproof.core.documents import GateFound, read_document
from stemproof.core.errors import InputError
from stemproof.core.files import read_array, read_json, write_csv
from stemproof.core.influences import said_by
from stemproof.core.tables import read_table
from stemproof.figures.documents import Comparison, ModelFigures, SystemMetrics, Training
from stemproof.protecting.summary import Measured
from stemproof.report.claims import read_claim
from stemproof.report.documents import AuditFigures, Audits, Data, MadeAudit, MadeComparison
from stemproof.report.heard import Clips
from stemproof.separators.checkpoint import load, read_header

FUZZ = settings(
    max_examples=300,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
# The text of a file, or a file that was changed in a few places.
BYTES = st.binary(max_size=200)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def one_sentence(error: InputError, path: Path) -> None:
    said = str(error)
    assert said.startswith(f"{path}: ") and len(said.splitlines()) == 1


def damaged(whole: bytes, places: list[tuple[int, int]], end: int) -> bytes:
    content = bytearray(whole)
    for place, value in places:
        content[place % len(content)] = value
    return bytes(content[: len(content) - end % len(content)])


CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4)
CUT = st.integers(0, 3) | st.integers(0, 10_000)


@FUZZ
@given(content=BYTES | JSON.map(lambda tree: json.dumps(tree).encode()))
def test_json(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    try:
        found = read_json(path)
    except InputError as error:
        one_sentence(error, path)
        return
    # As any other reader understands it: it can be written again without NaN, and is the same.
    assert json.loads(json.dumps(found, allow_nan=False)) == json.loads(content)


@pytest.mark.parametrize(
    "text",
    [
        *('{"a": ' + word + "}" for word in ("NaN", "Infinity", "-Infinity", "1e999", "9" * 5000)),
        *('{"a": 1, "a": 2}', '{"a": ' + "[" * 100_000, "\ufeff{}", "[1]", "3", "null"),
    ],
)
def test_what_is_no_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_json(path)
    one_sentence(error.value, path)


KEYS = [
    "format bs at_bs seeds gate passed checks n_seeds n_tracks informed kind training reference",
    "low high p p_holm difference other_threat counts bsseval data made_with environment epoch",
    "schema_version variant settings clean attacked flags",
    "sealed this files parameters tracks table_sha256 model_sha256 threat reasons attack",
    "black_box minimal_snr l2 linf transfer masks train valid test parts views models medians",
]
TREE = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.floats(-2, 2) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(" ".join(KEYS).split()), inner, max_size=5)
    ),
    max_leaves=20,
)


@FUZZ
@given(tree=TREE)
def test_documents(tmp_path: Path, tree: Any) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(tree))
    of_audits = (AuditFigures, Audits, MadeAudit)
    of_runs = (SystemMetrics, ModelFigures, Comparison, Training, Data, MadeComparison)
    for model in (*of_runs, *of_audits, AboutBreaks, Clips, Index, Measured):
        for read in (read_document, lambda path, model: said_by(path, "it", model)):
            try:
                read(path, model)
            except InputError as error:
                one_sentence(error, path)
    with pytest.raises(InputError) as refused:
        read_claim(path)
    one_sentence(refused.value, path)


def test_parts_are_exact() -> None:
    assert GateFound.model_validate({"passed": True, "checks": [], "more": 1}).passed
    for passed in (1, "true", None):
        with pytest.raises(ValueError):
            GateFound.model_validate({"passed": passed, "checks": []})


def npy() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.arange(6, dtype=np.float32).reshape(2, 3))
    return stream.getvalue()


@FUZZ
@given(changes=CHANGES, cut=CUT)
def test_arrays(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(damaged(npy(), changes, cut))
    try:
        array = read_array(path)
    except InputError as error:
        one_sentence(error, path)
        return
    assert array.dtype == np.float32
    assert array.nbytes <= path.stat().st_size


@pytest.mark.parametrize(
    "shape", [(10**12,), (2**62, 4), (2**63,), (-1,), (10**6, 10**6), (True,), (1.5,), ("x",), 3]
)
def test_an_array_that_claims_what_it_has_not(tmp_path: Path, shape: Any) -> None:
    header = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    header += b" " * (118 - len(header)) + b"\n"
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(24))
    with pytest.raises(InputError) as error:
        read_array(path)
    one_sentence(error.value, path)


@FUZZ
@given(content=BYTES | st.text('0123456789.,"\n;xeE+-naifNA ', max_size=80).map(str.encode))
def test_tables(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    try:
        table = read_table(path)
    except InputError as error:
        one_sentence(error, path)
        return
    assert len(table) > 0
    for name in table.columns.drop("track", errors="ignore"):
        assert all(math.isfinite(value) or math.isnan(value) for value in table[name].astype(float))


@pytest.mark.parametrize("header", ["", ",drop", "track,,drop", "track,"])
def test_a_column_without_a_name_is_refused(tmp_path: Path, header: str) -> None:
    """pandas would call it `Unnamed: 1`, which no file says."""
    path = tmp_path / "x.csv"
    path.write_text(f"{header or chr(34) * 2}\n{','.join('1' for _ in header.split(','))}\n")
    with pytest.raises(InputError, match="a column has no name") as error:
        read_table(path)
    one_sentence(error.value, path)


@FUZZ
@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1),
            st.floats(allow_nan=False, allow_infinity=False, width=32),
        ),
        min_size=1,
    )
)
def test_tables_that_we_write_are_read_back(tmp_path: Path, rows: list[tuple[str, float]]) -> None:
    path = tmp_path / "x.csv"
    write_csv(path, ["track", "drop"], rows)
    table = read_table(path, needs=["track"], filled=["drop"])
    assert table["track"].tolist() == [name for name, _ in rows]
    assert table["drop"].tolist() == pytest.approx([drop for _, drop in rows], rel=1e-8)


STFT = {"window": 128, "hop": 32, "sample_rate": 4000}


def model_file() -> bytes:
    header = {"format": 2, "kind": "stft", "name": "x", "seed": 7, "trained": False}
    text = json.dumps({**header, "settings": STFT})
    return save({"x": torch.zeros(2)}, metadata={"stemproof": text})


@FUZZ
@given(changes=CHANGES, cut=CUT)
def test_model_files(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(damaged(model_file(), changes, cut))
    for read in (read_header, load):
        try:
            read(path)
        except InputError as error:
            one_sentence(error, path)


@pytest.mark.parametrize(
    "about",
    [
        {"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}},
        {"x": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 8]}},
        {"x": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 8]}},
    ],
)
def test_a_model_file_that_claims_what_it_has_not(tmp_path: Path, about: Any) -> None:
    text = json.dumps(about).encode()
    path = tmp_path / "x.safetensors"
    for length in (len(text), 2**40, 2**63):
        path.write_bytes(struct.pack("<Q", length) + text + bytes(8))
        with pytest.raises(InputError) as error:
            load(path)
        one_sentence(error.value, path)
