#!/usr/bin/env python3
"""Time one optimiser step of the benchmark's model in PyTorch: the yardstick for `benchmark train_step`.

Usage: torch_train_step.py [--config toy|small|base] [--mode eager|compile|reduce-overhead|max-autotune|graph]
                           [--device cpu|cuda] [--dtype f32|tf32|bf16] [--threads N] [--steps N]
Prints one JSON line: configuration, parameters, median and fastest step in ms, target tokens a second, memory.

The same work as ours: a pre-norm encoder-decoder with sinusoidal positions, dropout 0.1 after the embeddings, each
sublayer, the ReLU and on the attention weights, output weights tied to the target embedding, smoothed
cross-entropy (0.1) and Adam, on one batch of random ids without padding.

It uses the fastest public path that the installed PyTorch offers (scaled_dot_product_attention without dense masks,
fused Adam, one packed product for queries, keys and values; 'graph' captures the whole step in a CUDA graph), so
that a ratio against it is a ratio against PyTorch at its best. compare.sh runs it with the settings that it likes.
"""
import argparse, json, math, resource, statistics, time
import torch
import torch.nn as nn
import torch.nn.functional as F

CONFIGS = {
    # d_model, heads, encoder = decoder layers, feed-forward width, vocabulary, batch, length
    "toy":   dict(d=128, h=4, L=2, ff=512,  V=1000,  B=64, S=16),
    "small": dict(d=256, h=4, L=3, ff=1024, V=8000,  B=64, S=32),
    "base":  dict(d=512, h=8, L=6, ff=2048, V=32000, B=64, S=64),
}


def sdpa(q, k, v, causal, p):
    """The benchmark's ids hold no padding, so the only mask is the decoder's causal one."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=causal)
    s = (q @ k.transpose(-2, -1)) / math.sqrt(q.shape[-1])
    if causal:
        s = s + torch.full(s.shape[-2:], float("-inf")).triu(1)
    return F.dropout(s.softmax(-1), p) @ v


class Attention(nn.Module):
    def __init__(self, d, h, p, cross):
        super().__init__()
        self.h, self.p, self.cross = h, p, cross
        if cross:
            self.q, self.kv = nn.Linear(d, d), nn.Linear(d, 2 * d)
        else:
            self.qkv = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)

    def split(self, x):
        b, t, d = x.shape
        return x.view(b, t, self.h, d // self.h).transpose(1, 2)

    def forward(self, x, memory, causal):
        if self.cross:
            q = self.q(x)
            k, v = self.kv(memory).chunk(2, -1)
        else:
            q, k, v = self.qkv(x).chunk(3, -1)
        y = sdpa(self.split(q), self.split(k), self.split(v), causal, self.p if self.training else 0.0)
        b, h, t, e = y.shape
        return self.out(y.transpose(1, 2).reshape(b, t, h * e))


class Block(nn.Module):
    def __init__(self, d, h, ff, p, decoder):
        super().__init__()
        self.self_attention = Attention(d, h, p, False)
        self.cross_attention = Attention(d, h, p, True) if decoder else None
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(3 if decoder else 2))
        self.up, self.down, self.drop = nn.Linear(d, ff), nn.Linear(ff, d), nn.Dropout(p)

    def forward(self, x, memory=None):
        x = x + self.drop(self.self_attention(self.norms[0](x), None, self.cross_attention is not None))
        if self.cross_attention is not None:
            x = x + self.drop(self.cross_attention(self.norms[1](x), memory, False))
        return x + self.drop(self.down(self.drop(F.relu(self.up(self.norms[-1](x))))))


class Model(nn.Module):
    def __init__(self, d, h, L, ff, V, p=0.1, longest=512):
        super().__init__()
        self.d = d
        self.source, self.target = nn.Embedding(V, d), nn.Embedding(V, d)
        pos = torch.arange(longest).unsqueeze(1) * torch.exp(torch.arange(0, d, 2) * (-math.log(1e4) / d))
        self.register_buffer("positions", torch.stack([pos.sin(), pos.cos()], -1).reshape(longest, d))
        self.encoder = nn.ModuleList(Block(d, h, ff, p, False) for _ in range(L))
        self.decoder = nn.ModuleList(Block(d, h, ff, p, True) for _ in range(L))
        self.norms = nn.ModuleList([nn.LayerNorm(d), nn.LayerNorm(d)])
        self.drop, self.head = nn.Dropout(p), nn.Linear(d, V, bias=False)
        self.head.weight = self.target.weight
        for table in (self.source, self.target):
            nn.init.normal_(table.weight, std=d ** -0.5)

    def embed(self, table, ids):
        return self.drop(table(ids) * math.sqrt(self.d) + self.positions[: ids.shape[1]])

    def forward(self, x, y):
        m = self.embed(self.source, x)
        for b in self.encoder:
            m = b(m)
        m = self.norms[0](m)
        t = self.embed(self.target, y)
        for b in self.decoder:
            t = b(t, m)
        return self.head(self.norms[1](t))


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--config", default="small", choices=CONFIGS)
    a.add_argument("--mode", default="eager", choices=["eager", "compile", "reduce-overhead", "max-autotune", "graph"])
    a.add_argument("--device", default="cpu")
    a.add_argument("--dtype", default="f32", choices=["f32", "tf32", "bf16"])
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--steps", type=int, default=15)
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    if a.dtype == "tf32":
        torch.set_float32_matmul_precision("high")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    c = CONFIGS[a.config]
    V, B, S = c["V"], c["B"], c["S"]
    model = Model(c["d"], c["h"], c["L"], c["ff"], V).to(a.device)
    n_params = sum(p.numel() for p in model.parameters())
    adam = dict(lr=1e-4, betas=(0.9, 0.98), eps=1e-9)
    try:
        opt = torch.optim.Adam(model.parameters(), **adam, fused=True, **({"capturable": True} if a.mode == "graph" else {}))
    except (RuntimeError, TypeError):
        opt = torch.optim.Adam(model.parameters(), **adam)
    x = torch.randint(1, V, (B, S), device=a.device)
    y = torch.randint(1, V, (B, S + 1), device=a.device)

    def loss_of():
        with torch.autocast(a.device, torch.bfloat16, enabled=a.dtype == "bf16"):
            z = model(x, y[:, :-1])
            return F.cross_entropy(z.reshape(-1, V).float(), y[:, 1:].reshape(-1), ignore_index=0, label_smoothing=0.1)

    if a.mode not in ("eager", "graph"):
        loss_of = torch.compile(loss_of, mode=None if a.mode == "compile" else a.mode)

    def step():
        opt.zero_grad(set_to_none=a.mode != "graph")
        loss = loss_of()
        loss.backward()
        opt.step()
        return loss

    if a.mode == "graph":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = step()

        def step():
            graph.replay()
            return captured

    times = []
    for i in range(a.steps + 5):
        if a.device == "cuda":
            torch.cuda.synchronize()
        t = time.perf_counter()
        loss = step()
        if a.device == "cuda":
            torch.cuda.synchronize()
        if i >= 5:
            times.append(time.perf_counter() - t)
    med = statistics.median(times)
    peak = torch.cuda.max_memory_allocated() if a.device == "cuda" else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(dict(who="torch " + torch.__version__, config=a.config, mode=a.mode, device=a.device,
                          dtype=a.dtype, params=n_params, step_ms=round(med * 1e3, 3), min_ms=round(min(times) * 1e3, 3),
                          target_tokens_per_s=round(B * S / med), peak_mb=round(peak / 2**20, 1),
                          before_mb=round(before / 2**20, 1), loss=round(loss.item(), 4))))


if __name__ == "__main__":
    main()
