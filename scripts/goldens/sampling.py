"""Makes test/goldens/infer/sampling.json: what transformers' processors leave of random logits.

usage: python sampling.py > test/goldens/infer/sampling.json
"""
import json, torch, transformers as T
from transformers.generation.logits_process import *

torch.manual_seed(7)
cases = []
settings = [
    dict(), dict(temperature=0.7), dict(temperature=1.7, top_k=5), dict(top_p=0.8), dict(top_p=0.05), dict(min_p=0.1),
    dict(repetition_penalty=1.3), dict(repetition_penalty=0.8, temperature=0.5),
    dict(temperature=0.6, top_k=20, top_p=0.9), dict(temperature=1.3, top_p=0.95, min_p=0.05, repetition_penalty=1.1),
    dict(top_k=1), dict(top_k=3, ties=True), dict(temperature=1.2, top_k=30, top_p=0.7, min_p=0.2, repetition_penalty=2.0),
]
for s in settings:
    for size in (12, 60):
        logits = (torch.randn(1, size) * 3).half().float()
        if s.get('ties'): logits = logits.round()
        seen = torch.randint(0, size, (1, 6))
        p = T.LogitsProcessorList()
        # The order of GenerationMixin._get_logits_processor.
        if 'repetition_penalty' in s: p.append(RepetitionPenaltyLogitsProcessor(s['repetition_penalty']))
        if 'temperature' in s: p.append(TemperatureLogitsWarper(s['temperature']))
        if 'top_k' in s: p.append(TopKLogitsWarper(s['top_k']))
        if 'top_p' in s: p.append(TopPLogitsWarper(s['top_p']))
        if 'min_p' in s: p.append(MinPLogitsWarper(s['min_p']))
        probabilities = torch.softmax(p(seen, logits.clone()), -1)[0]
        keep = {k: v for k, v in s.items() if k != 'ties'}
        cases.append(dict(settings=keep, logits=logits[0].tolist(), seen=seen[0].tolist(), probabilities=[float(f'{x:.8g}') for x in probabilities.tolist()]))
print(json.dumps({'transformers': T.__version__, 'cases': cases}))
