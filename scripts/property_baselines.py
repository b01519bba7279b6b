"""Classical baselines of property prediction, for :mod:`property_table`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from rdkit.Chem import rdFingerprintGenerator
from torch import Tensor

from sciar.errors import UsageError
from sciar.records import Molecule, Record

Parts = dict[str, list[Record]]
ALPHAS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def labels(records: Sequence[Record], columns: Sequence[str]) -> np.ndarray:
    """(N, T) labels, NaN where nothing is known."""
    return np.array([[r.properties.get(c, np.nan) for c in columns] for r in records], dtype=float)


def fingerprints(records: Sequence[Record]) -> np.ndarray:
    """(N, 2048) counts of Morgan fingerprints of radius 2."""
    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    rows = []
    for record in records:
        assert isinstance(record.structure, Molecule)
        rows.append(make.GetCountFingerprintAsNumPy(record.structure.mol))
    return np.array(rows, dtype=np.float64)


def ridge(parts: Parts, columns: Sequence[str]) -> np.ndarray:
    """(N test, T) predictions of ridge regression; its strength is chosen on validation data.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import Ridge
    except ImportError as error:
        raise UsageError(
            "the baseline needs scikit-learn: pip install 'sciar[baselines]'"
        ) from error
    x = {part: fingerprints(records) for part, records in parts.items()}
    y = {part: labels(records, columns) for part, records in parts.items()}
    found = np.full((len(x["test"]), len(columns)), np.nan)
    for j in range(len(columns)):
        known = ~np.isnan(y["train"][:, j])
        checked = ~np.isnan(y["val"][:, j])
        mean = y["train"][known, j].mean()
        fits = [Ridge(alpha=a).fit(x["train"][known], y["train"][known, j] - mean) for a in ALPHAS]
        errors = [
            np.abs(f.predict(x["val"][checked]) + mean - y["val"][checked, j]).mean() for f in fits
        ]
        found[:, j] = fits[int(np.argmin(errors))].predict(x["test"]) + mean
    return found


def graph_network(
    parts: Parts, columns: Sequence[str], seed: int, epochs: int, patience: int = 20
) -> np.ndarray:
    """(N test, T) predictions of AttentiveFP (Xiong et al., J. Med. Chem. 63, 8749 (2020)).

    PyTorch Geometric's own model and features; early stopping on validation data.
    """
    from torch_geometric.loader import DataLoader
    from torch_geometric.nn import AttentiveFP
    from torch_geometric.utils import from_smiles

    torch.manual_seed(seed)
    y = {part: torch.tensor(labels(r, columns)).float() for part, r in parts.items()}
    mean = torch.nanmean(y["train"], 0)
    std = torch.sqrt(torch.nanmean((y["train"] - mean) ** 2, 0)).clamp_min(1e-12)
    graphs = {}
    for part, records in parts.items():
        graphs[part] = []
        for record, row in zip(records, y[part], strict=True):
            assert isinstance(record.structure, Molecule)
            graph = from_smiles(record.structure.to_smiles())
            graph.x, graph.edge_attr = graph.x.float(), graph.edge_attr.float()
            graph.y = ((row - mean) / std)[None]
            graphs[part].append(graph)
    model = AttentiveFP(9, 96, len(columns), edge_dim=3, num_layers=3, num_timesteps=2, dropout=0.1)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-5)
    loader = DataLoader(graphs["train"], 64, shuffle=True)

    def predicted(part: str) -> Tensor:
        model.eval()
        with torch.no_grad():
            rows = [
                model(b.x, b.edge_index, b.edge_attr, b.batch)
                for b in DataLoader(graphs[part], 256)
            ]
        return torch.cat(rows) * std + mean

    best, waited, kept = float("inf"), 0, predicted("test")
    for _ in range(epochs):
        model.train()
        for batch in loader:
            out = model(batch.x, batch.edge_index, batch.edge_attr, batch.batch)
            known = ~batch.y.isnan()
            loss = (out - batch.y)[known].abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        error = float(torch.nanmean(((predicted("val") - y["val"]) / std).abs()))
        waited += 1
        if error < best:
            best, waited, kept = error, 0, predicted("test")
        if waited >= patience:
            break
    return kept.numpy().astype(np.float64)
