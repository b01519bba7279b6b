"""Unit cells: reduction, and the six rotation-free numbers of a lattice slot."""

from __future__ import annotations

import numpy as np

from sciar.errors import RecordError


def to_parameters(lattice: np.ndarray, n_atoms: int) -> np.ndarray:
    """(3, 3) rows in angstrom -> (6,): ln of each length over n^(1/3), angles minus a right angle.

    Angles in radians, in the usual order alpha (b, c), beta (a, c), gamma (a, b).
    """
    lengths = np.linalg.norm(lattice, axis=1)
    unit = lattice / lengths[:, None]
    cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
    angles = np.arccos(np.clip(cosines, -1.0, 1.0))
    return np.concatenate([np.log(lengths) - np.log(n_atoms) / 3.0, angles - np.pi / 2])


def from_parameters(parameters: np.ndarray, n_atoms: int) -> np.ndarray:
    """Inverse of :func:`to_parameters`: a along x, b in the x-y plane, right-handed.

    Raises:
        RecordError: if the angles close no cell or a length is out of range.
    """
    logs, angles = parameters[:3], parameters[3:6] + np.pi / 2
    if not np.isfinite(parameters).all() or np.abs(logs).max() > 10:
        raise RecordError("the sampled cell lengths are out of range", field="lattice")
    a, b, c = np.exp(logs + np.log(n_atoms) / 3.0)
    if not ((angles > 0.05) & (angles < np.pi - 0.05)).all():
        raise RecordError("the sampled cell angles are out of range", field="lattice")
    ca, cb, cg = np.cos(angles)
    sg = np.sin(angles[2])
    cx, cy = cb, (ca - cb * cg) / sg
    height = 1.0 - cx * cx - cy * cy
    if height < 1e-4:
        raise RecordError("the sampled cell angles close no cell", field="lattice")
    return np.array(
        [[a, 0, 0], [b * cg, b * sg, 0], [c * cx, c * cy, c * np.sqrt(height)]], dtype=np.float64
    )


def reduce_cell(lattice: np.ndarray, frac: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Niggli-reduced lattice and the same points in its fractional coordinates."""
    from pymatgen.core import Lattice

    try:
        reduced = Lattice(lattice).get_niggli_reduced_lattice().matrix
    except (ValueError, np.linalg.LinAlgError, RuntimeError) as error:
        raise RecordError(f"the cell cannot be reduced ({error})", field="lattice") from error
    if np.linalg.det(reduced) * np.linalg.det(lattice) < 0:
        reduced = -reduced
    # pymatgen returns the reduced lattice in a rotated frame; the integer change of basis that
    # carries the coordinates over is found by matching metric tensors.
    transform = _basis_change(lattice, reduced)
    return transform @ lattice, frac @ np.linalg.inv(transform)


def _basis_change(lattice: np.ndarray, reduced: np.ndarray) -> np.ndarray:
    """(3, 3) integer matrix T with T @ lattice equal to ``reduced`` up to a rotation."""
    from pymatgen.core import Lattice

    found = Lattice(lattice).find_mapping(Lattice(reduced), ltol=1e-3, atol=0.1)
    if found is None:
        raise RecordError("the cell cannot be reduced", field="lattice")
    return np.rint(found[2])
