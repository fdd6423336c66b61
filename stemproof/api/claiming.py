"""The fifth call: one document."""

from __future__ import annotations

import torch

from stemproof import __version__
from stemproof.api.auditing import Audit
from stemproof.api.document import LocalClaim, local_figures
from stemproof.api.scoring import Scores
from stemproof.core.errors import InputError
from stemproof.core.machine import RuntimeParams
from stemproof.core.params import validate
from stemproof.core.runtime import describe_environment
from stemproof.data.params import SegmentParams
from stemproof.figures.collapse import COUNTS
from stemproof.report.claims import FlagState
from stemproof.report.words import threat_in_words
from stemproof.separators.protocol import Informed


def claim(
    scores: Scores, audited: Audit, *, system: str, git_commit: str | None = None
) -> LocalClaim:
    """One document that stands by itself: threat model, figures, flags, hashes, and what lacks.

    Nothing is made up: recordings are named by the SHA-256 of their samples, a commit only where
    it is given, intervals only over two tracks or more, and what a run of the pipeline would have
    measured beside is listed.

    Args:
        scores: what :func:`score` gave.
        audited: what :func:`audit` gave for the same system, recordings and attack.
        system: a name for it.
        git_commit: of the code around, 40 hexadecimal digits.

    Returns:
        A frozen Pydantic model: ``.model_dump_json(indent=2)`` is the document.

    Raises:
        InputError: figures and audit are of another system, other recordings or another attack; it
            is not known which attack made the adversarial mixtures; a name is missing, or the
            commit is none.

    >>> import torch, stemproof
    >>> system = stemproof.load(lambda mixture: mixture.tanh(), sample_rate=8000, channels=1)
    >>> vocals = 0.1 * torch.sin(torch.arange(200) / 9)[None, None]
    >>> mixture = vocals + 0.05 * torch.cos(torch.arange(200) / 4)
    >>> found = stemproof.attack(system, mixture, vocals, pgd={"steps": 4})
    >>> scores = stemproof.score(system, mixture, vocals, found)
    >>> little = dict(steps=[1], queries=5, noise_draws=1, minimal_drops=[1], universal_epochs=1)
    >>> audited = stemproof.audit(system, mixture, vocals, found.params, **little)
    audit system-0: excerpts: 1
    >>> made = stemproof.claim(scores, audited, system="tanh")
    >>> made.flags_raised, made.git_commit, made.attacked["rb"].low
    (3, None, None)
    >>> made.not_measured[-1]
    'intervals: there is a single track'
    """
    if scores.params is None:
        raise InputError("a claim names the attack; score what `attack` gave, or give its params")
    for same, what in (
        (scores._system is audited._system, "another system"),
        (scores.data.sha256 == audited._sha256, "other recordings"),
        (scores.params == audited.params, "another attack"),
    ):
        if not same:
            raise InputError(f"the audit is of {what} than the figures; audit what was scored")
    params, data = scores.params, scores.data
    if scores.summary["budget_used"] > 1:
        raise InputError(
            f"the adversarial mixtures use {scores.summary['budget_used']:.3g} times the budget; a "
            "claim is of an attack that keeps it"
        )
    missing = [
        *audited.not_measured,
        "training seeds: one model, so intervals say nothing about the luck of training",
        "an oracle, BSSEval, and a comparison with a reference system",
    ]
    intervals = data.tracks > 1
    if not intervals:
        missing.append("intervals: there is a single track")
    cuda = scores._device == "cuda"
    runtime = RuntimeParams(
        accelerator="cuda" if cuda else "cpu",
        precision="tf32" if cuda and torch.backends.cuda.matmul.allow_tf32 else "32-true",
        threads=torch.get_num_threads(),
    )
    # Longer than a segment of the pipeline may be.
    cut = SegmentParams.model_construct(seconds=data.samples / data.sample_rate)
    # Here nothing is cut, whatever the section says of recordings on disk.
    whole = params.model_copy(update={"excerpt": None})
    content = {
        "system": system,
        "threat_model": threat_in_words(whole, cut, isinstance(scores._system, Informed)),
        "attack": params.model_dump(mode="json"),
        "evaluate": {"noise_draws": scores.evaluate.noise_draws, "seed": scores.evaluate.seed},
        "statistics": scores.statistics.model_dump(mode="json"),
        "audit": audited.settings.model_dump(mode="json"),
        "audited_attack": audited.attack,
        "eps": params.eps if params.has_eps else None,
        "budget_used": scores.summary["budget_used"],
        "perturbation_snr": scores.summary["perturbation_snr"],
        "clean": local_figures("clean", scores.summary),
        "attacked": local_figures("attacked", scores.summary),
        "collapsed": {key: scores.summary[key] for key in COUNTS},
        "confidence": scores.statistics.confidence if intervals else None,
        "flags": [
            FlagState(name=flag.name, raised=flag.raised, reason=flag.reason)
            for flag in audited.flags
        ],
        "flags_raised": len(audited.raised),
        "not_measured": missing,
        "data": data,
        "version": __version__,
        "git_commit": git_commit,
        "environment": describe_environment(runtime),
    }
    return validate(LocalClaim, content, "claim")
