"""The baseline computes what the public reference implementation computes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, default_tree

from stemproof.core.errors import InputError
from stemproof.figures.si_sdr import si_sdr
from stemproof.separators.masks import binary_mask
from stemproof.separators.registry import entry
from stemproof.separators.rsvm.losses import neg_snr, sinkhorn_distance, total_variation
from stemproof.separators.rsvm.model import RSVM, build_model
from stemproof.separators.rsvm.params import RSVMSettings, Sizes
from stemproof.separators.rsvm.published import load_published

ENCODER = {"conv_a1.weight": "conv_a1", "conv_a2.weight": "conv_a2"}
DECODER = {"norm_factor": "norm_factor", "freq_mat": "freq_mat", "phi": "phi"}


@pytest.fixture
def reference() -> dict[str, Any]:
    return dict(np.load(ROOT / "tests/data/rsvm_reference_a.npz"))


@pytest.fixture
def files(reference: dict[str, Any], tmp_path: Path) -> tuple[Path, Path]:
    """A published pair of checkpoints with the reference's weights."""
    paths = tmp_path / "analysis_a.pytorch", tmp_path / "synthesis_a.pytorch"
    for path, keys in zip(paths, (ENCODER, DECODER), strict=True):
        torch.save({key: torch.from_numpy(reference[name]) for key, name in keys.items()}, path)
    return paths


@pytest.fixture
def model(reference: dict[str, Any], files: tuple[Path, Path]) -> RSVM:
    config = json.loads(str(reference["config"]))
    return load_published(
        *files,
        kernel=config["kernel"],
        hop=config["hop"],
        sample_rate=config["sample_rate"],
        segment_seconds=config["segment_s"],
    )


def assert_close(ours: torch.Tensor, theirs: Any) -> None:
    theirs = torch.as_tensor(theirs)
    error = (ours.detach() - theirs).norm() / theirs.norm()
    assert error < 1e-4, float(error)


def test_outputs(reference: dict[str, Any], model: RSVM) -> None:
    vocals, accompaniment = (torch.from_numpy(reference[key]) for key in ("vox", "bkg"))
    coefficients = {
        "coeff_vox": model.encode(vocals),
        "coeff_bkg": model.encode(accompaniment),
        "coeff_mix": model.encode(vocals + accompaniment),
    }
    for key, value in coefficients.items():
        assert value.shape == reference[key].shape
        assert_close(value, reference[key])
    mask = binary_mask(coefficients["coeff_vox"], coefficients["coeff_bkg"])
    assert (mask.numpy() == reference["mask"]).all()
    reconstruction = model.decode(coefficients["coeff_vox"])
    estimate = model.decode(mask * coefficients["coeff_mix"])
    assert_close(reconstruction, reference["rec"])
    assert_close(estimate, reference["est"])
    assert_close(si_sdr(vocals[:1], reconstruction[:1])[0], reference["si_sdr_rec_seg0"])
    assert_close(si_sdr(vocals[:1], estimate[:1])[0], reference["si_sdr_bm_seg0"])


def test_dictionary_in_the_order_of_frequency(reference: dict[str, Any], model: RSVM) -> None:
    order = model.decoder.frequency_order()
    assert_close(model.decoder.dictionary()[order], reference["decoder_dictionary"])


def test_losses_and_gradients(reference: dict[str, Any], model: RSVM) -> None:
    vocals, accompaniment = (torch.from_numpy(reference[key]) for key in ("vox", "bkg"))
    mix = model.encode(vocals + accompaniment)
    distortion = neg_snr(vocals, model.decode(model.encode(vocals)))
    roughness = total_variation(mix)
    assert_close(distortion, reference["neg_snr"])
    assert_close(roughness, reference["tv"])
    assert_close(sinkhorn_distance(mix, p=1, entropy=1.3), reference["sinkhorn_p1_reg1p3"])
    loss = distortion + 0.5 * roughness
    assert_close(loss, reference["loss_tv0p5"])
    loss.backward()
    weights = dict(model.named_parameters())
    for key, name in ENCODER.items():
        assert_close(weights[f"encoder.{key}"].grad, reference[f"grad_{name}"])
    for key, name in DECODER.items():
        assert_close(weights[f"decoder.{key}"].grad, reference[f"grad_{name}"])


def test_parameter_count_of_the_default_size() -> None:
    tree = default_tree()
    _, variant = entry(tree["separators"], "baseline")
    assert isinstance(variant, RSVMSettings)
    model = build_model(Sizes(**tree["rsvm"]["sizes"]), variant, 44_100, 44_100, seed=0)
    assert sum(weight.numel() for weight in model.parameters()) == 6_478_400
    assert model.encode(torch.zeros(1, 44_100)).shape == (1, 800, 173)


def test_published_files_that_are_not(files: tuple[Path, Path], tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"kernel": 64, "hop": 8, "sample_rate": 1000}
    with pytest.raises(InputError, match=r"analysis_a.*conv_a1.weight is .*2048"):
        load_published(*files)
    with pytest.raises(InputError, match="it has no norm_factor"):
        load_published(files[0], files[0], **sizes)
    with pytest.raises(InputError, match="no such file"):
        load_published(tmp_path / "no", files[1], **sizes)
    whole = files[1].read_bytes()
    files[1].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="synthesis_a.*not a plain PyTorch state dict"):
        load_published(*files, **sizes)


class Surprise:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


def test_published_files_cannot_run_code(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"conv_a1.weight": Surprise()}, files[0])
    with pytest.raises(InputError, match="not a plain PyTorch state dict"):
        load_published(*files, kernel=64, hop=8, sample_rate=1000)
    assert "unpickled" not in capsys.readouterr().out


def test_small_models_share_initial_weights(make_params: Callable[..., Any]) -> None:
    params = make_params()

    def weights(name: str) -> dict[str, torch.Tensor]:
        _, variant = entry(params.separators, name)
        assert isinstance(variant, RSVMSettings)
        return build_model(params.rsvm.sizes, variant, 4000, 1000, seed=3).state_dict()

    plain, improved = weights("baseline"), weights("improved")
    assert set(plain) < set(improved)
    assert all(torch.equal(plain[key], improved[key]) for key in plain)
