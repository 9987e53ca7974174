"""Adapters on tiny layers and what PEFT's add_weighted_adapter makes of them.

usage: python combine.py test/goldens/combine   (peft 0.21.2, torch 2.15)
Writes <case>-<adapter>/ folders (save_pretrained), and expected.safetensors with `<case>/<combination>/<module>` = the
update that the result has in PEFT, and for linear combinations of A and B the factors as `.../<module>.A` and `.B`.
`wanted/<case>/<module>` is the weighted sum of the updates, computed here.
"""
import json, os, shutil, sys, warnings
import peft, torch
from safetensors.torch import save_file
warnings.simplefilter('ignore')
out = sys.argv[1]
shutil.rmtree(out, ignore_errors=True)
os.makedirs(out)


class Base(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = torch.nn.Embedding(11, 6)
        self.q = torch.nn.Linear(6, 8, bias=False)
        self.v = torch.nn.Linear(8, 5, bias=False)

    def forward(self, x):
        return self.v(self.q(self.emb(x)))


def module(model, name):
    return getattr(model.base_model.model, name)


def factors(layer, name):
    if name in layer.lora_A:
        return layer.lora_A[name].weight, layer.lora_B[name].weight
    return layer.lora_embedding_A[name], layer.lora_embedding_B[name]


T = dict(target_modules=['q', 'v'])
cases = {
    # name: adapters (config, weight)
    'plain': [(dict(r=4, lora_alpha=8, **T), 0.7), (dict(r=4, lora_alpha=2, **T), 0.4), (dict(r=4, lora_alpha=4, **T), 1.5)],
    'negative': [(dict(r=3, lora_alpha=6, **T), 1.0), (dict(r=3, lora_alpha=3, **T), -0.6)],
    'ranks': [(dict(r=2, lora_alpha=4, **T), 0.5), (dict(r=5, lora_alpha=5, **T), 2.0)],
    'targets': [(dict(r=3, lora_alpha=3, target_modules=['q', 'emb']), 0.8), (dict(r=3, lora_alpha=9, target_modules=['q', 'v']), 0.3)],
    'patterns': [(dict(r=3, lora_alpha=6, rank_pattern={'v': 2}, alpha_pattern={'q': 1}, **T), 0.9), (dict(r=3, lora_alpha=3, rank_pattern={'v': 2}, **T), 1.1)],
    'rslora': [(dict(r=4, lora_alpha=8, use_rslora=True, **T), 1.0), (dict(r=4, lora_alpha=4, use_rslora=True, **T), 0.5)],
    'bias': [(dict(r=2, lora_alpha=4, lora_bias=True, **T), 0.5), (dict(r=2, lora_alpha=2, lora_bias=True, **T), 2.0)],
    'one': [(dict(r=4, lora_alpha=8, **T), 1.0)],
}
COMBINATIONS = ['linear', 'cat', 'svd', 'ties', 'magnitude_prune']
expected, facts = {}, {}
for seed, (case, adapters) in enumerate(cases.items()):
    torch.manual_seed(seed)
    model = None
    names = [f'a{i}' for i in range(len(adapters))]
    for name, (config, _) in zip(names, adapters):
        config = peft.LoraConfig(init_lora_weights=False, **config)
        if model is None: model = peft.get_peft_model(Base(), config, adapter_name=name)
        else: model.add_adapter(name, config)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if 'lora_' in key: value.copy_(torch.randn(value.shape))
    for name in names:
        model.save_pretrained(f'{out}/{case}-{name}', selected_adapters=[name])
        folder = f'{out}/{case}-{name}'
        if os.path.isdir(f'{folder}/{name}'):
            for file in os.listdir(f'{folder}/{name}'): shutil.move(f'{folder}/{name}/{file}', f'{folder}/{file}')
            os.rmdir(f'{folder}/{name}')
        if os.path.exists(f'{folder}/README.md'): os.remove(f'{folder}/README.md')
    weights = [w for _, w in adapters]
    facts[case] = {'weights': weights, 'refused': {}, 'config': {}}
    for target in ['emb', 'q', 'v']:
        layer = module(model, target)
        if not hasattr(layer, 'lora_A'): continue
        held = [(n, w) for n, w in zip(names, weights) if n in layer.lora_A or n in layer.lora_embedding_A]
        if held: expected[f'wanted/{case}/{target}'] = sum(w * layer.get_delta_weight(n).detach() for n, w in held).contiguous()
        if config.lora_bias:
            expected[f'wanted/{case}/{target}.bias'] = sum(w * layer.scaling[n] * layer.lora_B[n].bias.detach() for n, w in held)
    for combination in COMBINATIONS:
        for sign in ['total', 'frequency'] if combination == 'ties' else ['total']:
            name = combination if sign == 'total' else f'{combination}_{sign}'
            try:
                density = 0.5 if combination in ('ties', 'magnitude_prune') else None
                model.add_weighted_adapter(names, weights, name, combination_type=combination, density=density, majority_sign_method=sign)
            except Exception as error:
                facts[case]['refused'][name] = f'{type(error).__name__}: {error}'[:160]
                if name in model.peft_config: model.delete_adapter(name)
                continue
            facts[case]['config'][name] = {'r': model.peft_config[name].r}
            for target in ['emb', 'q', 'v']:
                layer = module(model, target)
                if not hasattr(layer, 'lora_A') or name not in layer.scaling: continue
                expected[f'{case}/{name}/{target}'] = layer.get_delta_weight(name).detach().clone().contiguous()
                if combination not in ('cat', 'svd'):
                    a, b = factors(layer, name)
                    expected[f'{case}/{name}/{target}.A'] = a.detach().clone().contiguous()
                    expected[f'{case}/{name}/{target}.B'] = b.detach().clone().contiguous()
save_file(expected, f'{out}/expected.safetensors')
json.dump({'peft': peft.__version__, 'cases': facts}, open(f'{out}/cases.json', 'w'), indent=1)
print(len(expected), 'tensors', json.dumps({k: v['refused'] for k, v in facts.items()}, indent=1))
