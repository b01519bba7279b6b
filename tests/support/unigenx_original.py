"""UniGenX's network and samplers as the spec defines them, in plain functions over a state dict.

Written from sections 2 and 4 of the spec for tests alone: no module of SciAR's network is used.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def random_state(
    vocabulary: int, *, hidden: int = 32, layers: int = 2, ffn: int = 48, width: int = 24,
    depth: int = 2, outputs: int = 6, prefix: str = "net.", seed: int = 0,
) -> State:  # fmt: skip
    """Random weights under the names of a checkpoint."""
    generator = torch.Generator().manual_seed(seed)

    def tensor(*shape: int) -> Tensor:
        scale = 1.5 / math.sqrt(shape[-1]) if len(shape) > 1 else 0.1
        return scale * torch.randn(*shape, generator=generator)

    def linear(name: str, out: int, into: int, bias: bool = True) -> None:
        state[f"{name}.weight"] = tensor(out, into)
        if bias:
            state[f"{name}.bias"] = tensor(out)

    state: State = {"model.embed_tokens.weight": tensor(vocabulary, hidden)}
    for i in range(layers):
        at = f"model.layers.{i}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            linear(f"{at}.self_attn.{name}", hidden, hidden, bias=False)
        linear(f"{at}.mlp.gate_proj", ffn, hidden, bias=False)
        linear(f"{at}.mlp.up_proj", ffn, hidden, bias=False)
        linear(f"{at}.mlp.down_proj", hidden, ffn, bias=False)
        for name in ("input_layernorm", "post_attention_layernorm"):
            state[f"{at}.{name}.weight"] = 1 + tensor(hidden)
    state["model.norm.weight"] = 1 + tensor(hidden)
    linear("lm_head", vocabulary, hidden, bias=False)
    linear("coords.first", hidden, 3)
    linear("coords.second", hidden, hidden)
    net = "diffloss.net"
    linear(f"{net}.time_embed.mlp.0", width, 256)
    linear(f"{net}.time_embed.mlp.2", width, width)
    linear(f"{net}.cond_embed", width, hidden)
    linear(f"{net}.input_proj", width, 3)
    for i in range(depth):
        at = f"{net}.res_blocks.{i}"
        state[f"{at}.in_ln.weight"], state[f"{at}.in_ln.bias"] = 1 + tensor(width), tensor(width)
        linear(f"{at}.mlp.0", width, width)
        linear(f"{at}.mlp.2", width, width)
        linear(f"{at}.adaLN_modulation.1", 3 * width, width)
    linear(f"{net}.final_layer.linear", outputs, width)
    linear(f"{net}.final_layer.adaLN_modulation.1", 2 * width, width)
    return {prefix + name: value for name, value in state.items()}


def write_checkpoint(path: Path, state: State, container: str = "model", **args: Any) -> Path:
    """As the release writes them: tensors and a namespace of settings."""
    torch.save({container: state, "args": argparse.Namespace(**args)}, path)
    return path


def hidden_states(state: State, ids: Tensor, mask: Tensor, rows: Tensor, heads: int) -> Tensor:
    """(S, h) of one sequence (spec 2.1, 2.2): ``rows`` fill the places where ``mask`` is set."""
    s = {k.removeprefix("net."): v for k, v in state.items()}
    x = s["model.embed_tokens.weight"][ids]
    first = F.linear(rows, s["coords.first.weight"], s["coords.first.bias"])
    x[mask] = F.linear(F.gelu(first), s["coords.second.weight"], s["coords.second.bias"])
    length, width = len(ids), x.shape[1] // heads
    inverse = 10_000.0 ** (-torch.arange(0, width, 2).float() / width)
    angle = torch.arange(length).float()[:, None] * inverse
    cos, sin = (torch.cat([f(angle)] * 2, dim=-1) for f in (torch.cos, torch.sin))

    def norm(y: Tensor, weight: Tensor) -> Tensor:
        return weight * y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6)

    def turned(y: Tensor) -> Tensor:
        half = width // 2
        swapped = torch.cat([-y[..., half:], y[..., :half]], dim=-1)
        return y * cos + swapped * sin

    for i in range(1 + max(int(k.split(".")[2]) for k in s if k.startswith("model.layers."))):
        at = f"model.layers.{i}"
        y = norm(x, s[f"{at}.input_layernorm.weight"])
        q, k, v = (
            F.linear(y, s[f"{at}.self_attn.{n}_proj.weight"])
            .view(length, heads, width)
            .transpose(0, 1)
            for n in "qkv"
        )
        scores = turned(q) @ turned(k).transpose(1, 2) / math.sqrt(width)
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        y = scores.masked_fill(later, float("-inf")).softmax(-1) @ v
        x = x + F.linear(y.transpose(0, 1).reshape(length, -1), s[f"{at}.self_attn.o_proj.weight"])
        y = norm(x, s[f"{at}.post_attention_layernorm.weight"])
        gate = F.silu(F.linear(y, s[f"{at}.mlp.gate_proj.weight"]))
        y = gate * F.linear(y, s[f"{at}.mlp.up_proj.weight"])
        x = x + F.linear(y, s[f"{at}.mlp.down_proj.weight"])
    return norm(x, s["model.norm.weight"])


def head(state: State, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
    """(N, 3 or 6) outputs of the diffusion head (spec 2.3)."""
    s = {k.removeprefix("net.diffloss.net."): v for k, v in state.items()}

    def linear(name: str, y: Tensor) -> Tensor:
        return F.linear(y, s[f"{name}.weight"], s[f"{name}.bias"])

    frequency = torch.exp(-math.log(10_000.0) * torch.arange(128).float() / 128)
    angle = t.float()[:, None] * frequency
    features = torch.cat([angle.cos(), angle.sin()], dim=-1)
    y = linear("time_embed.mlp.2", F.silu(linear("time_embed.mlp.0", features)))
    y = y + linear("cond_embed", condition)
    u = linear("input_proj", x)
    for i in range(1 + max(int(k.split(".")[1]) for k in s if k.startswith("res_blocks."))):
        at = f"res_blocks.{i}"
        shift, scale, gate = linear(f"{at}.adaLN_modulation.1", F.silu(y)).chunk(3, dim=-1)
        z = F.layer_norm(u, u.shape[-1:], s[f"{at}.in_ln.weight"], s[f"{at}.in_ln.bias"], 1e-6)
        z = F.silu(linear(f"{at}.mlp.0", z * (1 + scale) + shift))
        u = u + gate * linear(f"{at}.mlp.2", z)
    shift, scale = linear("final_layer.adaLN_modulation.1", F.silu(y)).chunk(2, dim=-1)
    return linear(
        "final_layer.linear", F.layer_norm(u, u.shape[-1:], eps=1e-6) * (1 + scale) + shift
    )


def alpha_bars() -> Tensor:
    """(1000,) of the cosine schedule, betas clipped at 0.999 (spec 2.3)."""

    def level(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - level((i + 1) / 1000) / level(i / 1000), 0.999) for i in range(1000)]
    return torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), 0)


def respaced(levels: int) -> tuple[Tensor, Tensor]:
    """Levels of the respaced table and their cumulative signal (spec 4.2)."""
    index = torch.tensor([round(i * 999 / (levels - 1)) for i in range(levels)])
    return index, alpha_bars()[index]


def ddpm(
    state: State, condition: Tensor, start: Tensor, noises: dict[int, Tensor], levels: int
) -> Tensor:
    """Ancestral sampling with given noises, by the respaced betas."""
    index, bars = respaced(levels)
    before = torch.cat([torch.ones(1, dtype=torch.float64), bars[:-1]])
    betas = 1 - bars / before
    posterior = betas * (1 - before) / (1 - bars)
    clipped = torch.cat([posterior[1:2], posterior[1:]]).log()
    x = start.double()
    for i in reversed(range(levels)):
        t = torch.full((len(x),), float(index[i]))
        out = head(state, x.float(), t, condition).double()
        epsilon = out[:, :3]
        clean = (x - (1 - bars[i]).sqrt() * epsilon) / bars[i].sqrt()
        mean = betas[i] * before[i].sqrt() / (1 - bars[i]) * clean
        mean = mean + (1 - before[i]) * (1 - betas[i]).sqrt() / (1 - bars[i]) * x
        if i == 0:
            return mean
        if out.shape[1] == 6:
            share = (out[:, 3:] + 1) / 2
            log_variance = share * betas[i].log() + (1 - share) * clipped[i]
        else:
            log_variance = betas[i].log().expand_as(x)
        x = mean + (0.5 * log_variance).exp() * noises[i].double()
    return x


def dpm(
    state: State, condition: Tensor, start: Tensor, levels: int = 200, evaluations: int = 20
) -> Tensor:
    """DPM-Solver++ of order 2, multistep, on the respaced table (spec 4.2)."""
    index, bars = respaced(levels)
    log_alpha = 0.5 * bars.log()
    snr = log_alpha - 0.5 * (1 - bars).log()
    log_alpha, snr = log_alpha[snr >= -5.1], snr[snr >= -5.1]
    count = len(snr)
    knots = torch.arange(1, count + 1, dtype=torch.float64) / count

    def between(x: float, xs: Tensor, ys: Tensor) -> float:
        place = int(torch.searchsorted(xs, torch.tensor(x, dtype=torch.float64)))
        place = min(max(place, 1), len(xs) - 1)
        share = (x - float(xs[place - 1])) / float(xs[place] - xs[place - 1])
        return float(ys[place - 1]) + share * float(ys[place] - ys[place - 1])

    targets = torch.linspace(float(snr[-1]), float(snr[0]), evaluations + 1, dtype=torch.float64)
    times = [between(float(v), snr.flip(0), knots.flip(0)) for v in targets]
    known: list[tuple[float, Tensor]] = []
    x = start.double()
    for k in range(evaluations + 1):
        log = between(times[k], knots, log_alpha)
        alpha, sigma = math.exp(log), math.sqrt(1 - math.exp(2 * log))
        here = log - math.log(sigma)
        if k:
            (last, clean), h = known[-1], here - known[-1][0]
            update = clean
            if len(known) > 1:
                ratio = (last - known[-2][0]) / h
                update = clean + 0.5 / ratio * (clean - known[-2][1])
            x = sigma / before_sigma * x - alpha * math.expm1(-h) * update  # noqa: F821
        if k < evaluations:
            level = index[min(math.floor(times[k] * (levels - 1)), levels - 1)]
            t = torch.full((len(x),), float(level))
            noise = head(state, x.float(), t, condition)[:, :3].double()
            known.append((here, (x - sigma * noise) / alpha))
        before_sigma = sigma  # noqa: F841
    return x
