#!/usr/bin/env python3
"""The PyTorch peer of the segmenter benchmark: a fine-tuning step of ViT-S/16 with a pyramid of blocks 4, 6, 8
and 12, UPerNet and the auxiliary head; 2 images of 512 px, 21 classes, no drop path, dropout of channels 0, AdamW.
In bf16 under autocast, but for the resizes of logits and the losses.
usage: torch_upernet.py [fp32|bf16] [threads] [steps]      prints one JSON line"""
import json, os, resource, sys, time
import torch, torch.nn as nn, torch.nn.functional as F

mode = sys.argv[1] if len(sys.argv) > 1 else "fp32"
threads = int(sys.argv[2]) if len(sys.argv) > 2 else 2
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 5
torch.set_num_threads(threads)
# PEER_DEVICE=cuda: on the GPU, as the best plain PyTorch code would do it there (everything is made there).
device = os.environ.get("PEER_DEVICE", "cpu")
if device != "cpu": torch.set_default_device(device)
# TF32 where it is asked for, and nowhere else: PyTorch would let convolutions use it always.
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode == "tf32"
torch.manual_seed(0)
D, L, H, B, S, P, C, A = 384, 12, 6, 2, 64 if os.environ.get("PEER_TINY") else 512, 16, 21, 256
G = S // P
TAKEN, SCALES = (3, 5, 7, 11), (1, 2, 3, 6)
sdpa = getattr(F, "scaled_dot_product_attention", None)


class Block(nn.Module):
    def __init__(s):
        super().__init__()
        s.n1, s.n2 = nn.LayerNorm(D, eps=1e-6), nn.LayerNorm(D, eps=1e-6)
        s.qkv, s.p, s.f1, s.f2 = nn.Linear(D, 3 * D), nn.Linear(D, D), nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        s.g1, s.g2 = nn.Parameter(torch.ones(D)), nn.Parameter(torch.ones(D))

    def forward(s, x):
        b, t, _ = x.shape
        q, k, v = s.qkv(s.n1(x)).view(b, t, 3, H, D // H).permute(2, 0, 3, 1, 4)
        y = sdpa(q, k, v) if sdpa else (q @ k.transpose(-1, -2) * (D // H) ** -.5).softmax(-1) @ v
        x = x + s.g1 * s.p(y.transpose(1, 2).reshape(b, t, D))
        return x + s.g2 * s.f2(F.gelu(s.f1(s.n2(x))))


def cbr(n, out, side):
    return nn.Sequential(nn.Conv2d(n, out, side, padding=side // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU(True))


def up(x, size):
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


class Segmenter(nn.Module):
    def __init__(s):
        super().__init__()
        s.pe = nn.Conv2d(3, D, P, P)
        s.pos, s.cls = nn.Parameter(torch.zeros(1, G * G + 1, D)), nn.Parameter(torch.zeros(1, 1, D))
        s.b = nn.ModuleList(Block() for _ in range(L))
        s.fpn1 = nn.Sequential(nn.ConvTranspose2d(D, D, 2, 2), nn.BatchNorm2d(D), nn.GELU(), nn.ConvTranspose2d(D, D, 2, 2))
        s.fpn2 = nn.ConvTranspose2d(D, D, 2, 2)
        s.psp = nn.ModuleList(cbr(D, D, 1) for _ in SCALES)
        s.bottleneck = cbr((1 + len(SCALES)) * D, D, 3)
        s.lateral = nn.ModuleList(cbr(D, D, 1) for _ in range(3))
        s.fpn = nn.ModuleList(cbr(D, D, 3) for _ in range(3))
        s.fpn_bottleneck, s.seg = cbr(4 * D, D, 3), nn.Conv2d(D, C, 1)
        s.aux, s.aux_seg = cbr(D, A, 3), nn.Conv2d(A, C, 1)

    def forward(s, x):
        x = s.pe(x).flatten(2).transpose(1, 2)
        x = torch.cat([s.cls.expand(len(x), -1, -1), x], 1) + s.pos
        maps = []
        for i, block in enumerate(s.b):
            x = block(x)
            if i in TAKEN:
                maps.append(x[:, 1:].transpose(1, 2).reshape(len(x), D, G, G))
        p1, p2, p3, p4 = s.fpn1(maps[0]), s.fpn2(maps[1]), maps[2], F.max_pool2d(maps[3], 2)
        pooled = [up(m(F.adaptive_avg_pool2d(p4, n)), p4.shape[2:]) for n, m in zip(SCALES, s.psp)]
        xs = [m(p) for m, p in zip(s.lateral, (p1, p2, p3))] + [s.bottleneck(torch.cat([p4] + pooled, 1))]
        for i in (2, 1, 0):
            xs[i] = xs[i] + up(xs[i + 1], xs[i].shape[2:])
        out = [m(v) for m, v in zip(s.fpn, xs)] + [xs[3]]
        out = [out[0]] + [up(v, out[0].shape[2:]) for v in out[1:]]
        return s.seg(s.fpn_bottleneck(torch.cat(out, 1))), s.aux_seg(s.aux(p3))


model = Segmenter()
image, truth = torch.randn(B, 3, S, S), torch.randint(0, C, (B, S, S))
try:
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
except Exception:
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)


def step():
    with torch.autocast(device.split(":")[0], dtype=torch.bfloat16, enabled=mode == "bf16"):
        logits, auxiliary = (x.float() for x in model(image))
    loss = F.cross_entropy(up(logits, (S, S)), truth) + 0.4 * F.cross_entropy(up(auxiliary, (S, S)), truth)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.item()


step()
wall, work = [], []
for _ in range(steps):
    t, c = time.time(), time.process_time()
    loss = step()
    wall.append(time.time() - t)
    work.append(time.process_time() - c)
wall.sort()
work.sort()
# Multiply-adds of one image by the published rule (2.12) and of attention's products; forward and backward.
flops = 2 * 3 * B * 156.0e9
median = wall[steps // 2]
print(json.dumps(dict(peer="torch " + torch.__version__, mode=mode, threads=torch.get_num_threads(),
                      median_s=median, min_s=wall[0], cpu_s=work[steps // 2], images_per_s=B / median,
                      gflops=flops / median / 1e9,
                      peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, loss=loss)))
