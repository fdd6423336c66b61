"""Figures of a whole song from sums over its parts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

TINY = 1e-20


@dataclass
class Sums:
    """Products of a reference, a second stem and an estimate, added up part by part."""

    ss: float = 0.0
    rr: float = 0.0
    ee: float = 0.0
    sr: float = 0.0
    se: float = 0.0
    re: float = 0.0

    def add(self, reference: Tensor, rest: Tensor, estimate: Tensor) -> None:
        """One part more; three signals of one shape."""
        s, r, e = (x.detach().double().flatten() for x in (reference, rest, estimate))
        self.ss += float(torch.dot(s, s))
        self.rr += float(torch.dot(r, r))
        self.ee += float(torch.dot(e, e))
        self.sr += float(torch.dot(s, r))
        self.se += float(torch.dot(s, e))
        self.re += float(torch.dot(r, e))

    @property
    def si_sdr(self) -> float | None:
        """SI-SDR of the estimate (Le Roux et al., 2019, eq. 4) in dB; None where one is silent."""
        if self.ss <= TINY or self.ee <= TINY:
            return None
        target = self.se**2 / self.ss
        wrong = max(self.ee - target, self.ee * 1e-13)  # what double precision can tell
        return 10 * math.log10(max(target, self.ee * 1e-13) / wrong)

    @property
    def leak(self) -> float | None:
        """How loud the rest is heard in the estimate, relative to itself, in dB.

        The estimate is explained by the reference and the rest together, by least squares; 0 dB is
        all of the rest.
        """
        determinant = self.ss * self.rr - self.sr**2
        if determinant <= 1e-9 * self.ss * self.rr or self.rr <= TINY:
            return None
        share = (self.ss * self.re - self.sr * self.se) / determinant
        return 20 * math.log10(max(abs(share), 1e-6))
