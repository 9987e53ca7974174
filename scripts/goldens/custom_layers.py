"""A small network of torch's own layers with PEFT's LoRA on it: gradients, training steps, saved adapter, merged weights.

usage: python custom_layers.py test/goldens/layers   (peft 0.21.2, torch 2.15)
Writes weights.safetensors and weights.bin (the frozen network), adapter/ (PEFT's, as it starts) and golden.json.
"""
import json, os, sys, warnings
import torch, peft
from torch import nn
from safetensors.torch import save_file
warnings.simplefilter('ignore')
out = sys.argv[1]; os.makedirs(out, exist_ok=True)
torch.manual_seed(3)

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 6); self.norm = nn.LayerNorm(6); self.hidden = nn.Linear(6, 8); self.out = nn.Linear(8, 3, bias=False)
    def forward(self, ids):
        return self.out(nn.functional.gelu(self.hidden(self.norm(self.words(ids).sum(1)))))

net = Network()
nn.init.normal_(net.norm.weight, 1, 0.1); nn.init.normal_(net.norm.bias, 0, 0.1)
weights = {k: v.clone() for k, v in net.state_dict().items()}
save_file(weights, f'{out}/weights.safetensors'); torch.save(net.state_dict(), f'{out}/weights.bin')
ids = torch.randint(0, 10, (5, 4)); labels = torch.tensor([0, 2, 1, 1, 0])
model = peft.get_peft_model(net, peft.LoraConfig(r=2, lora_alpha=6, target_modules=['words', 'hidden', 'out']))
for n, p in model.named_parameters():
    if 'lora_' in n: nn.init.normal_(p, std=0.3)
model.save_pretrained(f'{out}/adapter'); os.remove(f'{out}/adapter/README.md')
name = lambda n: n.removeprefix('base_model.model.').replace('.default', '')
flat = lambda t: {'shape': list(t.shape), 'values': [round(v, 9) for v in t.detach().flatten().tolist()]}
trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
golden = {'ids': ids.tolist(), 'labels': labels.tolist(), 'logits': flat(model(ids))}
optimizer = torch.optim.AdamW(trained.values(), lr=0.02, weight_decay=0.01)
losses = []
for step in range(6):
    optimizer.zero_grad(); loss = nn.functional.cross_entropy(model(ids), labels); loss.backward(); losses.append(loss.item())
    if step == 0: golden['gradients'] = {name(n): flat(p.grad) for n, p in trained.items()}
    norm = torch.nn.utils.clip_grad_norm_(trained.values(), 0.5)
    if step == 0: golden['gradNorm'] = norm.item()
    optimizer.step()
golden |= {'losses': losses, 'trained': {name(n): flat(p) for n, p in trained.items()}, 'logitsAfter': flat(model(ids))}
golden['merged'] = {n: flat(p) for n, p in model.merge_and_unload().state_dict().items()}
golden['trainable'] = sum(p.numel() for p in trained.values())
json.dump(golden, open(f'{out}/golden.json', 'w'), separators=(',', ':'))
