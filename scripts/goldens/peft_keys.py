"""What PEFT adapts, trains and writes for tiny models: module tables, saved keys with shapes, ranks and scales, errors.

usage: python peft_keys.py test/goldens/peft/keys.json   (peft 0.21.2, transformers 5.24, torch 2.15)
"""
import copy, json, sys, tempfile, warnings
import peft, torch, transformers as T
from safetensors import safe_open
from transformers.pytorch_utils import Conv1D
warnings.simplefilter('ignore'); T.logging.set_verbosity_error()
common = dict(vocab_size=40, hidden_size=8, num_attention_heads=2, num_key_value_heads=1, intermediate_size=12, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2)
MODELS = {
    'llama': lambda: T.LlamaConfig(**common, num_hidden_layers=2, tie_word_embeddings=False),
    'llama-tied': lambda: T.LlamaConfig(**common, num_hidden_layers=2, tie_word_embeddings=True),
    'llama-bias': lambda: T.LlamaConfig(**common, num_hidden_layers=2, tie_word_embeddings=False, attention_bias=True, mlp_bias=True),
    'llama-3-layers': lambda: T.LlamaConfig(**common, num_hidden_layers=3, tie_word_embeddings=True),
    'qwen2': lambda: T.Qwen2Config(**common, num_hidden_layers=2, tie_word_embeddings=True),
    'gpt2': lambda: T.GPT2Config(vocab_size=40, n_embd=8, n_layer=2, n_head=2, n_positions=32, bos_token_id=1, eos_token_id=2, pad_token_id=0),
    'gpt2-6-layers': lambda: T.GPT2Config(vocab_size=40, n_embd=8, n_layer=6, n_head=2, n_positions=32, bos_token_id=1, eos_token_id=2, pad_token_id=0),
}
LIN = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
C = [  # model, LoraConfig arguments
    ('llama', {}), ('gpt2', {}), ('qwen2', {}),
    ('llama', dict(target_modules=LIN)), ('llama', dict(target_modules='all-linear')), ('llama', dict(target_modules='All-Linear')), ('llama-tied', dict(target_modules='all-linear')), ('llama-3-layers', dict(target_modules='all-linear')),
    ('gpt2', dict(target_modules='all-linear')), ('gpt2-6-layers', dict(target_modules='all-linear')), ('gpt2', dict(target_modules=['c_attn', 'c_proj', 'c_fc'], fan_in_fan_out=True)), ('gpt2', dict(target_modules=['mlp.c_proj', 'wte'])), ('gpt2', dict(target_modules=['wte', 'wpe'])), ('gpt2', dict(target_modules=['lm_head'])),
    ('llama', dict(target_modules=['q_proj', 'v_proj'], fan_in_fan_out=True)), ('gpt2', dict(target_modules=['c_attn', 'lm_head'])),
    ('llama', dict(target_modules=r'.*\.(q|v)_proj')), ('llama', dict(target_modules=r'.*(embed_tokens|q_proj)')), ('llama', dict(target_modules=['q_proj', 'nope'])), ('llama', dict(target_modules=['nope'])), ('llama', dict(target_modules='q_proj')), ('llama', dict(target_modules=[])),
    ('llama', dict(target_modules=['self_attn'])), ('llama', dict(target_modules=['norm'])), ('llama', dict(target_modules=['q_proj', 'input_layernorm'])),
    # ranks and scales
    ('llama', dict(target_modules=LIN, r=4, lora_alpha=16, use_rslora=True)), ('llama', dict(target_modules=LIN, rank_pattern={'q_proj': 2, r'^model\.layers\.1\.mlp\.up_proj': 6, 'proj': 3}, alpha_pattern={'down_proj': 3, 'layers.0.*': 5})),
    ('llama', dict(target_modules=LIN, r=4, lora_alpha=6, use_rslora=True, rank_pattern={r'layers\.0\..*': 9}, alpha_pattern={'v_proj': 7})), ('gpt2', dict(target_modules=['c_attn', 'c_proj'], rank_pattern={'attn.c_proj': 1}, alpha_pattern={'h.1.*': 2})),
    ('llama', dict(target_modules=['q_proj'], r=20)), ('llama', dict(target_modules=['q_proj'], r=0)),
    # layers and excludes
    ('llama', dict(target_modules=LIN, layers_to_transform=[1], layers_pattern='layers')), ('llama', dict(target_modules=LIN, layers_to_transform=0)), ('llama', dict(target_modules=['q_proj'], layers_to_transform=[7])), ('llama', dict(target_modules=LIN, layers_to_transform=[1], layers_pattern='h')),
    ('llama', dict(target_modules=LIN, exclude_modules=['k_proj', 'layers.0.mlp.up_proj'])), ('llama', dict(target_modules='all-linear', exclude_modules=r'.*mlp.*')), ('llama', dict(target_modules=['q_proj'], exclude_modules=['q_proj'])), ('llama', dict(target_modules=['q_proj'], exclude_modules=['nope'])),
    ('llama', dict(target_modules='.*q_proj', layers_to_transform=[1])), ('llama', dict(target_modules=['q_proj'], layers_pattern='layers')), ('gpt2', dict(target_modules=['c_attn'], layers_to_transform=[1], layers_pattern='h')), ('gpt2-6-layers', dict(target_modules='all-linear', exclude_modules=['attn.c_proj'])),
    # DoRA, biases
    ('llama', dict(target_modules=['q_proj', 'down_proj'], use_dora=True)), ('gpt2', dict(target_modules=['c_attn', 'wte'], use_dora=True)), ('llama', dict(target_modules=['embed_tokens', 'q_proj'], use_dora=True)),
    ('llama-bias', dict(target_modules=['q_proj', 'up_proj'], bias='all')), ('llama-bias', dict(target_modules=['q_proj', 'up_proj'], bias='lora_only')), ('llama', dict(target_modules=LIN, bias='all')), ('llama', dict(target_modules=LIN, bias='lora_only')), ('qwen2', dict(target_modules=LIN, bias='lora_only')), ('qwen2', dict(target_modules=['q_proj', 'o_proj'], bias='all')),
    ('gpt2', dict(target_modules=['c_attn'], bias='all')), ('gpt2', dict(target_modules=['c_attn', 'c_fc'], bias='lora_only')), ('gpt2', dict(target_modules=['wte', 'c_attn'], bias='lora_only')),
    ('llama-bias', dict(target_modules=['q_proj', 'v_proj'], lora_bias=True)), ('llama', dict(target_modules=['q_proj', 'v_proj'], lora_bias=True)), ('gpt2', dict(target_modules=['c_attn'], lora_bias=True, bias='all')), ('llama', dict(target_modules=['embed_tokens'], lora_bias=True)), ('llama-bias', dict(target_modules=['q_proj'], lora_bias=True, use_dora=True)),
    ('llama-bias', dict(target_modules=['q_proj'], lora_bias=True, init_lora_weights='gaussian')),
    # modules_to_save
    ('llama', dict(target_modules=['q_proj', 'v_proj'], modules_to_save=['lm_head', 'input_layernorm'])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['norm'])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['head'])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['layernorm'])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['nope'])),
    ('llama', dict(target_modules='all-linear', modules_to_save=['embed_tokens'])), ('llama-tied', dict(target_modules=['q_proj'], modules_to_save=['embed_tokens'])), ('llama-tied', dict(target_modules=['q_proj'], modules_to_save=['lm_head'])), ('llama-tied', dict(target_modules=['q_proj'], modules_to_save=['embed_tokens', 'lm_head'])),
    ('llama', dict(target_modules=['q_proj', 'up_proj'], modules_to_save=['mlp'])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['proj'])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['q_proj'])), ('llama-bias', dict(target_modules=['q_proj'], modules_to_save=['mlp', 'lm_head'], bias='all')), ('llama-bias', dict(target_modules=['q_proj'], modules_to_save=['o_proj'], bias='all')),
    ('llama-bias', dict(target_modules=['q_proj'], modules_to_save=['o_proj'], bias='lora_only')), ('gpt2', dict(target_modules=['c_attn'], modules_to_save=['ln_f', 'wpe'], bias='all')), ('gpt2', dict(target_modules=['c_attn'], modules_to_save=['lm_head'])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['layers'])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['layers.1.mlp'])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['mlp', 'up_proj'])),
    ('llama', dict(target_modules=['q_proj'], modules_to_save=[])),
    # embeddings
    ('llama', dict(target_modules=['embed_tokens', 'q_proj'])), ('llama', dict(target_modules=['lm_head', 'q_proj'])), ('llama', dict(target_modules=['embed_tokens', 'lm_head'])), ('llama-tied', dict(target_modules=['embed_tokens'])), ('llama-tied', dict(target_modules=['lm_head'])), ('llama-tied', dict(target_modules=['embed_tokens', 'lm_head', 'q_proj'])),
    ('llama', dict(target_modules=['model.embed_tokens', 'q_proj'])), ('llama', dict(target_modules='lm_head|.*q_proj')), ('llama', dict(target_modules=['embed_tokens', 'q_proj'], modules_to_save=['lm_head'])), ('llama', dict(target_modules=['q_proj', 'lm_head'], modules_to_save=['embed_tokens'])), ('llama', dict(target_modules=['embed_tokens', 'q_proj'], exclude_modules=['embed_tokens'])), ('llama', dict(target_modules=['embed_tokens', 'q_proj'], layers_to_transform=[0])),
    ('llama', dict(target_modules=['embed_tokens'], init_lora_weights=False, r=3, lora_alpha=5)),
    # trainable tokens
    ('llama', dict(target_modules=['q_proj'], trainable_token_indices=[5, 17, 30])), ('llama-tied', dict(target_modules=['q_proj'], trainable_token_indices=[5, 17])), ('gpt2', dict(target_modules=['c_attn'], trainable_token_indices=[3])), ('llama', dict(target_modules=['q_proj'], trainable_token_indices={'embed_tokens': [1], 'lm_head': [2, 3]})), ('llama-tied', dict(target_modules=['q_proj'], trainable_token_indices={'embed_tokens': [1, 2], 'lm_head': [1, 2]})),
    ('llama-tied', dict(target_modules=['q_proj'], trainable_token_indices={'embed_tokens': [1, 2], 'lm_head': [2, 3]})), ('llama', dict(target_modules=['q_proj'], trainable_token_indices={'lm_head': [4]})), ('llama-tied', dict(target_modules=['q_proj'], trainable_token_indices={'lm_head': [4]})), ('llama', dict(target_modules=['embed_tokens'], trainable_token_indices=[1])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['embed_tokens'], trainable_token_indices=[1])),
    ('llama', dict(target_modules=['q_proj'], modules_to_save=['embed_tokens'], trainable_token_indices={'embed_tokens': [1]})), ('llama', dict(target_modules=['q_proj'], modules_to_save=['lm_head'], trainable_token_indices=[1])), ('llama', dict(target_modules=['q_proj'], trainable_token_indices={'nope': [1]})), ('llama', dict(target_modules=['q_proj'], trainable_token_indices=[99])), ('llama', dict(target_modules=['q_proj', 'lm_head'], trainable_token_indices=[5])), ('gpt2', dict(target_modules=['c_attn'], trainable_token_indices={'wte': [1, 2], 'wpe': [0]})),
    ('llama-tied', dict(target_modules=['q_proj', 'lm_head'], trainable_token_indices=[5])), ('llama-tied', dict(target_modules=['q_proj'], modules_to_save=['lm_head'], trainable_token_indices=[5])), ('llama-tied', dict(target_modules=['q_proj'], trainable_token_indices={'embed_tokens': [5]})),
    ('llama', dict(target_modules=['q_proj'], trainable_token_indices=[])), ('llama-bias', dict(target_modules=['q_proj'], trainable_token_indices=[7], bias='all')), ('llama-tied', dict(target_modules='all-linear', trainable_token_indices=[7], modules_to_save=['norm'])),
    # parameters
    *[(m, dict(target_modules=[], target_parameters=names, **more)) for m, names, more in [
        ('llama', ['q_proj.weight'], {}), ('llama', ['model.layers.0.mlp.up_proj.weight', 'lm_head.weight', 'nope.weight'], {}), ('llama', ['q_proj.weight', 'layers.1.self_attn.q_proj.weight'], {}), ('llama-tied', ['embed_tokens.weight', 'lm_head.weight'], {}), ('gpt2', ['c_attn.weight', 'wte.weight', 'mlp.c_proj.weight'], {}),
        ('llama', ['weight'], {}), ('llama', ['norm.weight'], {}), ('llama-bias', ['q_proj.bias'], {}), ('llama', ['q_proj'], {}), ('llama', ['nope.weight'], {}), ('llama', [], {}),
        ('llama', ['q_proj.weight'], dict(lora_dropout=0.1)), ('llama', ['q_proj.weight'], dict(use_dora=True)), ('llama', ['q_proj.weight'], dict(lora_bias=True)), ('llama', ['q_proj.weight'], dict(fan_in_fan_out=True)), ('llama', ['q_proj.weight'], dict(alora_invocation_tokens=[1])),
        ('llama-bias', ['q_proj.weight'], dict(bias='all')), ('llama-bias', ['q_proj.weight'], dict(bias='lora_only')), ('llama', ['q_proj.weight'], dict(modules_to_save=['lm_head'])), ('llama', ['q_proj.weight'], dict(exclude_modules=['q_proj'])), ('llama', ['q_proj.weight'], dict(layers_to_transform=[0])),
        ('llama', ['q_proj.weight', 'v_proj.weight'], dict(rank_pattern={'q_proj': 2, 'v_proj.weight': 3}, alpha_pattern={'layers.1.self_attn.v_proj.weight': 5}, use_rslora=True)), ('llama', ['embed_tokens.weight'], dict(trainable_token_indices=[1])),
    ]],
    ('llama', dict(target_parameters=['o_proj.weight'])), ('llama', dict(target_parameters=['q_proj.weight'])), ('llama', dict(target_modules=['v_proj'], target_parameters=['o_proj.weight'])), ('llama', dict(target_modules=['nope'], target_parameters=['o_proj.weight'])), ('llama', dict(target_modules=['v_proj'], target_parameters=['nope.weight'])), ('llama', dict(target_modules='all-linear', target_parameters=['lm_head.weight'])), ('gpt2', dict(target_modules=['c_fc'], target_parameters=['c_attn.weight'])),
    # tied embeddings
    *[(m, dict(ensure_weight_tying=True, **more)) for m, more in [
        *[('llama-tied', dict(target_modules=t)) for t in (['embed_tokens'], ['lm_head'], ['embed_tokens', 'lm_head', 'q_proj'], ['model.embed_tokens', 'q_proj'], r'.*(embed_tokens|q_proj)', r'lm_head|.*q_proj', ['q_proj'], 'all-linear')],
        *[('llama-tied', dict(target_modules=['q_proj'], modules_to_save=m)) for m in (['embed_tokens'], ['lm_head'], ['embed_tokens', 'lm_head', 'norm'], ['norm'])],
        *[('llama-tied', dict(target_modules=['q_proj'], trainable_token_indices=t)) for t in ([5, 17], {'embed_tokens': [1, 2], 'lm_head': [1, 2]}, {'embed_tokens': [1], 'lm_head': [2]}, {'lm_head': [4]})],
        ('llama', dict(target_modules=['embed_tokens', 'q_proj'])), ('llama', dict(target_modules=['q_proj'], modules_to_save=['lm_head'])), ('gpt2', dict(target_modules=['lm_head', 'c_attn'])), ('gpt2', dict(target_modules=['wte', 'c_attn'])), ('gpt2', dict(target_modules=['c_attn'], modules_to_save=['lm_head'])), ('qwen2', dict(target_modules=['embed_tokens'], r=3, lora_alpha=6, use_rslora=True)),
        ('llama-tied', dict(target_modules=['embed_tokens', 'q_proj'], rank_pattern={'lm_head': 3})), ('llama-tied', dict(target_modules=['embed_tokens', 'q_proj'], alpha_pattern={'lm_head': 3})), ('llama-tied', dict(target_modules=['embed_tokens', 'q_proj'], use_dora=True)), ('llama-tied', dict(target_modules=['embed_tokens', 'q_proj'], modules_to_save=['lm_head'])), ('llama-tied', dict(target_modules=['embed_tokens', 'q_proj'], exclude_modules=['lm_head'])), ('llama-tied', dict(target_modules=['embed_tokens', 'q_proj'], layers_to_transform=[0])),
    ]],
    # activated
    ('llama', dict(target_modules=['q_proj', 'lm_head'], alora_invocation_tokens=[1, 2])), ('gpt2', dict(target_modules=['c_attn'], alora_invocation_tokens=[1])), ('llama', dict(target_modules=['embed_tokens'], alora_invocation_tokens=[1])), ('llama', dict(target_modules=['q_proj'], alora_invocation_tokens=[1], use_dora=True)),
]
def table(m):
    tied = {p.data_ptr(): n for n, p in m.named_parameters()}
    out = []
    for n, mod in m.named_modules(remove_duplicate=False):
        ps = {k: list(v.shape) for k, v in mod._parameters.items() if v is not None}
        if not ps: continue
        kind = 'linear' if isinstance(mod, torch.nn.Linear) else 'conv1d' if isinstance(mod, Conv1D) else 'embedding' if isinstance(mod, torch.nn.Embedding) else 'norm' if 'norm' in n or 'ln_' in n else 'other'
        w = ps.get('weight'); e = {'path': n, 'kind': kind, 'parameters': [{'name': k, 'shape': v} for k, v in ps.items()]}
        if kind == 'linear': e.update(inFeatures=w[1], outFeatures=w[0])
        if kind in ('conv1d', 'embedding'): e.update(inFeatures=w[0], outFeatures=w[1])
        if mod is m.get_output_embeddings(): e['isOutputHead'] = True
        if mod is m.get_input_embeddings(): e['isInputEmbedding'] = True
        owner = tied[mod.weight.data_ptr()].rsplit('.', 1)[0]
        if owner != n: e['tiedTo'] = owner
        out.append(e)
    return out
def fresh(name): torch.manual_seed(0); return T.AutoModelForCausalLM.from_config(MODELS[name]())
tables = {n: table(fresh(n)) for n in MODELS}
cases = []
for name, k in C:
    row = {'model': name, 'config': copy.deepcopy(k)}  # PEFT writes into lists it is given
    try:
        m = fresh(name); pm = peft.get_peft_model(m, peft.LoraConfig(task_type='CAUSAL_LM', **copy.deepcopy(k)))
        with tempfile.TemporaryDirectory() as d:
            pm.save_pretrained(d)
            with safe_open(d + '/adapter_model.safetensors', 'pt') as f: row['keys'] = {kk: f.get_slice(kk).get_shape() for kk in sorted(f.keys())}
            cfg = json.load(open(d + '/adapter_config.json'))
        t = cfg['target_modules']; row['saved'] = {'target_modules': sorted(t) if isinstance(t, list) else t, 'fan_in_fan_out': cfg['fan_in_fan_out'], 'modules_to_save': cfg['modules_to_save'], 'trainable_token_indices': cfg['trainable_token_indices']}
        row['sites'] = {n.removeprefix('base_model.model.'): [mod.r['default'], mod.lora_alpha['default'], mod.scaling['default']] for n, mod in pm.named_modules() if isinstance(mod, peft.tuners.lora.LoraLayer)}
        on = {q.data_ptr() for q in pm.parameters() if q.requires_grad}
        row['trained'] = sorted(kk for kk, v in peft.get_peft_model_state_dict(pm).items() if v.data_ptr() in on)
        row['count'] = sum(q.numel() for q in pm.parameters() if q.requires_grad)
    except Exception as e:
        row['error'] = f'{type(e).__name__}: {e}'.split('\n')[0][:200]
    cases.append(row)
json.dump({'peft': peft.__version__, 'models': tables, 'cases': cases}, open(sys.argv[1], 'w'), separators=(',', ':'))
for c in cases:
    if 'error' in c: print(c['model'], c['config'], '->', c['error'])
print(len(cases), 'cases')
