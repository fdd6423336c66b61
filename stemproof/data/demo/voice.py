"""A sung voice: glottal source, moving formants, consonant noise, vibrato, portamento, breath."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

Signal = NDArray[np.float64]

# Formant frequencies in Hz of five vowels, adult male (Peterson & Barney, 1952, rounded; the
# fourth and fifth are typical of singing). Bandwidths in Hz are common to all.
VOWELS = {
    "a": (730, 1090, 2440, 3300, 4200),
    "e": (530, 1840, 2480, 3400, 4300),
    "i": (270, 2290, 3010, 3600, 4500),
    "o": (570, 840, 2410, 3200, 4100),
    "u": (300, 870, 2240, 3100, 4000),
}
BANDWIDTHS = (80, 100, 140, 220, 300)
BLOCK = 256  # samples between updates of the vocal tract


@dataclass(frozen=True)
class Note:
    """A sung note: start and length in seconds, pitch in MIDI numbers, a vowel."""

    start: float
    length: float
    pitch: float
    vowel: str


@dataclass(frozen=True)
class Singer:
    """What makes voices differ."""

    tract: float  # factor on the formants, 1 for the table's voice
    vibrato_rate: float  # Hz
    vibrato_depth: float  # semitones
    breath: float  # level of the breath noise


def sing(
    notes: list[Note], singer: Singer, seconds: float, rate: int, rng: np.random.Generator
) -> Signal:
    """Render notes as a mono waveform of ``seconds`` at ``rate`` Hz."""
    samples = round(seconds * rate)
    time = np.arange(samples) / rate
    pitch, loudness = _melody(notes, samples, rate)
    vibrato = singer.vibrato_depth * np.sin(2 * np.pi * singer.vibrato_rate * time)
    jitter = _smooth(rng.standard_normal(samples), 30, rate) * 0.6
    frequency = 440 * 2 ** ((pitch + vibrato + jitter - 69) / 12)
    source = _glottal(frequency, rate)
    breath = rng.standard_normal(samples) * singer.breath * (0.4 + 0.6 * (source > 0))
    voiced = _tract((source + breath) * loudness, notes, singer, rate)
    return voiced + _consonants(notes, samples, rate, rng)


def _melody(notes: list[Note], samples: int, rate: int) -> tuple[Signal, Signal]:
    """Pitch with portamento, and loudness with soft on- and offsets, per sample."""
    pitch = np.full(samples, notes[0].pitch, dtype=np.float64)
    loudness = np.zeros(samples)
    for note in notes:
        first, last = round(note.start * rate), round((note.start + note.length) * rate)
        pitch[first:] = note.pitch
        loudness[first:last] = 1
    return _smooth(pitch, 7, rate, pitch[0]), np.clip(_smooth(loudness, 12, rate), 0, 1)


def _smooth(signal: Signal, cutoff: float, rate: int, initial: float = 0.0) -> Signal:
    """First-order low-pass."""
    pole = np.exp(-2 * np.pi * cutoff / rate)
    smoothed, _ = lfilter([1 - pole], [1, -pole], signal, zi=[pole * initial])
    return np.asarray(smoothed)


def _glottal(frequency: Signal, rate: int) -> Signal:
    """Derivative of a glottal flow: a slow opening and an abrupt closure (Rosenberg, 1971)."""
    phase = np.cumsum(frequency / rate) % 1.0
    opening, closing = 0.4, 0.16
    flow = np.where(
        phase < opening,
        0.5 * (1 - np.cos(np.pi * phase / opening)),
        np.where(phase < opening + closing, np.cos(0.5 * np.pi * (phase - opening) / closing), 0.0),
    )
    return np.diff(flow, prepend=0.0) * rate / 2000


def _tract(source: Signal, notes: list[Note], singer: Singer, rate: int) -> Signal:
    """Five formant resonators in parallel whose frequencies glide from vowel to vowel."""
    targets = np.array([VOWELS[notes[0].vowel]] * len(source[::BLOCK]), dtype=np.float64)
    for note in notes:
        targets[round(note.start * rate / BLOCK) :] = VOWELS[note.vowel]
    glide = np.exp(-BLOCK / rate / 0.03)  # the tongue needs some 30 ms
    formants, _ = lfilter([1 - glide], [1, -glide], targets, axis=0, zi=glide * targets[:1])
    output = np.zeros_like(source)
    for number, (bandwidth, gain) in enumerate(
        zip(BANDWIDTHS, (1.0, 0.7, 0.45, 0.35, 0.25), strict=True)
    ):
        state = np.zeros(2)
        radius = np.exp(-np.pi * bandwidth / rate)
        for block, start in enumerate(range(0, len(source), BLOCK)):
            angle = 2 * np.pi * min(formants[block, number] * singer.tract, 0.45 * rate) / rate
            poles = [1, -2 * radius * np.cos(angle), radius**2]
            zeros = [gain * (1 - radius), 0, -gain * (1 - radius)]
            piece, state = lfilter(zeros, poles, source[start : start + BLOCK], zi=state)
            output[start : start + BLOCK] += piece
    # What radiates past the resonances: voices have energy beyond 10 kHz.
    air = sosfilt(butter(2, 5000, "highpass", fs=rate, output="sos"), source)
    return output + 0.02 * air


def _consonants(notes: list[Note], samples: int, rate: int, rng: np.random.Generator) -> Signal:
    """A burst of fricative noise before most notes."""
    output = np.zeros(samples)
    for note in notes:
        if rng.random() < 0.3:
            continue
        length = round(rng.uniform(0.05, 0.11) * rate)
        start = max(0, round(note.start * rate) - length // 2)
        length = min(length, samples - start)
        low = rng.choice([2500, 4500, 6000])
        band = butter(2, [low, 16_000], "bandpass", fs=rate, output="sos")
        burst = sosfilt(band, rng.standard_normal(length)) * np.hanning(length)
        output[start : start + length] += 0.12 * burst
    return output
