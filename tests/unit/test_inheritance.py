"""Weights of a pretrained model: the rows of a name follow the name, whatever its id."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from property_models import CRYSTALS, crystal_properties, labelled_crystals, property_model
from tiny_models import crystal_tokenizer, tiny_config, tiny_model

from sciar.errors import ModelError
from sciar.folder import ModelFolder
from sciar.inheritance import inherit
from sciar.nn.decoder import DecoderConfig
from sciar.tokenization.property import PropertyTokenizer
from sciar.tokenization.vocabulary import SlotKind, Vocabulary


def pretrained() -> ModelFolder:
    tokenizer = crystal_tokenizer("denovo")
    return ModelFolder("first", tiny_model(tokenizer), tokenizer, {}, {}, "")


def test_rows_follow_their_names() -> None:
    source = pretrained()
    tokenizer = PropertyTokenizer(CRYSTALS, ["volume"])
    target = property_model(tokenizer, shake=0.3)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    found = inherit(source, target)
    assert found.new_slots == ("<property:volume>",) and found.slots == ("<lattice>", "<site>")
    assert set(found.symbols) == set(source.tokenizer.vocabulary.names)
    assert "He" in found.new_symbols
    old, new = source.model.vocabulary, target.vocabulary
    for name in new.names:
        i = new.id(name)
        fresh = name not in old
        for table, offset in (("embedding.token", 0), ("embedding.next_label", 1)):
            now = target.state_dict()[f"{table}.weight"][i + offset]
            then = (
                before[f"{table}.weight"][i + offset]
                if fresh
                else source.model.state_dict()[f"{table}.weight"][old.id(name) + offset]
            )
            assert torch.equal(now, then), (table, name)
    for key, value in source.model.decoder.state_dict().items():
        assert torch.equal(target.state_dict()[f"decoder.{key}"], value)
    kinds = "embedding.next_kind.weight"
    assert torch.equal(target.state_dict()[kinds][:3], source.model.state_dict()[kinds])
    assert torch.equal(target.state_dict()[kinds][3], before[kinds][3])
    payload = "embedding.payload.1.net.0.weight"
    assert torch.equal(target.state_dict()[payload], source.model.state_dict()[payload])


def test_states_of_the_given_part_are_those_of_the_pretrained_model() -> None:
    """Same weights, same tokens, same order of attention: the same states."""
    source = pretrained()
    tokenizer = crystal_properties()
    target = property_model(tokenizer)
    inherit(source, target)
    from sciar.tokenization.packing import pack

    crystal = labelled_crystals(3)[2].structure
    one = source.tokenizer.encode(crystal)
    two = tokenizer.encode(crystal)
    length = two.context
    assert length == len(one)
    # Only the statistics and the direction of reading differ; the first token sees itself alone.
    first = replace(two.prefix(length), context=0)
    with torch.no_grad():
        a, _ = source.model(pack([one]))
        b, _ = target(pack([first]))
    torch.testing.assert_close(a[:1], b[:1])


def test_what_does_not_fit_is_refused() -> None:
    source = pretrained()
    tokenizer = crystal_properties()
    wider = replace(tiny_config(), decoder=DecoderConfig(layers=1, hidden=64, heads=4))
    with pytest.raises(ModelError, match="other sizes"):
        inherit(source, tiny_model(tokenizer, wider))
    deeper = replace(tiny_config(), decoder=DecoderConfig(layers=3, hidden=32, heads=4))
    with pytest.raises(ModelError, match="other sizes"):
        inherit(source, tiny_model(tokenizer, deeper))
    strange = crystal_tokenizer()
    strange.vocabulary = Vocabulary(
        strange.vocabulary.names, (SlotKind("<lattice>", 9), SlotKind("<site>", 3, "torus"))
    )
    with pytest.raises(ModelError, match="another slot <lattice>"):
        inherit(source, tiny_model(strange))
