"""Target matching, pattern keys and suffix condensation as PEFT decides them, on names alone.

usage: python peft_targets.py test/goldens/peft/targets.json   (peft 0.21.2)
names, and for each entry of options the names that check_target_module_exists matches or excludes;
{keys, path, found} from get_pattern_key; {targets, others, minimal} from _find_minimal_target_modules;
defaults: targets by model_type for configs that name none.
"""
import json, sys, types
import peft
from peft.tuners.tuners_utils import _ExcludedModule, _find_minimal_target_modules, check_target_module_exists
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULTS
from peft.utils.other import get_pattern_key

LLAMA = [f'model.layers.{i}.{m}' for i in (0, 1, 10) for m in ('self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'mlp.up_proj', 'mlp.down_proj', 'input_layernorm', 'self_attn')] + ['model.embed_tokens', 'lm_head', 'model.norm', 'model', 'model.layers.1']
GPT2 = ['transformer.wte', 'transformer.h.0.attn.c_attn', 'transformer.h.0.attn.c_proj', 'transformer.h.0.mlp.c_proj', 'transformer.h.11.mlp.c_fc', 'transformer.ln_f', 'lm_head']
ODD = ['q_proj', 'my_q_proj', 'foo.my_q_proj', 'foo.bar.1.baz', 'foo.bar.10.baz', 'foo.bar.001.baz', 'foo.whatever.1.baz', 'bar.1.baz', 'foo.bar.1.spam.2.baz',
       'foo.bar.2.spam.1.baz', 'blocks.1.weight', 'blocks.1.bias', 'mlp.blocks.1.weight', 'mlp.blocks.1.bias', 'transformer.h.1.attn.attention.q_proj',
       'transformer.h.1.attn.attention.q_proj.foo', 'transformer.h.1.attn.attention.resid_dropout', 'foo', 'foobar', 'a.foo.b', 'model.layers.1.mlp.experts.0.up_proj', 'model.layers.0.mlp.experts.1.up_proj']
def o(t, **k): return {'target_modules': t, **k}
OPTIONS = [
    # names
    o([]), o(['foo']), o(['bar']), o(['foo', 'bar']), o(['baz']), o(['q_proj']), o(['q_proj', 'v_proj']), o(['self_attn.q_proj']), o(['proj']), o(['_proj']), o(['']),
    o(['model.layers.1.self_attn.q_proj']), o(['layers.1.self_attn.q_proj']), o(['c_proj']), o(['mlp.c_proj']), o(['attn.c_proj', 'c_fc']), o(['embed_tokens']), o(['lm_head']), o(['wte', 'lm_head']), o(['1']), o(['q.proj']), o(['.*']),
    # expressions
    o('foo'), o('.*oo'), o('fo.*'), o('.*bar.*'), o('.*oba.*'), o(r'.*\.(q|v)_proj'), o('q_proj|k_proj'), o('q_proj|.*k_proj'), o(r'model\.layers\.[01]\..*proj'), o(r'.*layers\.(?!10)\d+\..*q_proj'),
    o(r'(?i).*Q_PROJ'), o(r'.*\.(?P<n>\d+)\.(?P<k>\w+)\.up_proj'), o(r'.*\.c_(attn|fc)\Z'), o(r'\Alm_head'), o(r'^model.*$'), o(r'.*\.\d{,1}\.mlp\..*'), o(r'.*(?<!mlp)\.c_proj'), o(r'(?:.*\.)?q_proj'), o(r'.*[^a-l]_proj'), o(r'[\w.]*layers\.1\.[\w.]*down_proj'),
    # layers
    *[o(['q_proj'], layers_to_transform=l, layers_pattern=p) for l in (0, 1, [1], [0, 10], []) for p in (None, 'layers', ['h', 'layers'], ['layers', 'blocks'], '', [])],
    *[o(['baz', 'weight', 'spam.2.baz'], layers_to_transform=l, layers_pattern=p) for l in ([1], [0], [2], [0, 1, 2]) for p in (None, 'bar', ['bar', 'spam'], 'blocks', 'foo')],
    o(['q_proj', 'up_proj'], layers_to_transform=[1]), o(['q_proj', 'up_proj'], layers_to_transform=[1], layers_pattern='layers|h'), o(['q_proj'], layers_to_transform=[1], layers_pattern='h|layers'), o(['q_proj'], layers_to_transform=[1], layers_pattern=r'la\w+'),
    o(['foo.bar.1.baz', 'baz'], layers_to_transform=[2]), o(['model.layers.0.self_attn.q_proj'], layers_to_transform=[1]), o(['c_fc'], layers_to_transform=[11], layers_pattern='h'), o(['c_proj', 'c_fc'], layers_to_transform=0),
    # excludes and modules_to_save
    o(['q_proj', 'k_proj'], exclude_modules=['k_proj']), o(['q_proj'], exclude_modules=['model.layers.1.self_attn.q_proj']), o(['q_proj'], exclude_modules='.*layers.1.*'), o(['q_proj'], exclude_modules='layers'), o('.*_proj', exclude_modules=r'.*\.(k|v)_proj|.*mlp.*'),
    o(['q_proj'], exclude_modules=[]), o(['q_proj'], exclude_modules=''), o(['up_proj', 'down_proj'], exclude_modules=['mlp.up_proj'], layers_to_transform=[0, 1]), o(['foo'], exclude_modules=['foo']),
    o(['lm_head', 'q_proj'], modules_to_save=['lm_head']), o('.*', modules_to_save=['self_attn']), o('.*', modules_to_save=['layers.1', 'norm']), o(['q_proj', 'c_attn'], modules_to_save=['attn']), o(['wte', 'lm_head'], modules_to_save=['lm_.ead']), o(['foo', 'baz'], modules_to_save=['bar'], exclude_modules=['foobar']), o(['embed_tokens'], modules_to_save=[]),
]
NAMES = LLAMA + GPT2 + ODD + ['']
verdicts = []
for options in OPTIONS:
    ns = types.SimpleNamespace(**{'exclude_modules': None, 'modules_to_save': None, 'layers_to_transform': None, 'layers_pattern': None, 'target_parameters': None, **options})
    v = {k: check_target_module_exists(ns, k) for k in NAMES}
    verdicts.append({'match': [k for k in NAMES if v[k]], 'excluded': [k for k in NAMES if isinstance(v[k], _ExcludedModule)]})

PATHS = ['foo', 'bar', 'module.foo', 'module.foobar', 'module.module.foo', 'module.module.barfoo', 'model.layers.1.mlp.up_proj', 'model.layers.11.mlp.up_proj', 'lm_head']
KEYS = [['foo'], ['^foo'], ['^module.foo'], ['module.foo'], ['module.module.foo'], ['^module.module.foo'], ['bar'], ['o'], ['module.foo', 'foo'], ['foo', 'module.foo'], ['fo', 'foo'], ['.*'], ['(bar)?foo'], ['up_proj'], [r'layers\.1\.mlp\.up_proj'],
        [r'^model\.layers\.1\.mlp\.up_proj'], [r'layers\.\d+\.mlp\.(up|down)_proj'], ['foo|bar'], ['^foo|bar$'], ['foo$'], [], [r'(?:x|m)odule\.(\w+)'], ['lm_head', 'head'], ['head']]
patterns = [{'keys': k, 'path': p, 'found': (lambda f: f if f in k else None)(get_pattern_key(k, p))} for k in KEYS for p in PATHS]

MINIMAL = [(['bar'], []), (['foo'], ['bar']), (['1.foo', '2.foo'], ['3.foo', '4.foo']), (['bar.baz'], ['foo.bar']), (['1.foo', '2.foo', 'bar.baz'], ['3.foo', 'bar.bla']), (['a.b.c', 'd.e.f', 'g.h.i'], ['j.k.l', 'm.n.o']),
           (['a.b.c', 'd.e.f', 'g.h.i'], ['a.b.x', 'd.x.f', 'x.h.i']), (['foo.bar.baz', 'qux.bar.baz'], ['baz.bar.foo']), (['time_emb_proj', 'a.proj'], ['b.time_proj', 'c.emb']), (['b.transformer_blocks.0.q', 'single.q'], ['x.single_transformer_blocks.0.k', 'y.q']),
           ([f'model.layers.{i}.self_attn.{m}' for i in range(12) for m in ('q_proj', 'v_proj')], [f'model.layers.{i}.self_attn.k_proj' for i in range(12)] + ['lm_head']),
           ([f'model.layers.{i}.self_attn.q_proj' for i in range(11)], ['model.layers.11.self_attn.q_proj', 'model.layers.11.mlp.up_proj']), (['q', 'a.q'], ['b.k']), (['a.q', 'q'], ['b.q'])]
minimal = [{'targets': t, 'others': x, 'minimal': sorted(_find_minimal_target_modules(t, x))} for t, x in MINIMAL]
json.dump({'peft': peft.__version__, 'names': NAMES, 'options': OPTIONS, 'verdicts': verdicts, 'patterns': [[p['keys'], p['path'], p['found']] for p in patterns], 'minimal': minimal, 'defaults': DEFAULTS}, open(sys.argv[1], 'w'), separators=(',', ':'))
print(len(OPTIONS), 'options on', len(NAMES), 'names', sum(len(v['match']) for v in verdicts), 'matches', sum(len(v['excluded']) for v in verdicts), 'excluded', len(patterns), 'patterns', len(minimal), 'minimal')
