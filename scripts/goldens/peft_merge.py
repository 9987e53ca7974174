"""Updates, magnitudes, merged and unmerged weights as PEFT computes them on tiny layers.

usage: python peft_merge.py test/goldens/peft/merge.json   (peft 0.21.2, torch 2.15)
"""
import json, sys, warnings
import peft, torch
from transformers.pytorch_utils import Conv1D
warnings.simplefilter('ignore')
class Base(torch.nn.Module):
    def __init__(self, kind, bias):
        super().__init__()
        self.lin = torch.nn.Linear(5, 7, bias=bias) if kind == 'linear' else Conv1D(7, 5) if kind == 'conv1d' else torch.nn.Embedding(9, 6)
    def forward(self, x): return self.lin(x)
def numbers(t): return {'shape': list(t.shape), 'values': [float(v) for v in t.detach().flatten().float()]}
cases = []
for seed, (kind, bias, dtype, configs, weights) in enumerate([
    ('linear', True, 'f32', [dict(r=3, lora_alpha=6)], [1]), ('linear', False, 'f32', [dict(r=4, lora_alpha=3, use_rslora=True)], [1]), ('conv1d', True, 'f32', [dict(r=5, lora_alpha=8)], [1]), ('embedding', False, 'f32', [dict(r=2, lora_alpha=8)], [1]),
    ('linear', True, 'f32', [dict(r=4, use_dora=True)], [1]), ('conv1d', True, 'f32', [dict(r=3, use_dora=True)], [1]), ('embedding', False, 'f32', [dict(r=3, lora_alpha=4, use_dora=True)], [1]),
    ('linear', True, 'f32', [dict(r=3, lora_bias=True)], [1]), ('conv1d', True, 'f32', [dict(r=2, lora_alpha=6, lora_bias=True)], [1]), ('linear', True, 'bf16', [dict(r=3, lora_alpha=6)], [1]), ('linear', True, 'f16', [dict(r=3, lora_alpha=6, lora_bias=True)], [1]), ('embedding', False, 'bf16', [dict(r=2)], [1]),
    ('linear', False, 'f32', [dict(r=3), dict(r=6, lora_alpha=2)], [0.5, -2]), ('conv1d', True, 'f32', [dict(r=3, lora_bias=True), dict(r=1)], [1.5, 1]), ('embedding', False, 'f32', [dict(r=3), dict(r=1)], [1, 0.25]), ('linear', False, 'f32', [dict(r=3, use_dora=True), dict(r=2, use_dora=True)], [1, 1]), ('linear', False, 'f32', [dict(r=3, use_dora=True), dict(r=2)], [1, 1]), ('linear', False, 'bf16', [dict(r=3, use_dora=True)], [1]),
]):
    torch.manual_seed(seed)
    base = Base(kind, bias).to({'f32': torch.float32, 'bf16': torch.bfloat16, 'f16': torch.float16}[dtype])
    with torch.no_grad():
        for p in base.parameters(): p.copy_(torch.randn(p.shape) * .5)
    row = {'kind': kind, 'dtype': dtype, 'weight': numbers(base.lin.weight), 'adapters': []}
    if getattr(base.lin, 'bias', None) is not None: row['bias'] = numbers(base.lin.bias)
    m = None
    for i, c in enumerate(configs):
        cfg = peft.LoraConfig(target_modules=['lin'], init_lora_weights=False, fan_in_fan_out=kind == 'conv1d', **c)
        if m is None: m = peft.get_peft_model(base, cfg, adapter_name='a0')
        else: m.add_adapter(f'a{i}', cfg)
    layer = m.base_model.model.lin
    for i, w in enumerate(weights):
        n = f'a{i}'; layer.scaling[n] *= w
        A, B = (layer.lora_embedding_A[n], layer.lora_embedding_B[n]) if kind == 'embedding' else (layer.lora_A[n].weight, layer.lora_B[n].weight)
        e = {'a': numbers(A), 'b': numbers(B), 'scale': layer.scaling[n], 'delta': numbers(layer.get_delta_weight(n))}
        if n in layer.lora_magnitude_vector:
            mag = layer.lora_magnitude_vector[n].weight; e['initialMagnitude'] = numbers(mag)
            with torch.no_grad(): mag.mul_(1 + .3 * torch.rand_like(mag))
            e['magnitude'] = numbers(mag)
        if layer.lora_bias[n]: e['bBias'] = numbers(layer.lora_B[n].bias)
        row['adapters'].append(e)
    layer.merge(adapter_names=[f'a{i}' for i in range(len(configs))])
    row['mergedWeight'] = numbers(layer.base_layer.weight)
    if 'bias' in row: row['mergedBias'] = numbers(layer.base_layer.bias)
    cases.append(row)
json.dump({'peft': peft.__version__, 'cases': cases}, open(sys.argv[1], 'w'), separators=(',', ':'))
print(len(cases), 'cases')
