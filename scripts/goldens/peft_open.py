"""Opens adapter folders in real PEFT and says what it found.

usage: python peft_open.py CASE ADAPTER [CASE ADAPTER ...]   CASE: a conformance case's folder (model/, golden.json, train.jsonl)
Prints one JSON object per pair: warnings, missing, unexpected, keys (what PEFT would save again), loss.
"""
import json, os, sys, warnings
os.environ['CUDA_VISIBLE_DEVICES'] = ''; os.environ['HF_HUB_OFFLINE'] = '1'
import torch, transformers as T
from safetensors.torch import load_file
import peft
from heads import loss_of, model_class
T.logging.set_verbosity_error()

for case, adapter in zip(sys.argv[1::2], sys.argv[2::2]):
    base = model_class(f'{case}/model').from_pretrained(f'{case}/model', dtype=torch.float32, attn_implementation='eager')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always'); model = peft.PeftModel.from_pretrained(base, adapter)
    model.eval(); saved = load_file(f'{adapter}/adapter_model.safetensors')
    cfg = model.peft_config['default']
    # Loading once more returns the keys that did not fit.
    result = peft.set_peft_model_state_dict(model, saved)
    ours = set(saved); again = set(peft.get_peft_model_state_dict(model))
    print(json.dumps({'warnings': [str(w.message) for w in caught if 'peft' in (w.filename or '') or 'adapter' in str(w.message)], 'unexpected': list(result.unexpected_keys), 'onlyOurs': sorted(ours - again), 'onlyTheirs': sorted(again - ours), 'loss': loss_of(model, f'{case}/train.jsonl')}), flush=True)
