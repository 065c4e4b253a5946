#!/usr/bin/env python3
"""The PyTorch peer of `assay embed`: embeddings of users x queries by a run's own weights, as plain PyTorch code does it.
usage: torch_embed.py WEIGHTS USERS PREFIX_TOKENS QUERIES [THREADS]      prints two JSON lines: whole sequences, and with a cache of its own
Only decoder and projection run, on random input embeddings of the same shape (users of PREFIX_TOKENS tokens, queries of 10):
reading data, splitting words and encoding events, which ours does in its time, is spared."""
import json, math, struct, sys, time
import torch, torch.nn.functional as F
path, U, P, Q = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]); torch.set_num_threads(int(sys.argv[5]) if len(sys.argv) > 5 else 2)
raw = open(path, "rb").read(); n = struct.unpack("<Q", raw[:8])[0]; head = json.loads(raw[8:8 + n])
w = {k: torch.frombuffer(bytearray(raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]), dtype=torch.float32).view(v["shape"]) for k, v in head.items() if k != "__metadata__"}
L = 1 + max(int(k.split(".")[2]) for k in w if k.startswith("model.layers.")); D = w["model.norm.weight"].numel(); H = 4; hd = D // H
KV = w["model.layers.0.self_attn.k_proj.weight"].shape[0] // hd; S = 10; B = 16
a = torch.outer(torch.arange(P + S).float(), 10000 ** (-torch.arange(0, hd, 2).float() / hd)); cos, sin = torch.cat([a.cos()] * 2, -1), torch.cat([a.sin()] * 2, -1)
def rms(x, name): return F.rms_norm(x, (D,), w[name], 1e-6) if hasattr(F, "rms_norm") else w[name] * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
def turn(x, at): u, v = x.chunk(2, -1); T = x.shape[2]; return x * cos[at:at + T] + torch.cat([-v, u], -1) * sin[at:at + T]
def lin(x, name): return F.linear(x, w[name + ".weight"], w.get(name + ".bias"))
def run(x, at=0, kept=None, keep=None, last=True):
    b, T, _ = x.shape
    for i in range(L):
        p = f"model.layers.{i}."; h = rms(x, p + "input_layernorm.weight")
        q, k, v = (lin(h, p + "self_attn." + m).view(b, T, -1, hd).transpose(1, 2) for m in ("q_proj", "k_proj", "v_proj")); q, k = turn(q, at), turn(k, at)
        if keep is not None: keep.append((k, v))
        if kept is not None:
            r = b // kept[i][0].shape[0]; k = torch.cat([kept[i][0].repeat_interleave(r, 0), k], 2); v = torch.cat([kept[i][1].repeat_interleave(r, 0), v], 2)
        k, v = k.repeat_interleave(H // KV, 1), v.repeat_interleave(H // KV, 1)
        if kept is None: y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else: y = F.scaled_dot_product_attention(q, k, v, attn_mask=torch.ones(T, at + T, dtype=torch.bool).tril(at))
        x = x + lin(y.transpose(1, 2).reshape(b, T, D), p + "self_attn.o_proj"); h = rms(x, p + "post_attention_layernorm.weight")
        x = x + lin(F.silu(lin(h, p + "mlp.gate_proj")) * lin(h, p + "mlp.up_proj"), p + "mlp.down_proj")
    if not last: return None
    x = rms(x[:, -1], "model.norm.weight"); return lin(F.gelu(lin(x, "projector.0")), "projector.2")
torch.manual_seed(0); users, asked = torch.randn(U, P, D), torch.randn(Q, S, D)
def whole(first, count): return torch.cat([run(torch.cat([users[u].expand(Q, P, D), asked], 1)) for u in range(first, first + count)])
def cached(first, count):
    keep = []; run(users[first:first + count], keep=keep, last=False); return run(asked.repeat(count, 1, 1), at=P, kept=keep)
with torch.inference_mode():
    d = (whole(0, 2) - cached(0, 2)).abs().max().item(); few = max(2, U // 12)  # whole sequences of fewer users: they take long
    t = time.time(); whole(0, few); t = time.time() - t
    print(json.dumps(dict(peer="torch " + torch.__version__, way="whole sequences", vectors_per_s=few * Q / t, threads=torch.get_num_threads())))
    t = time.time(); [cached(f, min(B, U - f)) for f in range(0, U, B)]; t = time.time() - t
    print(json.dumps(dict(peer="torch " + torch.__version__, way="its own cache", vectors_per_s=U * Q / t, difference=d, threads=torch.get_num_threads())))
