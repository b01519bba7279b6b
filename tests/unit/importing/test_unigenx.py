"""Import of UniGenX checkpoints: released layouts, the original's numbers, what is refused."""

from __future__ import annotations

import argparse
import enum
import json
import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from unigenx_original import (
    State,
    ddpm,
    dpm,
    head,
    hidden_states,
    random_state,
    write_checkpoint,
)

import sciar
from sciar.cli import main
from sciar.errors import ModelError, UsageError
from sciar.folder import load_folder
from sciar.heads.base import SamplerSettings
from sciar.importing.exporting import export_folder
from sciar.importing.unigenx import KNOWN, TARGETS, fingerprint_of, import_unigenx
from sciar.nn.streams import derive, normal, sample_keys
from sciar.tokenization.compat_dictionaries import BUILT_IN
from sciar.tokenization.packing import pack
from sciar.tokenization.sequence import ARRAYS, TokenSequence

HEADS = 4
SHARED = Path(__file__).parents[4] / "shared" / "data" / "unigenx_dictionaries"
SIZES = {"mat": 355, "cond_mat": 355, "qm9": 27, "drugs": 38, "cond_mol": 34, "uni": 193,
         "prot": 28, "dock": 126, "ecnum": 64}  # fmt: skip
SECTIONS = ["PROT", "LIG", "LIG_COORDS", "PROT_APO_COORDS", "PROT_HOLO_COORDS"]
STAND_INS = {
    "dock": [*(f"<{s}_{end}>" for s in SECTIONS for end in ("START", "END")), *"CNOS"],
    "ecnum": [*"ARNDCQEGHILKMFPSTWYVX", "<ec1>", "<ec2>", "<ec3>", "<prot>", *"123"],
}
"""What layouts need of dictionaries that are not built in, where the real ones are not at hand."""


def lines_of(name: str) -> list[str]:
    """A dictionary: built in, of the shared data, or a stand-in of the right size."""
    if name in BUILT_IN:
        return BUILT_IN[name]()
    file = SHARED / f"dict_{name}.txt"
    if file.is_file():
        return [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
    made = STAND_INS[name]
    return [*made, *(f"<filler{i}>" for i in range(SIZES[name] - 7 - len(made)))]


def dictionary(folder: Path, name: str) -> Path:
    path = folder / f"dict_{name}.txt"
    path.write_text("\n".join(lines_of(name)) + "\n")
    return path


def imported(folder: Path, state: State, name: str, **args: Any) -> Path:
    args = {"num_attention_heads": HEADS, **args}
    checkpoint = write_checkpoint(folder / "ckpt.pt", state, **args)
    import_unigenx(checkpoint, dictionary(folder, name), folder / "model")
    return folder / "model"


def sequence(ids: list[int], mask: list[bool], rows: torch.Tensor) -> TokenSequence:
    """Tokens with rows in the slots."""
    n = len(ids)
    values = np.zeros((n, 3), dtype=np.float32)
    values[np.array(mask)] = rows.numpy()
    empty = {name: np.zeros((n, 0), dtype=dtype) for name, dtype in ARRAYS.items()}
    return TokenSequence(
        **{
            **empty,
            "ids": np.array(ids, dtype=np.int32),
            "kinds": np.array(mask, dtype=np.int8),
            "values": values,
            "weights": np.ones(n, dtype=np.float32),
            "labels": np.full(n, -1, dtype=np.int32),
            "anchors": np.full(n, -1, dtype=np.int16),
        }
    )


@pytest.mark.filterwarnings("ignore:.*none of the released dictionaries")
@pytest.mark.parametrize(
    ("target", "name"), [(t, d) for t, names in TARGETS.items() for d in names]
)
def test_every_released_layout_gives_the_original_logits(
    target: str, name: str, tmp_path: Path
) -> None:
    state = random_state(SIZES[name])
    loaded = load_folder(imported(tmp_path, state, name, target=target))
    model, vocabulary = loaded.model, loaded.tokenizer.vocabulary
    assert len(vocabulary) == SIZES[name] and vocabulary.names[:4] == (
        "<pad>",
        "<bos>",
        "<eos>",
        "<unk>",
    )
    rng = np.random.default_rng(0)
    slot = vocabulary.id("<mask>")
    mask = [False, *(bool(x) for x in rng.random(13) < 0.4)]
    ids = [slot if m else int(rng.integers(1, SIZES[name] - 3)) for m in mask]
    rows = torch.randn(sum(mask), 3)
    wanted = hidden_states(state, torch.tensor(ids), torch.tensor(mask), rows, HEADS)
    with torch.no_grad():
        found, _ = model(pack([sequence(ids, mask, rows)]))
        logits = model.words(found)
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(logits, wanted @ state["net.lm_head.weight"].T, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("outputs", [3, 6])
def test_trajectories_are_those_of_the_original(outputs: int, tmp_path: Path) -> None:
    state = random_state(27, outputs=outputs)
    # A tame head: an untrained one multiplies its error with each of the 200 steps.
    for key in (k for k in state if "final_layer.linear" in k):
        state[key] = 0.05 * state[key]
    loaded = load_folder(imported(tmp_path, state, "qm9", target="mol"))
    layer = loaded.model.head(1)
    condition, keys = torch.randn(4, 32), sample_keys(3, torch.arange(4))
    x, t = torch.randn(4, 3), torch.tensor([0.0, 7, 500, 999])
    with torch.no_grad():
        net = layer.net  # type: ignore[union-attr]
        found = net(x, t, net.condition(condition))  # type: ignore[operator,union-attr]
        torch.testing.assert_close(found, head(state, x, t, condition), atol=1e-5, rtol=1e-4)
        start = normal(keys, 3)
        noises = {i: normal(derive(keys, i), 3) for i in range(200)}
        wanted = ddpm(state, condition, start, noises, 200).float()
        made = layer.sample(condition, keys, SamplerSettings(steps=200, method="ddpm"))
        torch.testing.assert_close(made, wanted, atol=2e-3 * float(wanted.abs().max()), rtol=0)
        wanted = dpm(state, condition, start).float()
        made = layer.sample(condition, keys, SamplerSettings(method="dpm-respaced"))
        torch.testing.assert_close(made, wanted, atol=1e-3 * float(wanted.abs().max()), rtol=0)


@pytest.mark.parametrize("container", ["model", "module", ""])
@pytest.mark.parametrize("prefix", ["", "net.", "module.net."])
def test_containers_and_prefixes(container: str, prefix: str, tmp_path: Path) -> None:
    state = random_state(27, prefix=prefix)
    path = tmp_path / "c.pt"
    if container:
        write_checkpoint(path, state, container, target="mol", num_attention_heads=HEADS)
    else:
        torch.save(state, path)
    facts = import_unigenx(
        path, dictionary(tmp_path, "qm9"), tmp_path / "m", target="mol", heads=HEADS
    )
    assert facts["coordinate_layers"] == ["coords.first", "coords.second"]
    token = load_folder(tmp_path / "m").model.embedding.token.weight
    torch.testing.assert_close(token, state[f"{prefix}model.embed_tokens.weight"])


def test_reorder_and_scale_come_along(tmp_path: Path) -> None:
    state = random_state(361)
    made = imported(tmp_path, state, "mat", target="material", scale_coords=2.0)
    tokenizer = load_folder(made).tokenizer
    assert tokenizer.config()["reorder"] and tokenizer.config()["scale"] == 2.0


def test_settings_of_the_original_are_plain_fields(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes of its package are not needed, and not made."""
    module = types.ModuleType("unigenx.pipeline.accelerator.dataclasses")

    class Mode(enum.Enum):
        DDP = "ddp"

    class Settings:
        def __init__(self) -> None:
            self.target, self.mode, self.num_attention_heads = "mol", Mode.DDP, HEADS
            self.sizes, self.other = [1, 2], {"not": "kept"}

    for cls in (Mode, Settings):
        cls.__module__, cls.__qualname__ = module.__name__, cls.__name__
        setattr(module, cls.__name__, cls)
    monkeypatch.setitem(sys.modules, "unigenx", types.ModuleType("unigenx"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    torch.save({"model": random_state(27), "args": Settings()}, tmp_path / "c.pt")
    monkeypatch.delitem(sys.modules, module.__name__)
    facts = import_unigenx(tmp_path / "c.pt", dictionary(tmp_path, "qm9"), tmp_path / "m")
    assert facts["settings"] == {
        "target": "mol", "mode": "ddp", "num_attention_heads": HEADS, "sizes": [1, 2],
    }  # fmt: skip


class Evil:
    """Would leave a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_an_unexpected_class_is_refused_by_name(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    args = argparse.Namespace(target="mol", trap=Evil(mark))
    torch.save({"model": random_state(27), "args": args}, tmp_path / "c.pt")
    with pytest.raises(ModelError, match=r"object of (posix|nt)\.mkdir"):
        import_unigenx(tmp_path / "c.pt", dictionary(tmp_path, "qm9"), tmp_path / "m")
    assert not mark.exists() and not (tmp_path / "m").exists()


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    words = dictionary(tmp_path, "qm9")
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"not a zip")
    cases: list[tuple[Any, str]] = [(None, "zip archive"), ([1], "no mapping"),
             ({"a": 1}, "no tensors"), ({"a": torch.ones(2)}, "embed_tokens")]  # fmt: skip
    state = random_state(27)
    cases.append(
        ({k: v for k, v in state.items() if "lm_head" not in k}, "lm_head.weight is missing")
    )
    cases.append(
        ({**state, "net.extra.weight": torch.ones(7, 7)}, "unexpected tensor extra.weight")
    )
    cases.append(({k: v for k, v in state.items() if "coords.second" not in k}, "incomplete"))
    for content, message in cases:
        if content is not None:
            torch.save(content, bad)
        with pytest.raises(ModelError, match=message):
            import_unigenx(bad, words, tmp_path / "m", target="mol", heads=HEADS)
    with pytest.raises(UsageError, match="no such file"):
        import_unigenx(tmp_path / "none.pt", words, tmp_path / "m")


def test_dictionaries_are_told_apart(tmp_path: Path) -> None:
    state = random_state(355)
    path = write_checkpoint(tmp_path / "c.pt", state, target="material", num_attention_heads=HEADS)
    out = tmp_path / "m"
    with pytest.raises(UsageError, match=r"dictionary cond_mat, .*material belongs to mat"):
        import_unigenx(path, dictionary(tmp_path, "cond_mat"), out)
    with pytest.raises(UsageError, match="27, but the checkpoint has 355"):
        import_unigenx(path, dictionary(tmp_path, "qm9"), out)
    shuffled = tmp_path / "shuffled.txt"
    shuffled.write_text("\n".join(lines_of("mat")[::-1]))
    with pytest.warns(UserWarning, match="none of the released dictionaries"):
        import_unigenx(path, shuffled, out)
    with pytest.raises(UsageError, match="no such dictionary"):
        import_unigenx(path, tmp_path / "none.txt", out)
    bare = write_checkpoint(tmp_path / "bare.pt", random_state(193), num_attention_heads=HEADS)
    with pytest.raises(UsageError, match="does not say its target"):
        import_unigenx(bare, dictionary(tmp_path, "uni"), out)
    with pytest.raises(UsageError, match="none of material"):
        import_unigenx(bare, dictionary(tmp_path, "uni"), out, target="poem")


def test_fingerprints_are_those_of_the_dictionaries() -> None:
    for name in KNOWN:
        if name in BUILT_IN or (SHARED / f"dict_{name}.txt").is_file():
            assert fingerprint_of(lines_of(name)) == KNOWN[name], name
            assert len(lines_of(name)) + 7 == SIZES[name]


def test_there_and_back(tmp_path: Path) -> None:
    """Checkpoint, model folder, export, model folder: the same weights and the same answers."""
    state = random_state(355)
    made = imported(tmp_path, state, "mat", target="material")
    first = load_folder(made)
    export_folder(first, tmp_path / "hub")
    assert {p.name for p in (tmp_path / "hub").iterdir()} == {
        "model.safetensors", "config.json", "vocab.json", "README.md",
    }  # fmt: skip
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert config["model_type"] == "llama" and config["num_attention_heads"] == HEADS
    assert config["vocab_size"] == 355 and config["pad_token_id"] == 0
    import_unigenx(tmp_path / "hub", dictionary(tmp_path, "mat"), tmp_path / "again")
    second = load_folder(tmp_path / "again")
    assert second.tokenizer.fingerprint == first.tokenizer.fingerprint
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def test_export_of_our_own_models_and_precisions(tmp_path: Path) -> None:
    from safetensors import safe_open
    from tiny_models import crystal_tokenizer, tiny_model

    from sciar.folder import ModelFolder

    tokenizer = crystal_tokenizer()
    content = ModelFolder("mine", tiny_model(tokenizer), tokenizer, {}, {}, "# mine\n")
    export_folder(content, tmp_path / "hub", "bfloat16")
    with safe_open(tmp_path / "hub" / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        names = set(file.keys())
        assert file.get_tensor("words.out.weight").dtype == torch.bfloat16
    assert names == set(content.model.state_dict())
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert config["model_type"] == "sciar" and config["sciar"]["tokenizer"]["fingerprint"]
    assert (tmp_path / "hub" / "README.md").read_text().startswith("---\nlibrary_name: sciar")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="no exported model"):
        export_folder(content, tmp_path / "other")
    with pytest.raises(UsageError, match="precision"):
        export_folder(content, tmp_path / "hub", "int3")


def test_the_command_line_and_generation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_checkpoint(
        tmp_path / "c.pt", random_state(355), target="material", num_attention_heads=HEADS
    )
    words = ["import", "unigenx", str(checkpoint), "--dict", str(dictionary(tmp_path, "mat"))]
    assert main([*words, str(tmp_path / "m")]) == 0
    assert "material" in capsys.readouterr().out
    model = sciar.load(tmp_path / "m")
    samples = model.generate(composition="Na Cl", n=2, steps=5)
    assert len(samples) == 2
    assert main(["export", str(tmp_path / "m"), str(tmp_path / "hub")]) == 0
    assert main(["import", "unigenx", str(checkpoint), str(tmp_path / "m2")]) == 2
    assert "--dict" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "name", "conditions"),
    [
        ("cond_mat", "cond_mat", {"bulk": 100}),
        ("cond_mol", "cond_mol", {"alpha": 70, "gap": 0.2}),
        ("prot", "prot", {"sequence": "ACDE"}),
    ],
)
def test_conditional_targets_generate(
    target: str, name: str, conditions: dict[str, Any], tmp_path: Path
) -> None:
    state = random_state(SIZES[name])
    state["net.diffloss.net.final_layer.linear.weight"] *= 0.01
    model = sciar.load(imported(tmp_path, state, name, target=target))
    samples = model.generate(conditions=conditions, n=4, steps=5, max_tokens=60)
    assert len(samples) == 4
    for sample in samples:
        # Random weights write no SMILES that parses; every failure says why.
        assert sample.ok or sample.message
