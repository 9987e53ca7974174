"""State files that the real loralib makes, and the ΔW of each of their layers.

usage: python loralib_files.py test/goldens/loralib   (loralib 0.1.2, torch 2.15)
Sizes are those of test/goldens/models/gpt2, so that a converted file can be put on it.
Writes NAME.bin (lora.lora_state_dict) and deltas.safetensors: NAME/MODULE, ΔW as [out, in] ([tokens, width] for embeddings).
"""
import os, sys
import loralib as lora, torch
from torch import nn
from safetensors.torch import save_file

out = sys.argv[1]; os.makedirs(out, exist_ok=True)
torch.manual_seed(0)
D, ALPHA = 16, 32

def gpt2(enable, plain, embedding=False):
    def block():
        b = nn.Module(); b.attn = nn.Module(); b.mlp = nn.Module()
        b.attn.c_attn = lora.MergedLinear(D, 3 * D, r=4, lora_alpha=ALPHA, enable_lora=enable, fan_in_fan_out=True)
        if plain: b.mlp.c_fc = lora.Linear(D, 4 * D, r=2, lora_alpha=ALPHA, fan_in_fan_out=True)
        return b
    m = nn.Module(); m.transformer = nn.Module(); m.transformer.h = nn.ModuleList([block(), block()])
    if embedding: m.transformer.wte = lora.Embedding(60, D, r=3, lora_alpha=ALPHA)
    for n, p in m.named_parameters():
        if 'lora_' in n or 'bias' in n: nn.init.normal_(p, std=0.1)
    return m

def deltas(m):
    for n, layer in m.named_modules():
        if isinstance(layer, lora.MergedLinear): yield n, (layer.merge_AB() * layer.scaling).t()
        elif isinstance(layer, lora.Embedding): yield n, (layer.lora_B @ layer.lora_A).t() * layer.scaling
        elif isinstance(layer, lora.Linear): yield n, layer.lora_B @ layer.lora_A * layer.scaling

found = {}
for name, m, bias in [('gpt2-qv', gpt2([True, False, True], False), 'none'), ('gpt2-mixed', gpt2([True, False, True], True, True), 'lora_only'), ('gpt2-kv', gpt2([False, True, True], False), 'none'), ('gpt2-qkv', gpt2([True, True, True], False), 'none')]:
    torch.save(lora.lora_state_dict(m, bias=bias), f'{out}/{name}.bin')
    for n, d in deltas(m): found[f'{name}/{n}'] = d.detach().contiguous()
torch.save(m.state_dict(), f'{out}/whole.bin')
save_file(found, f'{out}/deltas.safetensors')
