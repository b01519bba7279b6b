"""Residue slots read by an encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from answer_models import network, protein, tokenizer

from sciar.errors import UsageError
from sciar.nn.encoders.esm2 import embed_all
from sciar.nn.encoders.residues import ResidueEncoder, window_starts
from sciar.nn.inputs import inputs_at
from sciar.records import Protein
from sciar.tokenization.esm_alphabet import encoder_ids, residue_ids, residue_rows
from sciar.tokenization.packing import Pack, pack
from sciar.tokenization.vocabulary import SlotKind

TOKENS = tokenizer("place", "touching", "states")
SLOT = SlotKind("<residue>", 1, geometry="symbol", role="given")


def packed(*proteins: Protein) -> Pack:
    tasks = [TOKENS.tasks["touching" if p.partner else "place"] for p in proteins]
    return pack([TOKENS.prompt(p, t) for p, t in zip(proteins, tasks, strict=True)])


def read(module: ResidueEncoder, batch: Pack) -> torch.Tensor:
    every = torch.arange(len(batch))
    inputs = inputs_at(batch, every, torch.zeros(len(batch), dtype=torch.bool))
    return module.at(inputs, (batch.kinds == 1).nonzero().squeeze(1))


def module(**options: object) -> ResidueEncoder:
    torch.manual_seed(0)
    return ResidueEncoder(SLOT, 12, layers=2, width=16, heads=2, **options)  # type: ignore[arg-type]


def test_it_is_the_encoder_of_whole_proteins() -> None:
    made = module()
    for asked in (protein(9), protein(7, pair=True)):
        ids = torch.from_numpy(encoder_ids(asked))
        (whole,) = embed_all(made.encoder, [ids])
        rows = torch.from_numpy(residue_rows(asked))
        expected = made.project(whole[rows]) + made.letter(ids[rows])
        torch.testing.assert_close(read(made, packed(asked)), expected)


def test_packing_and_order_change_nothing() -> None:
    made = module()
    several = [protein(n, n, n == 6) for n in (5, 40, 1, 6, 17)]
    alone = [read(made, packed(p)) for p in several]
    torch.testing.assert_close(read(made, packed(*several)), torch.cat(alone))
    torch.testing.assert_close(read(made, packed(*several[::-1])), torch.cat(alone[::-1]))


def test_equal_proteins_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = module(), []
    original = made.encode
    monkeypatch.setattr(
        made, "encode", lambda pieces: (seen.append(len(pieces)), original(pieces))[1]
    )
    read(made, packed(protein(9), protein(9), protein(4)))
    assert seen == [2]


@pytest.mark.parametrize("length", [8, 9, 15, 16, 17, 40])
def test_windows_cover_a_long_chain_once(length: int) -> None:
    """Every residue has one vector, from the window in whose middle it stands."""
    made = module(window=8)
    asked = protein(length)
    found = read(made, packed(asked))
    assert len(found) == length
    starts = window_starts(length, 8)
    assert starts[0] == 0 and starts[-1] == max(0, length - 8)
    windows = [read(module(), packed(Protein(asked.sequence[s : s + 8]))) for s in starts]
    for place in range(length):
        holding = [(w[place - s], min(place - s, s + 7 - place))
                   for s, w in zip(starts, windows, strict=True) if s <= place < s + 8]  # fmt: skip
        deepest = max(depth for _, depth in holding)
        fits = [torch.allclose(found[place], v, atol=1e-5) for v, d in holding if d >= deepest - 1]
        assert any(fits), f"residue {place} is not read from the middle of a window"


def test_what_is_frozen_has_no_gradient() -> None:
    for options, trained in (
        ({"train": "frozen"}, set()),
        ({"train": "last", "blocks": 1}, {"layers.1", "norm"}),
        ({"train": "all"}, {"layers.0", "layers.1", "norm", "embed"}),
    ):
        made = module(**options)
        read(made, packed(protein(9))).sum().backward()
        names = {n for n, p in made.encoder.named_parameters() if p.grad is not None}
        assert {".".join(n.split(".")[: 2 if "layers" in n else 1]) for n in names} == trained
        assert made.project.weight.grad is not None


def test_adapters_are_trained_alone() -> None:
    made = module(train="lora", rank=2)
    plain = module()
    batch = packed(protein(9))
    torch.testing.assert_close(read(made, batch), read(plain, batch))  # they begin at zero
    read(made, batch).sum().backward()
    names = {n.rpartition(".")[2] for n, p in made.encoder.named_parameters() if p.grad is not None}
    assert names == {"up", "down"}


@pytest.mark.parametrize("options", [{"train": "frozen"}, {"train": "last", "blocks": 1}])
def test_a_protein_is_read_once_with_a_store(options: dict[str, object], tmp_path: Path) -> None:
    plain, made = module(**options), module(**options, cache=str(tmp_path))
    batch = packed(protein(9), protein(30, 1))
    for _ in range(2):
        torch.testing.assert_close(read(made, batch), read(plain, batch), atol=2e-3, rtol=2e-3)
    assert made._store is not None and (made._store.hits, made._store.misses) == (2, 2)
    assert "cache" not in made.options()
    read(made, batch).sum().backward()
    trained = {n.split(".")[0] for n, p in made.encoder.named_parameters() if p.grad is not None}
    assert trained == ({"layers", "norm"} if "blocks" in options else set())


def test_sequences_with_hidden_residues_are_not_kept(tmp_path: Path) -> None:
    made = module(cache=str(tmp_path))
    batch = packed(protein(9))
    batch.values[3, 0] = 32
    read(made, batch)
    assert made._store is not None and made._store.misses == 0


@pytest.mark.parametrize("options", [{"train": "last", "blocks": 2, "window": 50},
                                     {"train": "lora", "rank": 3}])  # fmt: skip
def test_options_make_the_same_module_again(options: dict[str, object]) -> None:
    made = module(**options)
    again = ResidueEncoder(SLOT, 12, **made.options())
    again.load_state_dict(made.state_dict())
    batch = packed(protein(9))
    torch.testing.assert_close(read(made.eval(), batch), read(again.eval(), batch))


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UsageError, match="not kept"):
        module(train="all", cache="x")
    for options in ({"train": "some"}, {"train": "last"}, {"blocks": 1}, {"window": 1}):
        with pytest.raises(UsageError, match="<residue>"):
            module(**options)


def test_a_slot_that_is_only_read_needs_its_module() -> None:
    from sciar.model import AutoregressiveModel, ModelConfig

    with pytest.raises(UsageError, match=r"model\.inputs"):
        AutoregressiveModel(TOKENS.vocabulary, 0, ModelConfig())
    assert "weights" not in network(TOKENS).config.inputs["<residue>"].options


def test_local_layers_see_near_residues_of_their_own_chain_only() -> None:
    made = module(local=(5, 3))
    several = [protein(n, n, n == 6) for n in (5, 40, 1, 6, 17)]
    alone = [read(made, packed(p)) for p in several]
    torch.testing.assert_close(read(made, packed(*several)), torch.cat(alone))
    plain = module()
    for out in made.local.outs:
        out.weight.data.normal_()
    x = torch.randn(30, 12)
    changed = x.clone()
    changed[12] = torch.randn(12)  # a constant added would not pass the norm
    lengths = torch.tensor([10, 8, 12])
    moved = (made.local(x, lengths) != made.local(changed, lengths)).any(1).nonzero().squeeze(1)
    assert moved.tolist() == [10, 11, 12, 13, 14, 15]
    assert plain.local is None and "local" not in plain.options()
    again = ResidueEncoder(SLOT, 12, **made.options())
    assert again.local is not None and again.local.kernels == (5, 3)


def test_local_kernels_have_a_middle() -> None:
    with pytest.raises(UsageError, match="odd"):
        module(local=(4,))


def test_an_encoder_may_be_an_embedding_alone() -> None:
    torch.manual_seed(0)
    made = ResidueEncoder(SLOT, 12, layers=0, width=16, heads=2, train="all", local=(3,))
    assert read(made, packed(protein(9))).shape == (9, 12)


def test_sites_tell_a_letter_apart_by_its_number() -> None:
    made, plain = module(sites=3), module()
    plain.load_state_dict(made.state_dict(), strict=False)
    letters = torch.from_numpy(encoder_ids(Protein("GGAG"))[1:-1])
    added = read(made, packed(Protein("GGAG"))) - read(plain, packed(Protein("GGAG")))
    number = torch.arange(3)
    expected = made.site.weight[number * made.encoder.config.vocabulary + letters[:3]]
    torch.testing.assert_close(added, torch.cat([expected, torch.zeros(1, 12)]))
    assert made.options()["sites"] == 3 and "sites" not in plain.options()
    with pytest.raises(UsageError, match="negative"):
        module(sites=-1)


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_composition_is_what_a_count_by_hand_gives(longest: int) -> None:
    """Shares of letters and runs of each chain alone, and its length."""
    made, plain = module(composition=longest), module()
    plain.load_state_dict(made.state_dict(), strict=False)
    several = [protein(n, n, n == 6) for n in (5, 40, 1, 6)]
    same = read(made, packed(*several))
    torch.testing.assert_close(same, read(plain, packed(*several)))  # nothing at the start
    for table in made.composition.parameters():
        torch.nn.init.normal_(table)
    added = read(made, packed(*several)) - read(plain, packed(*several))
    expected = []
    for chain in [c for p in several for c in p.chains]:
        ids = residue_ids(chain).tolist()
        whole = torch.log(torch.tensor(len(ids) / 300)) * made.composition.length
        for size, table in enumerate(made.composition.runs, 1):
            for i in range(len(ids) - size + 1):
                row = 0
                for letter in ids[i : i + size]:
                    row = row * 33 + letter
                whole = whole + 20 * table[row % len(table)] / len(ids)
        expected += [whole] * len(ids)
    torch.testing.assert_close(added, torch.stack(expected), rtol=1e-4, atol=1e-4)
    again = ResidueEncoder(SLOT, 12, **made.options())
    again.load_state_dict(made.state_dict())
    assert "composition" not in plain.options()
    with pytest.raises(UsageError, match="1 to 3 residues"):
        module(composition=4)


def test_a_reference_leaves_mutations_alone_to_add_up() -> None:
    made, plain = module(sites=5, reference="GGAGM"), module()
    plain.load_state_dict(made.state_dict(), strict=False)
    # The third and fifth residue differ; what lies beyond the reference is no mutation.
    several = [Protein("GGCGWGG"), Protein("GGAGM"), Protein("WGAG")]
    added = read(made, packed(*several)) - read(plain, packed(*several))
    vector = made.site.weight.view(5, 33, 12)
    c, w = residue_ids("CW").tolist()
    expected = [vector[2, c] + vector[4, w]] * 7 + [torch.zeros(12)] * 5 + [vector[0, w]] * 4
    torch.testing.assert_close(added, torch.stack(expected))
    again = ResidueEncoder(SLOT, 12, **made.options())
    again.load_state_dict(made.state_dict())
    assert again.reference == "GGAGM" and "reference" not in module(sites=3).options()
    with pytest.raises(UsageError, match="reference has 2 residues"):
        module(sites=3, reference="GG")
    with pytest.raises(UsageError, match=r"reference.*position 2"):
        module(sites=3, reference="G1G")
    assert module(sites=2, reference="gg").reference == "GG"
