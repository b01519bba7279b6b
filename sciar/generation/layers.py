"""What the layers of a decoder remember of rows in the making: keys and values, or a state.

Shape letters: M fed positions, and those of ``generation.cache`` and ``nn.mamba``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sciar.generation.cache import KVCache, PrefillMemory, StepMemory, StepPlan
from sciar.nn.attention import PackedMemory
from sciar.nn.decoder import DecoderConfig, LayerMemory
from sciar.nn.mamba import MambaState, PackedStates
from sciar.nn.ragged import Ragged


@dataclass(eq=False)
class PrefillStates:
    """Sequences that all begin anew; remembers the states that they end with."""

    layout: Ragged
    last: MambaState | None = None

    def load(self) -> None:
        """No state to begin with."""

    def save(self, state: MambaState) -> None:
        """Keep the states for the cache."""
        self.last = state


@dataclass(frozen=True, eq=False)
class StepStates:
    """Rows that go on from their cached states, which are overwritten."""

    layout: Ragged
    cached: MambaState

    def load(self) -> MambaState:
        """The cached states."""
        return self.cached

    def save(self, state: MambaState) -> None:
        """Overwrite the cached states."""
        self.cached.window.copy_(state.window)
        self.cached.state.copy_(state.state)


@dataclass(eq=False)
class LayerCache:
    """Memory of every layer, by its mixer.

    Attributes:
        config: of the decoder.
        attention: keys and values of the attention layers, in order.
        states: of the Mamba-2 layers, in order; its tensors have the layers in front.
    """

    config: DecoderConfig
    attention: KVCache
    states: MambaState

    @classmethod
    def empty(cls, config: DecoderConfig, rows: int, length: int, like: Tensor) -> LayerCache:
        """Room for ``rows`` rows of ``length`` positions, on the device of ``like``.

        Keys, values and windows have the precision of ``like``, states at least the single one.
        """
        heads, width = config.kv_heads or config.heads, config.hidden // config.heads
        layers, recurrent = config.mixers.count("a"), config.mixers.count("m")
        mamba, precise = config.mamba, torch.promote_types(like.dtype, torch.float32)
        window: tuple[int, ...] = (0,)
        state: tuple[int, ...] = (0,)
        if recurrent:
            window = (recurrent, rows, mamba.taps - 1, mamba.channels(config.hidden))
            state = (recurrent, rows, mamba.heads(config.hidden), mamba.head, mamba.state)
        return cls(
            config,
            KVCache.empty(layers, rows, heads, length, width, like),
            MambaState(like.new_zeros(window), like.new_zeros(state, dtype=precise)),
        )

    def grown(self, length: int) -> LayerCache:
        """The same content with room for more positions; states need none."""
        return LayerCache(self.config, self.attention.grown(length), self.states)

    def clear(self, rows: slice) -> None:
        """Forget rows. What a former row left is masked, but a masked NaN would still spread."""
        self.attention.keys[:, rows] = 0.0
        self.attention.values[:, rows] = 0.0

    def move(self, origin: Tensor, target: Tensor) -> None:
        """Copy some rows onto others."""
        tensors = [self.attention.keys, self.attention.values]
        if "m" in self.config.mixers:
            tensors += [self.states.window, self.states.state]
        for tensor in tensors:
            tensor[:, target] = tensor[:, origin]

    def prefill(self, packed: Sequence[LayerMemory]) -> list[LayerMemory]:
        """Memories of a pass over whole prompts, for :meth:`keep`; from those of a pack."""
        memories: list[LayerMemory] = []
        for memory in packed:
            if isinstance(memory, PackedMemory):
                memories.append(PrefillMemory(memory))
            elif isinstance(memory, PackedStates):
                memories.append(PrefillStates(memory.layout))
        return memories

    def keep(
        self,
        memories: Sequence[LayerMemory],
        take: Tensor,
        rows: Tensor,
        positions: Tensor,
        source: Tensor,
        new: slice,
    ) -> None:
        """Write what a pass over prompts left into new rows.

        Args:
            memories: of :meth:`prefill`, after the pass.
            take: (M,) fed positions whose keys and values are written.
            rows: (M,) rows that they go to.
            positions: (M,) positions in these rows.
            source: prompt of each new row.
            new: the new rows.
        """
        layer = recurrent = 0
        for memory in memories:
            if isinstance(memory, PrefillMemory):
                assert memory.keys is not None and memory.values is not None
                self.attention.keys[layer][rows, :, positions] = memory.keys[take]
                self.attention.values[layer][rows, :, positions] = memory.values[take]
                layer += 1
            elif isinstance(memory, PrefillStates):
                assert memory.last is not None
                self.states.window[recurrent, new] = memory.last.window[source].to(
                    self.states.window.dtype
                )
                self.states.state[recurrent, new] = memory.last.state[source]
                recurrent += 1

    def step(self, plan: StepPlan, lengths: Tensor) -> list[LayerMemory]:
        """Memories of one step; ``lengths``: (B,) positions fed to each of the first B rows."""
        mixers, mamba, rows = self.config.mixers, self.config.mamba, plan.rows
        used = KVCache(self.attention.keys[:, :rows], self.attention.values[:, :rows])
        layout = Ragged.build(lengths, mamba.chunk, mamba.taps - 1) if "m" in mixers else None
        memories: list[LayerMemory] = []
        for i, mixer in enumerate(mixers):
            number = mixers[:i].count(mixer)
            if mixer == "a":
                memories.append(StepMemory(used, number, plan))
            else:
                assert layout is not None
                window, state = self.states.window[number, :rows], self.states.state[number, :rows]
                memories.append(StepStates(layout, MambaState(window, state)))
        return memories
