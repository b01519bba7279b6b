"""The shared decoder: pre-norm RMSNorm, SwiGLU, rotary positions, a mixer pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sciar.errors import UsageError
from sciar.nn.attention import Attention, Memory, PackedMemory, Rotary, rotary_angles
from sciar.nn.mamba import Mamba2, MambaConfig, PackedStates, StateMemory
from sciar.nn.ragged import Ragged

MIXERS = {"a": "attention", "m": "Mamba-2"}
"""Letters of a mixer pattern."""


@dataclass(frozen=True)
class DecoderConfig:
    """Size of a decoder.

    Attributes:
        layers: number of layers.
        hidden: width.
        heads: query heads; must divide ``hidden``.
        kv_heads: key and value heads; must divide ``heads``. 0: as many as ``heads``.
        ffn: width of the feed-forward network. 0: 8/3 of ``hidden``, rounded up to 64.
        pattern: mixer of each layer, repeated to the number of layers: ``a`` is attention, ``m``
            Mamba-2; ``mmma`` has attention in every fourth layer.
        qk_norm: normalise queries and keys.
        checkpointing: recompute activations in the backward pass, to save memory.
        axes: numbers in the place of a token that the rotary embedding turns with, 3 for points in
            space (Uni-3DAR, arXiv:2503.16278); 0: it turns with the index in the sequence.
        unit: length that turns the fastest angle by one radian.
        base: the longest wavelength of the rotary embedding is nearly ``2 pi base``, in units.
        ahead: queries stand at the place of the next token, which they are to predict, and keys at
            their own; needs axes. Without it both stand at their own.
        mamba: size of the Mamba-2 layers.
        dropout: share of what each mixer and feed-forward network adds that is left out in training
            (Vaswani et al., arXiv:1706.03762), for small sets.
        passes: how often the whole stack is run, each time on its own output; twice as much work
            and memory with 2, but no more parameters (``recycle`` of Uni-3DAR, arXiv:2503.16278).
    """

    layers: int = 6
    hidden: int = 256
    heads: int = 4
    kv_heads: int = 0
    ffn: int = 0
    pattern: str = "a"
    qk_norm: bool = False
    checkpointing: bool = False
    axes: int = 0
    unit: float = 0.01
    base: float = 10_000.0
    ahead: bool = False
    mamba: MambaConfig = field(default_factory=MambaConfig)
    dropout: float = 0.0
    passes: int = 1

    def __post_init__(self) -> None:
        if self.layers < 1 or self.passes < 1:
            raise UsageError(f"{self.layers} layers and {self.passes} passes; give at least one")
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise UsageError(f"hidden {self.hidden} does not split into {self.heads} even heads")
        if self.kv_heads and self.heads % self.kv_heads:
            raise UsageError(f"{self.heads} heads do not group over {self.kv_heads} key heads")
        if set(self.pattern) - set(MIXERS) or not self.pattern:
            known = ", ".join(f"{letter!r} ({name})" for letter, name in MIXERS.items())
            raise UsageError(f"mixer pattern {self.pattern!r}: known mixers are {known}")
        if "m" in self.mixers:
            self.mamba.heads(self.hidden)

        width = self.hidden // self.heads
        if self.axes < 0 or self.axes > width // 2:
            raise UsageError(f"{self.axes} rotary axes do not fit heads of width {width}")
        if not self.unit > 0:
            raise UsageError(f"the rotary unit {self.unit} must be above zero")
        if not self.base > 1:
            raise UsageError(f"the rotary base {self.base} must be above one")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout {self.dropout} is no share from 0 to below 1")
        if self.ahead and not self.axes:
            raise UsageError("queries that stand ahead need rotary axes")

    @property
    def mixers(self) -> str:
        """One letter for each layer that is run, those of further passes too."""
        return (self.pattern * self.layers)[: self.layers] * self.passes

    @property
    def ffn_width(self) -> int:
        """Width of the feed-forward network."""
        return self.ffn or -(-8 * self.hidden // 3 // 64) * 64


class SwiGLU(nn.Module):
    """Gated feed-forward network (Shazeer, arXiv:2002.05202)."""

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(hidden, 2 * width, bias=False)
        self.down = nn.Linear(width, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * value)


LayerMemory = Memory | StateMemory
"""What a layer remembers by, according to its mixer."""


class Layer(nn.Module):
    """One pre-norm layer."""

    def __init__(self, config: DecoderConfig, mixer: str) -> None:
        super().__init__()
        self.mixer_norm = nn.RMSNorm(config.hidden, eps=1e-6)
        self.mixer: Attention | Mamba2
        if mixer == "m":
            self.mixer = Mamba2(config.hidden, config.mamba)
        else:
            self.mixer = Attention(
                config.hidden, config.heads, config.kv_heads or config.heads, config.qk_norm
            )
        self.ffn_norm = nn.RMSNorm(config.hidden, eps=1e-6)
        self.ffn = SwiGLU(config.hidden, config.ffn_width)
        self.drop = nn.Dropout(config.dropout)

    def forward(
        self, x_TH: Tensor, rotary: Rotary, memory: LayerMemory, read: Tensor | None = None
    ) -> Tensor:
        """(T, hidden), or (R, hidden) of the positions that are ``read``."""
        normed = self.mixer_norm(x_TH)
        if read is not None:
            x_TH = x_TH[read] + self.drop(self._read(normed, rotary, memory, read))
        elif isinstance(self.mixer, Mamba2):
            x_TH = x_TH + self.drop(self.mixer(normed, memory))
        else:
            x_TH = x_TH + self.drop(self.mixer(normed, rotary, memory))
        return x_TH + self.drop(self.ffn(self.ffn_norm(x_TH)))

    def _read(self, normed: Tensor, rotary: Rotary, memory: LayerMemory, read: Tensor) -> Tensor:
        """(R, hidden) of the mixer."""
        if isinstance(self.mixer, Mamba2):
            return self.mixer(normed, memory)[read]
        reading = memory.reading(read) if isinstance(memory, PackedMemory) else None
        if reading is None:
            return self.mixer(normed, rotary, memory)[read]
        return self.mixer.read(normed, rotary, reading, read)


class Decoder(nn.Module):
    """(T, hidden) embedded tokens -> (T, hidden) contextual states."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(
            Layer(config, mixer) for mixer in config.mixers[: config.layers]
        )
        self.norm = nn.RMSNorm(config.hidden, eps=1e-6)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                # Residual outputs start smaller with depth, as in GPT-2.
                residual = name.endswith(("out.weight", "down.weight"))
                std = 0.02 / (2 * len(config.mixers)) ** 0.5 if residual else 0.02
                nn.init.normal_(parameter, std=std)

    def forward(
        self,
        x_TH: Tensor,
        positions: Tensor,
        memories: Sequence[LayerMemory],
        places: Tensor | None = None,
        read: Tensor | None = None,
    ) -> Tensor:
        """Contextual states.

        Args:
            x_TH: embedded tokens.
            positions: (T,) indices, which restart in every sequence, or (T, axes) points.
            memories: one memory for each layer of each pass.
            places: (T, axes) where the queries stand, if elsewhere.
            read: (R,) rising positions whose states are wanted, (R, hidden), so that the last layer
                computes no others; ``None``: all.
        """
        keys = self._angles(positions)
        rotary = Rotary(keys if places is None else self._angles(places), keys)
        layers = [*self.layers] * self.config.passes
        for i, (layer, memory) in enumerate(zip(layers, memories, strict=True)):
            if read is not None and i + 1 == len(layers):
                x_TH = layer(x_TH, rotary, memory, read)
            elif self.config.checkpointing and self.training:
                x_TH = checkpoint(layer, x_TH, rotary, memory, use_reentrant=False)
            else:
                x_TH = layer(x_TH, rotary, memory)
        return self.norm(x_TH)

    def _angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        scaled = positions / self.config.unit if self.config.axes else positions
        width = self.config.hidden // self.config.heads
        return rotary_angles(scaled, width, self.config.base)


def packed_memories(
    config: DecoderConfig,
    lengths: Tensor,
    contexts: Tensor,
    private: Tensor | None = None,
    floors: Tensor | None = None,
) -> list[LayerMemory]:
    """One memory a layer for a pack; layers of a kind share it.

    Args:
        config: of the decoder.
        lengths: (B,) tokens of each sequence.
        contexts: (B,) prefixes that attention reads in both directions.
        private: see :meth:`sciar.nn.attention.PackedMemory.build`.
        floors: likewise.
    """
    shared: dict[str, LayerMemory] = {}
    if "a" in config.mixers:
        shared["a"] = PackedMemory.build(lengths, contexts, private=private, floors=floors)
    if "m" in config.mixers:
        mamba = config.mamba
        shared["m"] = PackedStates(Ragged.build(lengths, mamba.chunk, mamba.taps - 1))
    return [shared[mixer] for mixer in config.mixers]
