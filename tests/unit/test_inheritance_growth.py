"""Models that learn more tasks later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from answer_models import EXAMPLES, TASKS, network, protein, tokenizer

from sciar.errors import ModelError
from sciar.folder import ModelFolder, load_folder, save_folder
from sciar.generation.answered import answer
from sciar.generation.settings import GenerationSettings
from sciar.inheritance import inherit, train_only_new
from sciar.objectives.grouped import GroupedObjective
from sciar.tokenization.packing import pack
from sciar.tokenization.protein import ProteinTokenizer

OLD = ("place", "states", "sites", "heat")
NEW = {"enzyme": TASKS["enzyme"], "amount": TASKS["amount"]}


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    tokens = tokenizer(*OLD)
    save_folder(tmp_path / "m", ModelFolder("old", network(tokens, 5), tokens, {}, {}, ""))
    return tmp_path / "m"


def test_old_answers_stay_when_tasks_are_added(trained: Path) -> None:
    old = load_folder(trained)
    tokens = ProteinTokenizer(NEW, max_length=2048, extends=str(trained))
    assert [t.name for t in tokens.tasks] == [*OLD, *NEW]
    names = old.tokenizer.vocabulary.names
    assert tokens.vocabulary.names[: len(names)] == names
    model = network(tokens, seed=9)
    inherit(old, model)
    notes = [e for e in EXAMPLES if e.task in OLD]
    batches = [pack([t.encode(note) for note in notes]) for t in (old.tokenizer, tokens)]
    logits = [m.words(m(b)[0]) for m, b in zip((old.model, model), batches, strict=True)]
    torch.testing.assert_close(logits[0], logits[1][:, : len(names)], rtol=0, atol=0)
    settings = GenerationSettings(temperature=0.0, threshold=0.5)
    answers = []
    for t, m in ((old.tokenizer, old.model), (tokens, model)):
        asked = [t.request({"protein": protein(20, i), "task": n}) for n in OLD for i in (0, 1)]
        answers.append([a.tokens for a in answer(m, t, asked, settings, at_once=False)])
    assert answers[0] == answers[1]


def test_new_symbols_begin_in_the_middle_of_their_family(trained: Path) -> None:
    old = load_folder(trained)
    tokens = ProteinTokenizer(NEW, max_length=2048, extends=str(trained))
    model = network(tokens, seed=9)
    noise = model.embedding.token.weight.detach().clone()
    inherit(old, model)
    table, names = model.embedding.token.weight.detach(), old.tokenizer.vocabulary.names
    tasks = [i for i, n in enumerate(names) if n.startswith("<task_")]
    at = tokens.vocabulary.id("<task_enzyme>")
    torch.testing.assert_close(table[at] - noise[at], table[tasks].mean(0))
    assert np.isfinite(table.numpy()).all()


def test_a_grown_model_trains_and_is_stored(trained: Path, tmp_path: Path) -> None:
    tokens = ProteinTokenizer(NEW, max_length=2048, extends=str(trained))
    model = network(tokens, seed=9)
    inherit(load_folder(trained), model)
    save_folder(tmp_path / "n", ModelFolder("new", model, tokens, {}, {}, ""))
    again = load_folder(tmp_path / "n")
    assert again.tokenizer.fingerprint == tokens.fingerprint
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


def test_old_answers_stay_while_new_tasks_are_trained(trained: Path) -> None:
    old = load_folder(trained)
    tokens = ProteinTokenizer(NEW, max_length=2048, extends=str(trained))
    model = network(tokens, seed=9)
    inherit(old, model)
    taught = train_only_new(old.model.vocabulary, model)
    assert "words.out.weight" in taught and not any("decoder" in name for name in taught)
    notes = [e for e in EXAMPLES if e.task in NEW]
    batch = pack([tokens.encode(note) for note in notes])
    asked = pack([tokens.encode(e) for e in EXAMPLES if e.task in OLD])
    count = len(old.model.vocabulary)
    before = model.words(model(asked)[0])[:, :count]
    objective = GroupedObjective()
    first = float(objective.total(objective.losses(model, batch, 0))[0].detach())
    chosen = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(chosen, lr=0.02, weight_decay=0.0)
    for step in range(20):
        loss, _ = objective.total(objective.losses(model, batch, step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.7 * first
    assert torch.equal(model.words(model(asked)[0])[:, :count], before)
    with pytest.raises(ModelError, match="no symbol is new"):
        train_only_new(model.vocabulary, model)


def test_what_does_not_fit_is_refused(trained: Path) -> None:
    old = load_folder(trained)
    with pytest.raises(ModelError, match="other symbols"):
        train_only_new(old.model.vocabulary, network(tokenizer("enzyme")))
    with pytest.raises(ModelError, match=r"it has .*layers"):
        inherit(old, network(tokenizer(*OLD), layers=1))
    with pytest.raises(ModelError, match=r"payload.*layers"):
        inherit(old, network(tokenizer(*OLD), layers=3))
    with pytest.raises(ModelError, match="other sizes"):
        inherit(old, network(tokenizer(*OLD), width=32))
    with pytest.raises(ModelError, match="no configuration"):
        ProteinTokenizer(NEW, extends=str(trained / "nowhere"))
