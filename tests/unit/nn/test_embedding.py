"""Input embedding: payload features, identity of slots, references."""

from __future__ import annotations

from dataclasses import replace

import torch
from tiny_models import crystal_tokenizer, encoded, random_crystals, tiny_config, tiny_model

from sciar.model import AutoregressiveModel
from sciar.nn.embedding import InputEmbedding, PayloadEncoder
from sciar.nn.inputs import Inputs, inputs_at
from sciar.tokenization.frames import fixed_frames
from sciar.tokenization.packing import Pack
from sciar.tokenization.vocabulary import SlotKind

LOCAL = SlotKind("<atom>", 3, "local", (0.1, 0.2, 0.3), (1.5, 1.5, 1.5))


def chain(points: torch.Tensor, keys: int = 1) -> Pack:
    """One sequence: a word, then atoms each of which refers to the (up to 3) before it."""
    n = len(points)
    ids = torch.tensor([0] + [1] * n)
    references = torch.full((n + 1, 3), -1)
    relations = torch.zeros(n + 1, 3, dtype=torch.long)
    for i in range(1, n + 1):
        for r in range(3):
            if i - 1 - r >= 1:
                references[i, r], relations[i, r] = i - 1 - r, 1 + r
    return Pack(
        ids=ids,
        kinds=(ids == 1).long(),
        values=torch.cat([torch.zeros(1, 3), points]),
        weights=(ids == 1).float(),
        labels=torch.tensor([-1] + [2 + i % 2 for i in range(n)]),
        anchors=torch.arange(n + 1) - 1,
        references=references,
        relations=relations,
        positions=torch.zeros(n + 1, 0),
        places=torch.zeros(n + 1, 0),
        lengths=torch.tensor([n + 1]),
        contexts=torch.tensor([1]),
        keys=torch.tensor([keys]),
    )


def inputs_of(batch: Pack) -> Inputs:
    has_next = torch.ones(len(batch), dtype=torch.bool)
    has_next[batch.lengths.cumsum(0) - 1] = False
    return inputs_at(batch, torch.arange(len(batch)), has_next)


def test_torus_payloads_have_no_seam() -> None:
    torch.manual_seed(0)
    encoder = PayloadEncoder(SlotKind("<site>", 3, "torus"), 16)
    x = torch.rand(5, 3)
    shifted = x + torch.tensor([1.0, -2.0, 3.0])
    torch.testing.assert_close(encoder(shifted), encoder(x), atol=1e-4, rtol=1e-4)
    edge = encoder(torch.tensor([[1e-7, 0.5, 0.5], [1 - 1e-7, 0.5, 0.5]]))
    torch.testing.assert_close(edge[0], edge[1], atol=1e-4, rtol=1e-4)


def test_euclidean_payloads_are_standardised() -> None:
    """The encoder of (mean, std) at mean + std * z is that of (0, 1) at z."""
    torch.manual_seed(0)
    plain = PayloadEncoder(SlotKind("<x>", 2), 16)
    scaled = PayloadEncoder(SlotKind("<x>", 2, mean=(3.0, -4.0), std=(2.0, 0.5)), 16)
    scaled.net.load_state_dict(plain.net.state_dict())
    z = torch.randn(6, 2)
    value = torch.tensor([3.0, -4.0]) + torch.tensor([2.0, 0.5]) * z
    torch.testing.assert_close(scaled(value), plain(z), atol=1e-4, rtol=1e-4)


def test_statistics_are_not_weights() -> None:
    """Means and deviations come with the vocabulary; a state dict does not repeat them."""
    assert not {k for k in PayloadEncoder(LOCAL, 8).state_dict() if "mean" in k or "std" in k}


def test_references_are_seen_from_the_local_frame() -> None:
    """A rigid motion of all points leaves what a slot with three references is told as it is."""
    torch.manual_seed(1)
    points = torch.randn(7, 3) * 2
    turn = torch.linalg.qr(torch.randn(3, 3))[0]
    turn = turn * torch.sign(torch.linalg.det(turn))
    before = inputs_of(chain(points)).next
    after = inputs_of(chain(points @ turn.T + 3.0)).next
    full = before.valid.all(1) & fixed_frames(before.points, before.valid)
    assert full.sum() >= 3
    torch.testing.assert_close(after.points[full], before.points[full], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        before.points[full][:, 0], torch.zeros(int(full.sum()), 3), atol=1e-6, rtol=0
    )


def test_references_name_what_they_are() -> None:
    batch = chain(torch.randn(5, 3))
    after = inputs_of(batch).next
    for position in range(len(batch) - 1):
        for r in range(3):
            reference = int(batch.references[position + 1, r])
            assert bool(after.valid[position, r]) == (reference >= 0)
            if reference >= 0:
                assert after.of[position, r] == batch.labels[reference]
                assert after.relation[position, r] == batch.relations[position + 1, r]


def test_the_last_position_is_told_nothing() -> None:
    after = inputs_of(chain(torch.randn(3, 3))).next
    assert after.kind[-1] == 0 and after.label[-1] == -1 and after.anchor[-1] == -1
    assert not after.valid[-1].any()


def test_a_coming_word_is_not_announced() -> None:
    """Only slots announce themselves: the anchor of a word to be sampled would give it away."""
    tokenizer = crystal_tokenizer("denovo")
    batch = encoded(tokenizer, random_crystals(4))
    after = inputs_of(batch).next
    word_next = torch.roll(batch.kinds, -1) == 0
    assert (after.anchor[word_next] == -1).all()
    assert (after.label[word_next] == -1).all()
    assert (after.anchor[~word_next] >= -1).all() and (after.kind[~word_next] > 0).all()


def test_identity_tells_equal_payloads_apart() -> None:
    """Off, as in UniGenX, label and anchor of a slot and of its successor change nothing."""
    batch = chain(torch.zeros(6, 3))
    for identity in (True, False):
        torch.manual_seed(0)
        embed = InputEmbedding(4, (LOCAL,), 16, max_anchors=8, references=0, identity=identity)
        plain = replace(batch, references=batch.references[:, :0])
        x = embed(inputs_of(replace(plain, relations=batch.relations[:, :0])))
        different = (x[2] - x[3]).abs().max() > 1e-4
        assert bool(different) == identity


def test_late_anchors_share_the_last_row() -> None:
    embed = InputEmbedding(4, (LOCAL,), 16, max_anchors=3)
    rows = embed._anchor(torch.tensor([-1, 0, 2, 3, 400]))
    assert rows.tolist() == [0, 1, 3, 3, 3]


def local_model() -> AutoregressiveModel:
    from sciar.tokenization.vocabulary import Vocabulary

    torch.manual_seed(0)
    vocabulary = Vocabulary(("<bos>", "<atom>", "C", "H"), (LOCAL,))
    return AutoregressiveModel(vocabulary, 3, tiny_config()).eval()


def test_payload_inverts_target() -> None:
    """Local slots: standardised coordinates in the frame, and back to the global point."""
    model, batch = local_model(), chain(torch.randn(6, 3))
    after = inputs_of(batch).next
    at = torch.arange(6)
    near = type(after)(**{k: v[at] for k, v in vars(after).items()})
    target = model.target(1, batch.values[at + 1], near)
    torch.testing.assert_close(
        model.payload(1, target, near), batch.values[at + 1], atol=1e-5, rtol=1e-5
    )


def test_crystal_targets() -> None:
    tokenizer = crystal_tokenizer()
    model, batch = tiny_model(tokenizer), encoded(tokenizer, random_crystals(5))
    after = inputs_of(batch).next
    for kind in (1, 2):
        at = (batch.kinds == kind).nonzero().squeeze(1)
        near = type(after)(**{k: v[at - 1] for k, v in vars(after).items()})
        slot = tokenizer.vocabulary.slots[kind - 1]
        value = batch.values[at, : slot.width]
        target = model.target(kind, batch.values[at], near)
        expected = value
        if slot.geometry != "torus":
            expected = (value - torch.tensor(slot.mean)) / torch.tensor(slot.std)
        torch.testing.assert_close(target, expected)
        torch.testing.assert_close(model.payload(kind, target, near), value, atol=1e-5, rtol=1e-5)
