"""The model: input embedding, decoder and heads over one vocabulary."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sciar.errors import UsageError
from sciar.heads.base import Guide, GuidedHead, Head, SamplerSettings
from sciar.heads.categorical import CategoricalHead
from sciar.nn.decoder import Decoder, DecoderConfig, LayerMemory, packed_memories
from sciar.nn.embedding import InputEmbedding
from sciar.nn.geometry import to_global, to_local
from sciar.nn.inputs import Inputs, Store, Surroundings, inputs_at
from sciar.nn.mamba import MambaConfig
from sciar.nn.questions import at_once, feed
from sciar.tokenization.packing import Pack
from sciar.tokenization.vocabulary import SlotKind, Vocabulary

_Extra = TypeVar("_Extra", bound=nn.Module)


@dataclass(frozen=True)
class HeadConfig:
    """Which head predicts a slot kind.

    Attributes:
        type: importable path of a :class:`~sciar.heads.base.Head`.
        options: its options.
    """

    type: str = "sciar.heads.flow.FlowHead"
    options: dict[str, Any] = field(default_factory=dict)


CLASSES = HeadConfig("sciar.heads.classes.ClassHead")
NUMBER = HeadConfig("sciar.heads.numeric.NumericHead")


@dataclass(frozen=True)
class InputConfig:
    """Which module reads the payloads of a slot kind, where a linear one will not do; or an extra.

    Attributes:
        type: importable path of a module in the sense of :class:`~sciar.nn.embedding.SlotInput`.
        options: its options.
    """

    type: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelConfig:
    """Everything but the vocabulary.

    Attributes:
        decoder: size of the decoder.
        heads: slot name -> head; ``default`` serves the others, ``class`` and ``number`` the
            answers (a classifier and a numeric head if not given).
        inputs: slot name -> input module, such as an encoder.
        identity: slots know what they describe (off: as in UniGenX).
        max_anchors: anchors that the embedding tells apart.
        smoothing: label smoothing of the words.
        questions: the network is asked: a question stands before each word that it predicts
            (:mod:`sciar.nn.questions`).
        private: nothing but a question itself attends to it, so that contents do not hang on
            questions and generation keeps none of them.
        reference_width: width of the network that sees one reference at a time.
        reference_rounds: of attention among the references of a slot, which see how these lie to
            each other; 0: each is seen on its own.
        places: the places of tokens are also embedded, for layouts with axes; else they are seen by
            the rotary embedding alone.
        place_unit: the shortest wavelength of that embedding is one unit.
        extras: modules beside the decoder and the heads that an objective trains, by the name that
            it knows them by; made as ``cls(vocabulary, decoder_config, **options)``.
    """

    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    heads: dict[str, HeadConfig] = field(default_factory=dict)
    inputs: dict[str, InputConfig] = field(default_factory=dict)
    identity: bool = True
    max_anchors: int = 64
    smoothing: float = 0.0
    questions: bool = False
    private: bool = False
    reference_width: int = 64
    reference_rounds: int = 0
    places: bool = False
    place_unit: float = 1.0
    extras: dict[str, InputConfig] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.private and not self.questions:
            raise UsageError("private questions are questions: set questions too")
        if self.private and "m" in self.decoder.mixers:
            raise UsageError(
                "a Mamba-2 layer cannot forget a question: private questions need attention in "
                f"every layer, but the mixer pattern is {self.decoder.pattern!r}"
            )
        if self.places and not self.decoder.axes:
            raise UsageError("places are embedded only where the decoder has axes")
        if not self.place_unit > 0:
            raise UsageError(f"the unit of places {self.place_unit} must be above zero")

    def to_dict(self) -> dict[str, Any]:
        """Plain form for ``config.yaml``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelConfig:
        """Inverse of :meth:`to_dict`."""
        values = dict(data)
        decoder = dict(values.get("decoder", {}))
        decoder["mamba"] = MambaConfig(**decoder.get("mamba", {}))
        values["decoder"] = DecoderConfig(**decoder)
        values["heads"] = {k: HeadConfig(**v) for k, v in values.get("heads", {}).items()}
        for name in ("inputs", "extras"):
            values[name] = {k: InputConfig(**v) for k, v in values.get(name, {}).items()}
        return cls(**values)


class AutoregressiveModel(nn.Module):
    """One shared decoder with a categorical head and one head a slot kind.

    Args:
        vocabulary: tokens and slot kinds, with the statistics that payloads are standardised with.
        references: references a slot may name (from the layout).
        config: sizes and heads.
        relations: codes that a relation to a reference may have (from the layout).
    """

    def __init__(
        self, vocabulary: Vocabulary, references: int, config: ModelConfig, relations: int = 16
    ) -> None:
        super().__init__()
        self.relations = relations
        self.vocabulary, self.references, self.config = vocabulary, references, config
        hidden = config.decoder.hidden
        self.embedding = InputEmbedding(
            len(vocabulary),
            vocabulary.slots,
            hidden,
            config.max_anchors,
            references,
            config.identity,
            config.questions,
            relations,
            config.decoder.axes if config.places else 0,
            config.place_unit,
            config.reference_width,
            config.reference_rounds,
        )
        for parameter in self.embedding.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        if self.embedding.reference is not None:
            self.embedding.reference.begin()
        self._read_by_modules()
        self.decoder = Decoder(config.decoder)
        self.words = CategoricalHead(hidden, len(vocabulary), config.smoothing)
        self.heads = nn.ModuleList(
            nn.Identity() if slot.role == "given" else build_head(slot, hidden, config)
            for slot in vocabulary.slots
        )
        self.extras = nn.ModuleDict(
            {
                name: imported(extra.type, f"extra {name}", "module", nn.Module)(
                    vocabulary, config.decoder, **extra.options
                )
                for name, extra in config.extras.items()
            }
        )

    def _read_by_modules(self) -> None:
        """Put the input modules of the configuration in place, after the embedding's own weights.

        The configuration then holds what makes the same modules without files of pretrained
        weights, because these become weights of the model.
        """
        made = dict(self.config.inputs)
        for i, slot in enumerate(self.vocabulary.slots):
            choice = made.get(slot.name)
            if choice is None and slot.geometry == "symbol":
                raise UsageError(f"slot {slot.name} is only read: name its module in model.inputs")
            if choice is not None:
                where = f"slot {slot.name}"
                cls = imported(choice.type, where, "input module", nn.Module)
                module = cls(slot, self.config.decoder.hidden, **choice.options)
                self.embedding.payload[i] = module
                if hasattr(module, "options"):
                    made[slot.name] = InputConfig(choice.type, module.options())
        self.config = replace(self.config, inputs=made)

    def forward(
        self,
        pack: Pack,
        noisy: Tensor | None = None,
        blind: Tensor | None = None,
        read: Tensor | None = None,
    ) -> tuple[Tensor, Inputs]:
        """Hidden state of every fed position of a pack, and what each was told.

        Without questions the fed positions are those of the pack; else see
        :func:`sciar.nn.questions.feed`.

        Args:
            pack: T tokens.
            noisy: (T, W) values to feed in place of the pack's own, or ``None``.
            blind: (B,) sequences whose private questions are put many at once, see
                :func:`sciar.nn.questions.at_once`.
            read: (R,) rising fed positions; the states are then those of these alone.
        """
        fed = feed(pack, self.config.questions, self.config.private)
        if blind is not None:
            fed = at_once(pack, fed, blind)
        store = pack if noisy is None else self.moved(pack, noisy)
        asks = fed.asks if self.config.questions else None
        inputs = self.inputs_at(store, fed.at, fed.has_next, asks)
        if fed.begins is not None:
            anchor = torch.where(fed.asks, pack.anchors[fed.begins], inputs.next.anchor)
            inputs = replace(inputs, next=replace(inputs.next, anchor=anchor))
        private = fed.asks if self.config.questions and self.config.private else None
        memories = packed_memories(
            self.config.decoder, fed.lengths, pack.contexts, private=private, floors=fed.floors
        )
        return self.decode(inputs, fed.index, memories, read), inputs

    def inputs_at(
        self, store: Store, at: Tensor, has_next: Tensor, asks: Tensor | None = None
    ) -> Inputs:
        """What the network is told at flat positions of a store.

        Arguments as in :func:`sciar.nn.inputs.inputs_at`.
        """
        kinds = [i + 1 for i, s in enumerate(self.vocabulary.slots) if s.geometry == "local"]
        local = torch.tensor(kinds, device=at.device) if kinds else None
        return inputs_at(store, at, has_next, asks, local)

    def moved(self, pack: Pack, values: Tensor) -> Pack:
        """The pack with other payloads; where these are offsets in space, tokens move with them."""
        axes = pack.positions.shape[1]
        offsets = [i + 1 for i, s in enumerate(self.vocabulary.slots) if s.width == axes]
        if not axes or not offsets:
            return replace(pack, values=values)
        moves = torch.isin(pack.kinds, torch.tensor(offsets, device=pack.kinds.device))
        step = torch.where(moves[:, None], (values - pack.values)[:, :axes], 0.0)
        return replace(pack, values=values, positions=pack.positions + step)

    def decode(
        self,
        inputs: Inputs,
        positions: Tensor,
        memories: Sequence[LayerMemory],
        read: Tensor | None = None,
    ) -> Tensor:
        """(M, hidden) states of given inputs; ``positions`` are their (M,) indices.

        Of those that are ``read`` alone, if this is given.

        Raises:
            UsageError: the decoder turns with the places of tokens, and these have none such.
        """
        config, x = self.config.decoder, self.embedding(inputs)
        if not config.axes:
            return self.decoder(x, positions, memories, read=read)
        if inputs.position.shape[1] != config.axes:
            raise UsageError(
                f"the decoder has {config.axes} rotary axes, but the layout of the tokens has "
                f"{inputs.position.shape[1]}: set the decoder's axes to those of the layout"
            )
        places = inputs.next.place if config.ahead else None
        return self.decoder(x, inputs.position, memories, places, read)

    def extra(self, name: str, type: type[_Extra], purpose: str) -> _Extra:
        """A module beside decoder and heads.

        Raises:
            UsageError: the model has none such; the message says what it is needed for.
        """
        found = dict(self.extras.items()).get(name)
        if not isinstance(found, type):
            raise UsageError(
                f"{purpose} needs a module that the model has not: set model.extras.{name}.type "
                f"to {type.__module__}.{type.__name__}"
            )
        return found

    def head(self, kind: int) -> Head:
        """The head of a slot kind, by its number from 1.

        Raises:
            UsageError: the slot is always given, so that nothing predicts it.
        """
        head = self.heads[kind - 1]
        if not isinstance(head, Head):
            raise UsageError(f"slot {self.vocabulary.slots[kind - 1].name} is given, not predicted")
        return head

    def condition(self, hidden: Tensor, after: Surroundings) -> Tensor:
        """Condition of a payload head: the hidden state and the identity of the slot asked for."""
        return hidden + self.embedding.query(after) if self.config.identity else hidden

    def target(self, kind: int, value: Tensor, after: Surroundings) -> Tensor:
        """Payloads (N, W) of slots of one kind -> what their head predicts."""
        slot, encoder = self.vocabulary.slots[kind - 1], self.embedding.encoder(kind)
        value = value[:, : slot.width].float()
        if slot.geometry == "torus" and self.references:
            # Relative to the first reference, which is the origin where there is none.
            return value - after.origin[:, : slot.width]
        if slot.geometry in ("torus", "rotation"):
            return value
        if slot.geometry == "local":
            value = to_local(value + self._base(after), after.origin, after.axes)
        return (value - encoder.mean) / encoder.std

    def payload(self, kind: int, predicted: Tensor, after: Surroundings) -> Tensor:
        """Inverse of :meth:`target`."""
        slot, encoder = self.vocabulary.slots[kind - 1], self.embedding.encoder(kind)
        if slot.geometry == "torus":
            at = after.origin[:, : slot.width] if self.references else 0.0
            return (predicted + at) % 1.0
        if slot.geometry == "rotation":
            return predicted
        value = predicted * encoder.std + encoder.mean
        if slot.geometry != "local":
            return value
        return to_global(value, after.origin, after.axes) - self._base(after)

    @staticmethod
    def _base(after: Surroundings) -> Tensor:
        """(N, 3) where payloads are counted from: where tokens have places these are offsets."""
        return after.place.float() if after.place.shape[1] else torch.zeros_like(after.origin)

    def sample_payload(
        self,
        kind: int,
        hidden: Tensor,
        after: Surroundings,
        keys: Tensor,
        settings: SamplerSettings,
        guide: Guide | None = None,
    ) -> Tensor:
        """(N, width) payloads of N slots of one kind.

        Raises:
            UsageError: there is a ``guide``, but the head of the slot follows no field.
        """
        condition = self.condition(hidden, after)
        if guide is None:
            return self.payload(kind, self.head(kind).sample(condition, keys, settings), after)
        predicted = self.guided_head(kind).sample(condition, keys, settings, guide)
        return self.payload(kind, predicted, after)

    def guided_head(self, kind: int) -> GuidedHead:
        """The head of a slot kind, which must be one that can be guided.

        Raises:
            UsageError: it cannot.
        """
        head = self.head(kind)
        if not isinstance(head, GuidedHead):
            raise UsageError(
                f"slot {self.vocabulary.slots[kind - 1].name}: samples of a "
                f"{type(head).__name__} cannot be guided; leave out guidance"
            )
        return head


def build_head(slot: SlotKind, condition: int, config: ModelConfig) -> Head:
    """The head of a slot kind, by the class path of the configuration.

    Raises:
        UsageError: if the path does not name a head.
    """
    common, usual = "default", HeadConfig()
    if slot.role == "answer":
        common, usual = ("class", CLASSES) if slot.classes else ("number", NUMBER)
    choice = config.heads.get(slot.name) or config.heads.get(common) or usual
    cls = imported(choice.type, f"slot {slot.name}", "head", Head)
    head: Head = cls(slot, condition, **choice.options)
    return head


def imported(path: str, where: str, what: str, base: type) -> Any:
    """The class of a path, which must be a subclass of ``base``.

    Raises:
        UsageError: it is not; the message begins with ``where`` and says ``what`` was looked for.
    """
    module, _, name = path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{where}: no {what} {path!r} ({error})") from error
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise UsageError(f"{where}: {path} is no {base.__name__}")
    return cls
