"""Published figures are offered for their own data set and protocol only."""

from __future__ import annotations

import subprocess
import sys

from sciar.evaluation import published_csp
from sciar.evaluation.published import csp_protocol


def test_rows_of_each_set() -> None:
    perov = {f.model: (f.match_rate, f.rmse) for f in published_csp("perov_5")}
    assert perov == {
        "CDVAE": (45.31, 0.1138),
        "DiffCSP": (52.02, 0.0760),
        "FlowMM": (53.15, 0.0992),
    }
    carbon = {f.model: (f.match_rate, f.rmse) for f in published_csp("carbon_24")}
    assert carbon["Uni-3DAR"] == (31.23, 0.2194) and carbon["UniGenX"] == (27.09, 0.2264)
    assert {f.model for f in published_csp("mp_20")} >= {"DiffCSP", "FlowMM", "UniGenX"}
    for dataset in ("perov_5", "carbon_24", "mp_20", "mpts_52"):
        for figure in published_csp(dataset):
            assert "arXiv" in figure.source and 0 < figure.match_rate < 100 and figure.rmse < 0.5


def test_other_protocols_get_nothing() -> None:
    assert published_csp("mp_20", csp_protocol(20)) == []
    assert published_csp("qm9") == []


def test_importing_the_room_loads_no_chemistry() -> None:
    code = (
        "import sys, sciar.evaluation as e; dir(e); "
        "assert not {'rdkit', 'pymatgen', 'scipy', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
