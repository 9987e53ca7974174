"""How PEFT reads adapter_config.json with unknown, missing and null fields: on a tiny model, by what it then computes.

usage: python adapter_configs.py test/goldens/peft/configs.json   (peft 0.21.2, transformers 5.24, torch 2.15)
A case changes one config: `set` (null included) and `drop`. `reads` says whether PeftModel.from_pretrained took it, `usual`
whether the logits are those of the config as saved, `ignored` which names its warning lists.
"""
import json, os, re, sys, tempfile, warnings
os.environ['HF_HUB_OFFLINE'] = '1'
import torch, transformers as T, peft
T.logging.set_verbosity_error()

def base():
    torch.manual_seed(0)
    return T.AutoModelForCausalLM.from_config(T.LlamaConfig(vocab_size=40, hidden_size=8, num_attention_heads=2, num_key_value_heads=1, intermediate_size=12, num_hidden_layers=2, max_position_embeddings=32)).eval()
ids = torch.randint(3, 40, (2, 9), generator=torch.Generator().manual_seed(1))
folder = tempfile.mkdtemp()
model = peft.get_peft_model(base(), peft.LoraConfig(task_type='CAUSAL_LM', r=8, lora_alpha=8, target_modules=['q_proj', 'v_proj']))
for n, p in model.named_parameters():
    if 'lora_' in n: torch.nn.init.normal_(p, std=0.3)
model.save_pretrained(folder)
full = json.load(open(f'{folder}/adapter_config.json'))
old = {k: full[k] for k in ['base_model_name_or_path', 'bias', 'fan_in_fan_out', 'inference_mode', 'init_lora_weights', 'lora_alpha', 'lora_dropout', 'modules_to_save', 'peft_type', 'r', 'target_modules', 'task_type']}

def read(config):
    json.dump(config, open(f'{folder}/adapter_config.json', 'w'))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        try:
            with torch.no_grad(): out = peft.PeftModel.from_pretrained(base(), folder)(ids).logits
        except Exception as e: return {'reads': False, 'error': f'{type(e).__name__}: {e}'.split('\n')[0][:160]}, None
    said = [str(w.message) for w in caught]
    names = [n for s in said for m in re.findall(r'Unexpected keyword arguments (\[.*?\])', s) for n in re.findall(r"'([^']+)'", m)]
    missing = any('missing adapter keys' in s for s in said)
    return {'reads': True, **({'ignored': sorted(names)} if names else {}), **({'missing_keys': True} if missing else {})}, out

_, usual = read(full)
cases = []
def case(name, change, drop=(), start=full):
    config = {k: v for k, v in {**start, **change}.items() if k not in drop}
    result, out = read(config)
    if out is not None: result['usual'] = bool(torch.equal(out, usual))
    cases.append({'name': name, 'set': change, 'drop': list(drop), 'start': 'old' if start is old else 'full', **result})
case('as saved', {})
case('of an early version', {}, start=old)
case('with unknown fields', {'runtime_config': {'ephemeral_gpu_offload': False}, 'from_the_future': 1, 'another': [1, {'a': None}]})
case('with an unknown field that is null', {'from_the_future': None})
case('without peft_type', {}, ['peft_type'])
case('with a null peft_type', {'peft_type': None})
case('in lower case', {'peft_type': 'lora'})
for field in sorted(full):
    if field == 'peft_type': continue
    case(f'{field} null', {field: None})
    case(f'{field} missing', {}, [field])
case('auto_mapping', {'auto_mapping': {'base_model_class': 'X', 'parent_library': 'y'}})
case('megatron_core alone', {'megatron_core': 'elsewhere'})
json.dump({'peft': peft.__version__, 'full': full, 'old': old, 'cases': cases}, open(sys.argv[1], 'w'), separators=(',', ':'))
for c in cases: print(c['name'], {k: v for k, v in c.items() if k not in ('name', 'set', 'drop', 'start')})
