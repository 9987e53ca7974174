"""Opens a bottleneck adapter's folder in the real AdapterHub library and says what it found.

usage: python adapterhub_open.py CASE ADAPTER [CASE ADAPTER ...]   CASE: a folder with model/ and train.jsonl (input_ids, label)
Prints a JSON object a pair: missing and unexpected keys, the mean loss as the library loads the folder, and the loss once
trained.safetensors, which the library passes over, is loaded too.
"""
import json, os, pathlib, sys
os.environ['CUDA_VISIBLE_DEVICES'] = ''; os.environ['HF_HUB_OFFLINE'] = '1'
import adapters, torch, transformers as T
from safetensors.torch import load_file
T.logging.set_verbosity_error()


def loss_of(model, rows):
    with torch.no_grad():
        losses = [torch.nn.functional.cross_entropy(model(input_ids=torch.tensor([r['input_ids']])).logits, torch.tensor([r['label']])) for r in rows]
    return float(sum(losses) / len(losses))


for case, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    labels = json.loads((pathlib.Path(folder) / 'head_config.json').read_text())['num_labels']
    model = T.AutoModelForSequenceClassification.from_pretrained(f'{case}/model', num_labels=labels, dtype=torch.float32, attn_implementation='eager')
    adapters.init(model)
    info = {}
    model.load_adapter(folder, loading_info=info, set_active=True)
    model.eval()
    rows = [json.loads(line) for line in open(f'{case}/train.jsonl')]
    plain = loss_of(model, rows)
    besides = pathlib.Path(folder) / 'trained.safetensors'
    unknown = model.load_state_dict(load_file(besides), strict=False).unexpected_keys if besides.exists() else []
    print(json.dumps({'missing': info['missing_keys'], 'unexpected': info['unexpected_keys'] + unknown, 'plain': plain, 'whole': loss_of(model, rows)}), flush=True)
