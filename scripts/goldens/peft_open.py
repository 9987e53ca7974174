"""Opens adapter folders in real PEFT and says what it found.

usage: python peft_open.py CASE ADAPTER [CASE ADAPTER ...]   CASE: a conformance case's folder (model/, golden.json, train.jsonl)
Prints one JSON object per pair: warnings, missing, unexpected, keys (what PEFT would save again), loss.
"""
import json, os, sys, warnings
os.environ['CUDA_VISIBLE_DEVICES'] = ''; os.environ['HF_HUB_OFFLINE'] = '1'
import torch, transformers as T
from safetensors.torch import load_file
import peft
T.logging.set_verbosity_error()

def loss_of(model, case):
    rows = [json.loads(line) for line in open(f'{case}/train.jsonl')]; total = count = 0.0
    with torch.no_grad():
        for r in rows:
            ids, labels = torch.tensor([r['input_ids']]), torch.tensor([r['labels']])
            n = int((labels[:, 1:] != -100).sum())
            if n == 0: continue
            lg = model(input_ids=ids).logits
            total += float(torch.nn.functional.cross_entropy(lg[0, :-1], labels[0, 1:], ignore_index=-100)) * n; count += n
    return total / count

for case, adapter in zip(sys.argv[1::2], sys.argv[2::2]):
    base = T.AutoModelForCausalLM.from_pretrained(f'{case}/model', dtype=torch.float32, attn_implementation='eager')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always'); model = peft.PeftModel.from_pretrained(base, adapter)
    model.eval(); saved = load_file(f'{adapter}/adapter_model.safetensors')
    cfg = model.peft_config['default']
    # Loading once more returns the keys that did not fit.
    result = peft.set_peft_model_state_dict(model, saved)
    ours = set(saved); again = set(peft.get_peft_model_state_dict(model))
    print(json.dumps({'warnings': [str(w.message) for w in caught if 'peft' in (w.filename or '') or 'adapter' in str(w.message)], 'unexpected': list(result.unexpected_keys), 'onlyOurs': sorted(ours - again), 'onlyTheirs': sorted(again - ours), 'loss': loss_of(model, case)}), flush=True)
