"""Powder X-ray diffraction: patterns of crystals, and patterns as numbers on a fixed grid.

Peaks are computed by pymatgen's ``XRDCalculator``. On the grid a pattern is the square root of the
intensity relative to its highest value, which lifts weak peaks. Augmentation imitates an
experiment: broader peaks, a zero shift of the angle, uneven intensities (texture) and noise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d, white_tophat
from scipy.special import erf

from sciar.errors import RecordError, UsageError
from sciar.records import Crystal, PowderPattern

if TYPE_CHECKING:
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

CU_K_ALPHA = 1.54184
"""Wavelength of copper K-alpha in angstrom, the weighted mean of both lines."""
_SIGMA = 1 / (2 * np.sqrt(2 * np.log(2)))
"""Standard deviation of a Gaussian of full width one at half maximum."""
_BACKGROUND = 6.0
"""Degrees: what is broader than this in a measured profile is background."""


@dataclass(frozen=True)
class PatternGrid:
    """Where and how a pattern is read.

    Attributes:
        start: first angle (2-theta, degrees).
        stop: last angle.
        points: numbers on the grid.
        wavelength: in angstrom; patterns of other radiation are converted.
        fwhm: full width of a peak at half maximum, degrees.
        broadening: peaks of an augmented pattern are up to so much broader, degrees.
        shift: standard deviation of the zero shift, degrees.
        texture: standard deviation of the logarithm of each peak's intensity.
        noise: largest standard deviation of the noise, as a share of the highest point.
    """

    start: float = 5.0
    stop: float = 90.0
    points: int = 512
    wavelength: float = CU_K_ALPHA
    fwhm: float = 0.3
    broadening: float = 0.5
    shift: float = 0.05
    texture: float = 0.1
    noise: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= 180 or self.points < 2:
            raise UsageError(
                f"a grid from {self.start} to {self.stop} degrees of {self.points} points is none"
            )
        if self.fwhm <= 0 or min(self.broadening, self.shift, self.texture, self.noise) < 0:
            raise UsageError("widths of peaks are above zero, augmentations not below")

    def to_dict(self) -> dict[str, Any]:
        """Plain form."""
        return asdict(self)

    @property
    def angles(self) -> np.ndarray:
        """(points,) centres of the cells of the grid, degrees."""
        return self.start + (np.arange(self.points) + 0.5) * self.step

    @property
    def step(self) -> float:
        """Width of a cell, degrees."""
        return (self.stop - self.start) / self.points

    def profile(
        self, peaks: PowderPattern, augment: np.random.Generator | None = None
    ) -> np.ndarray:
        """(points,) numbers in [0, 1] of a list of peaks.

        Args:
            peaks: of the grid's wavelength.
            augment: draws width, shift, texture and noise; without, the pattern is clean.
        """
        angles, counts, width = peaks.two_theta, peaks.intensity, self.fwhm
        if augment is not None:
            width += self.broadening * augment.random()
            angles = angles + self.shift * augment.standard_normal()
            counts = counts * np.exp(self.texture * augment.standard_normal(len(counts)))
        edges = self.start + np.arange(self.points + 1) * self.step
        # Peaks are integrated over the cells, so that none is lost between two points.
        reach = (edges[:, None] - angles) / (width * _SIGMA * np.sqrt(2))
        values = (0.5 * np.diff(erf(reach), axis=0)) @ counts
        if augment is not None:
            level = self.noise * augment.random() * max(float(values.max()), 1e-12)
            values = values + level * augment.standard_normal(self.points)
        return _relative(values)

    def measured(self, pattern: PowderPattern) -> np.ndarray:
        """(points,) numbers in [0, 1] of a pattern as a file holds it; background is taken off.

        Raises:
            RecordError: less than half of the grid's range was measured, or nothing rises above
                the background.
        """
        pattern = self._converted(pattern)
        if pattern.peaks:
            inside = (pattern.two_theta >= self.start) & (pattern.two_theta <= self.stop)
            if not inside.any():
                raise self._range(pattern)
            return self.profile(pattern)
        angles, counts = pattern.two_theta, pattern.intensity
        low, high = max(angles[0], self.start), min(angles[-1], self.stop)
        if high - low < 0.5 * (self.stop - self.start):
            raise self._range(pattern)
        fine = np.arange(angles[0], angles[-1], min(self.step / 4, 0.02))
        even = np.interp(fine, angles, counts)
        spacing = fine[1] - fine[0]
        even = white_tophat(even, size=max(3, round(_BACKGROUND / spacing)))
        even = gaussian_filter1d(even, self.fwhm * _SIGMA / spacing)
        values = np.interp(self.angles, fine, even, left=0.0, right=0.0)
        if values.max() <= 0:
            raise RecordError("nothing rises above the background", field="intensity")
        return _relative(values)

    def agreement(self, pattern: PowderPattern, peaks: PowderPattern) -> float:
        """Pearson correlation of a measured pattern and that of a crystal, where it was measured.

        Both are read as a model reads them; 1 is a perfect match, 0 none.

        Args:
            pattern: as a file holds it.
            peaks: of the crystal, see :func:`peaks_of`.

        Raises:
            RecordError: as :meth:`measured`.
        """
        known = self._converted(pattern).two_theta
        low, high = (self.start, self.stop) if pattern.peaks else (known[0], known[-1])
        seen = (self.angles >= low) & (self.angles <= high)
        one, two = self.measured(pattern)[seen], self.profile(peaks)[seen]
        if min(one.std(), two.std()) == 0:
            return 0.0
        return float(np.corrcoef(one, two)[0, 1])

    def _converted(self, pattern: PowderPattern) -> PowderPattern:
        """At the grid's wavelength, by Bragg's law."""
        if pattern.wavelength is None or abs(pattern.wavelength - self.wavelength) < 1e-3:
            return pattern
        sine = np.sin(np.radians(pattern.two_theta / 2)) * self.wavelength / pattern.wavelength
        seen = sine <= 1
        if not seen.any():
            raise self._range(pattern)
        angles = 2 * np.degrees(np.arcsin(sine[seen]))
        counts = pattern.intensity[seen]
        return PowderPattern(pattern.id, angles, counts, self.wavelength, pattern.peaks)

    def _range(self, pattern: PowderPattern) -> RecordError:
        angles = pattern.two_theta
        return RecordError(
            f"the pattern runs from {angles[0]:g} to {angles[-1]:g} degrees; this model reads "
            f"2-theta from {self.start:g} to {self.stop:g} degrees at {self.wavelength:g} "
            "angstrom, and half of it must be there",
            field="two_theta",
        )


def peaks_of(crystal: Crystal, grid: PatternGrid) -> PowderPattern:
    """Peaks of a crystal within the grid's range and a little beyond.

    Raises:
        RecordError: pymatgen knows no scattering of an element, or no peak lies in the range.
    """
    lattice, frac = crystal.lattice.tobytes(), crystal.frac.tobytes()
    return _peaks(lattice, crystal.species, frac, grid)


@lru_cache(maxsize=1 << 16)
def _peaks(
    lattice: bytes, species: tuple[str, ...], frac: bytes, grid: PatternGrid
) -> PowderPattern:
    # Statistics, fingerprints and encodings all ask for the peaks of a crystal, which cost most.
    crystal = Crystal(np.frombuffer(lattice).reshape(3, 3), species, np.frombuffer(frac))
    margin = 3 * (grid.fwhm + grid.broadening)
    try:
        found = _calculator(grid.wavelength).get_pattern(
            crystal.to_pymatgen(),
            two_theta_range=(max(grid.start - margin, 0.1), min(grid.stop + margin, 179.9)),
        )
    except (KeyError, ValueError) as error:
        raise RecordError(f"no diffraction pattern can be computed ({error})") from error
    inside = (np.array(found.x) >= grid.start) & (np.array(found.x) <= grid.stop)
    if not inside.any():
        raise RecordError(f"no peak lies between {grid.start:g} and {grid.stop:g} degrees")
    return PowderPattern("computed", found.x, found.y, grid.wavelength, peaks=True)


@lru_cache(maxsize=8)
def _calculator(wavelength: float) -> XRDCalculator:
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    return XRDCalculator(wavelength=wavelength)


def _relative(values: np.ndarray) -> np.ndarray:
    """Square root of the values relative to the highest; what is below zero is zero."""
    return np.sqrt(np.clip(values / max(float(values.max()), 1e-12), 0.0, None))
