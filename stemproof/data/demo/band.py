"""The accompaniment: drum kit, bass line, chords and a second instrument."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

Signal = NDArray[np.float64]
HIGHEST_HZ = 16_000.0


@dataclass(frozen=True)
class Score:
    """What the band plays: one chord a bar, as MIDI numbers of root, third and fifth."""

    tempo: float  # beats per minute
    chords: list[tuple[int, int, int]]
    seconds: float

    @property
    def beat(self) -> float:
        """Length of a beat in seconds."""
        return 60 / self.tempo

    def chord_at(self, beat: int) -> tuple[int, int, int]:
        """The chord that sounds at a beat; four beats a bar."""
        return self.chords[(beat // 4) % len(self.chords)]

    def beats(self, division: int = 1) -> range:
        """All beats (or fractions of them) that start before the end."""
        return range(int(self.seconds / self.beat * division))


def to_hz(midi: float) -> float:
    """Equal temperament, A4 = 440 Hz."""
    return float(440 * 2 ** ((midi - 69) / 12))


def add(track: Signal, sound: Signal, second: float, rate: int) -> None:
    """Mix a sound into a track at a time; what runs over the end is cut."""
    start = round(second * rate)
    length = min(len(sound), len(track) - start)
    if length > 0:
        track[start : start + length] += sound[:length]


def drums(score: Score, rate: int, rng: np.random.Generator) -> Signal:
    """Bass drum, snare and hi-hat in eighths."""
    track = np.zeros(round(score.seconds * rate))
    kick, snare, hat = _kick(rate), _snare(rate, rng), _hat(rate, rng)
    syncopated = rng.random(8) < 0.3
    for eighth in score.beats(2):
        second = eighth * score.beat / 2
        place = eighth % 8
        if place in (0, 4) or (syncopated[place] and place != 2):
            add(track, kick, second, rate)
        if place in (2, 6):
            add(track, snare * rng.uniform(0.8, 1.0), second, rate)
        add(track, hat * (1.0 if place % 2 == 0 else 0.6) * rng.uniform(0.8, 1.0), second, rate)
    return track


def bass(score: Score, rate: int, rng: np.random.Generator) -> Signal:
    """Roots and fifths in eighths, saw-like with a falling envelope."""
    track = np.zeros(round(score.seconds * rate))
    for eighth in score.beats(2):
        if rng.random() < 0.25:
            continue
        root, _, fifth = score.chord_at(eighth // 2)
        pitch = (fifth if rng.random() < 0.2 else root) - 24
        note = _harmonic(to_hz(pitch), score.beat / 2 * 1.1, rate, slope=1.2, decay=4)
        add(track, note, eighth * score.beat / 2, rate)
    return track


def chords(score: Score, rate: int, rng: np.random.Generator) -> Signal:
    """Strummed chords and a picked second instrument an octave above."""
    track = np.zeros(round(score.seconds * rate))
    for beat in score.beats():
        chord = score.chord_at(beat)
        if beat % 4 in (0, 2):
            for number, pitch in enumerate(chord):
                tone = _harmonic(to_hz(pitch), score.beat * 2, rate, slope=1.0, decay=1.5)
                add(track, 0.5 * tone, beat * score.beat + 0.012 * number, rate)
        for half in (0, 1):
            if rng.random() < 0.6:
                pitch = chord[rng.integers(3)] + 12
                tone = _harmonic(to_hz(pitch), score.beat, rate, slope=0.8, decay=6)
                add(track, 0.35 * tone, (beat + half / 2) * score.beat, rate)
    return track


def stereo(mono: Signal, pan: float, rng: np.random.Generator, rate: int) -> Signal:
    """Pan (-1 left to 1 right) and widen with a short decorrelated reverberation; frames x 2."""
    angle = (pan + 1) * np.pi / 4
    tail = round(0.25 * rate)
    envelope = np.exp(-np.arange(tail) / rate / 0.06)
    sides = []
    for gain in (np.cos(angle), np.sin(angle)):
        response = rng.standard_normal(tail) * envelope * 0.01
        response[0] = 1.0
        spectrum = np.fft.rfft(mono, len(mono) + tail) * np.fft.rfft(response, len(mono) + tail)
        sides.append(gain * np.fft.irfft(spectrum, len(mono) + tail)[: len(mono)])
    return np.stack(sides, axis=1)


def _harmonic(hz: float, seconds: float, rate: int, slope: float, decay: float) -> Signal:
    """A decaying tone with partials up to 16 kHz; partial n is n**-slope as loud."""
    time = np.arange(round(seconds * rate)) / rate
    tone = np.zeros_like(time)
    for partial in range(1, int(HIGHEST_HZ / hz) + 1):
        if partial > 60:
            break
        # Higher partials die sooner, as on a string.
        envelope = np.exp(-time * decay * (1 + 0.15 * partial))
        tone += partial**-slope * envelope * np.sin(2 * np.pi * hz * partial * time + partial)
    attack = np.minimum(1, time / 0.004)
    release = np.minimum(1, (time[-1] - time) / 0.01)
    return tone * attack * release


def _kick(rate: int) -> Signal:
    time = np.arange(round(0.25 * rate)) / rate
    phase = 2 * np.pi * (50 * time + 90 * 0.03 * (1 - np.exp(-time / 0.03)))
    click = np.exp(-time / 0.002) * np.sin(2 * np.pi * 3000 * time)
    return np.sin(phase) * np.exp(-time / 0.09) * 1.4 + 0.3 * click


def _snare(rate: int, rng: np.random.Generator) -> Signal:
    time = np.arange(round(0.2 * rate)) / rate
    noise = rng.standard_normal(len(time)) * np.exp(-time / 0.06)
    body = np.sin(2 * np.pi * 190 * time) * np.exp(-time / 0.05)
    return 0.45 * noise + 0.5 * body


def _hat(rate: int, rng: np.random.Generator) -> Signal:
    time = np.arange(round(0.08 * rate)) / rate
    band = butter(2, [7000, HIGHEST_HZ], "bandpass", fs=rate, output="sos")
    noise = sosfilt(band, rng.standard_normal(len(time)))
    return np.asarray(0.5 * noise * np.exp(-time / 0.02))
