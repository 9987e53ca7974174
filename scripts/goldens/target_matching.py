"""Which modules PEFT adapts, at which rank and scale, and which it trains whole: one row a config, on tiny models.

usage: python scripts/goldens/target_matching.py test/goldens/peft/matching.json   (peft 0.21.2, transformers 5.24, torch 2.15)
Rows by category: {category, model, config, sites: [[module, r, alpha, scale]], saved: [module]} or {error}; modules are
numbers in the model's table. test/parity/target-matching.test.ts asks lowrank the same.
"""
import copy
import json
import os
import sys
import warnings

os.environ.update(CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1")
import peft  # noqa: E402
import torch  # noqa: E402
import transformers as T  # noqa: E402
from peft.utils.other import ModulesToSaveWrapper  # noqa: E402
from transformers.pytorch_utils import Conv1D  # noqa: E402

warnings.simplefilter("ignore")
T.logging.set_verbosity_error()
nn = torch.nn
SMALL = dict(vocab_size=40, hidden_size=8, num_attention_heads=2, intermediate_size=12, max_position_embeddings=32, pad_token_id=0, bos_token_id=1, eos_token_id=2, num_hidden_layers=3)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.my_q_proj, self.lora_foo = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.experts = nn.ModuleList(nn.ModuleDict({"up_proj": nn.Linear(4, 6), "down_proj": nn.Linear(6, 4)}) for _ in range(2))


class Odd(nn.Module):
    """Names that trip matchers: a suffix inside a name, numbers below numbers, a module called as PEFT calls its own."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(10, 4)
        self.foo, self.foobar, self.barfoo = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.h = nn.ModuleList(nn.ModuleDict({"foo": Conv1D(8, 4), "1": nn.Linear(4, 4)}) for _ in range(11))
        self.inner = nn.ModuleDict({"blocks": nn.ModuleList(nn.ModuleDict({"foo": nn.Linear(4, 4)}) for _ in range(2)), "weight_foo": nn.Linear(4, 4)})
        self.head = nn.Linear(4, 10)


MODELS = {
    "llama": lambda: T.AutoModelForCausalLM.from_config(T.LlamaConfig(**SMALL, num_key_value_heads=1)),
    "qwen2-tied": lambda: T.AutoModelForCausalLM.from_config(T.Qwen2Config(**SMALL, num_key_value_heads=1, tie_word_embeddings=True)),
    "gpt2": lambda: T.AutoModelForCausalLM.from_config(T.GPT2Config(vocab_size=40, n_embd=8, n_layer=3, n_head=2, n_positions=32, bos_token_id=1, eos_token_id=2)),
    "gpt_neox": lambda: T.AutoModelForCausalLM.from_config(T.GPTNeoXConfig(**SMALL)),
    "opt": lambda: T.AutoModelForCausalLM.from_config(T.OPTConfig(**{**SMALL, "hidden_size": 8}, ffn_dim=12, word_embed_proj_dim=8)),
    "bert": lambda: T.AutoModelForMaskedLM.from_config(T.BertConfig(**SMALL)),
    "odd": Odd,
}


def rows():
    """(category, model, LoraConfig arguments)."""
    for model, names in [
        ("llama", [["q_proj"], ["q_proj", "v_proj"], ["self_attn.q_proj"], ["proj"], ["_proj"], ["model.layers.1.self_attn.q_proj"], ["layers.1.mlp.up_proj", "k_proj"], ["lm_head"], ["embed_tokens", "lm_head"], ["1.self_attn.o_proj"], ["mlp"], ["input_layernorm"], ["q_proj", "nope"], ["nope"], ["Q_proj"], ["q_proj "], ["layers.1"], []]),
        ("qwen2-tied", [["q_proj", "down_proj"], ["embed_tokens"], ["lm_head"], ["o_proj", "gate_proj"]]),
        ("gpt2", [["c_attn"], ["c_proj"], ["attn.c_proj"], ["mlp.c_proj", "wte"], ["h.0.attn.c_attn"], ["ln_f"], ["wpe"], ["c_attn", "lm_head"]]),
        ("gpt_neox", [["query_key_value"], ["dense"], ["dense_h_to_4h", "attention.dense"], ["embed_out"]]),
        ("opt", [["q_proj", "fc1"], ["out_proj", "embed_tokens"], ["embed_positions"]]),
        ("bert", [["query", "value"], ["dense"], ["attention.output.dense"], ["decoder"], ["word_embeddings"], ["intermediate.dense", "key"]]),
        ("odd", [["foo"], ["q_proj"], ["my_q_proj", "barfoo"], ["lora_foo"], ["weight_foo"], ["up_proj"], ["experts.0.up_proj"], ["1"], ["blocks.1.q_proj"], ["h.1.foo", "h.10.foo"], ["inner.blocks.1.foo"], ["emb", "head"], ["foo", "foobar", "oo"]]),
    ]:
        for target in names:
            yield "suffix", model, dict(target_modules=target)
    for model, patterns in [
        ("llama", [r".*\.(q|v)_proj", r"q_proj", r".*q_proj", r".*layers\.[02]\..*proj", r"(?!.*mlp).*_proj", r"model\.layers\.\d+\.mlp\.(up|down)_proj", r".*\.self_attn\.[kv]_proj|lm_head", r"(?i).*Q_PROJ", r".*\.layers\.(?P<n>1)\..*gate_proj", r".*norm", r"nope.*", r".*(?<!k)_proj", r"model.layers.1.self_attn.q_proj", r".*\.\d{1}\.self_attn\.o_proj\Z"]),
        ("gpt2", [r".*c_(attn|fc)", r"transformer\.h\.[0-1]\.attn\.c_attn", r".*\.wte", r".*h\.(?:0|2)\..*c_proj"]),
        ("bert", [r".*self\.(query|key)", r".*layer\.1\..*dense", r"bert\.encoder\..*value"]),
        ("odd", [r"foo", r".*foo", r"h\.1\..*", r".*blocks\.\d\.q_proj", r".*\.experts\.1\.(up|down)_proj", r"(inner\.)?blocks\.1\.(foo|q_proj)", r".*[.]lora_foo", r"h\.\d\.foo", r"h\.\d+\.foo", r"[^.]+"]),
        ("opt", [r".*fc[12]", r".*layers\.2\.self_attn\.(q|out)_proj"]),
        ("gpt_neox", [r".*dense(_h_to_4h)?", r".*layers\.0\..*"]),
    ]:
        for pattern in patterns:
            yield "regex", model, dict(target_modules=pattern)
    for model, target, excludes in [
        ("llama", ["q_proj", "v_proj"], [["v_proj"], ["self_attn.q_proj"], ["model.layers.1.self_attn.q_proj"], r".*layers\.1\..*", ["layers.0"], ["nope"], ["q_proj", "v_proj"], r".*v_proj", "v_proj", []]),
        ("llama", r".*proj", [["down_proj"], r".*mlp.*", ["model.layers.2.mlp.up_proj", "o_proj"], ["mlp"]]),
        ("llama", "all-linear", [["lm_head"], ["gate_proj", "up_proj"], r".*layers\.[12]\..*", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]]),
        ("gpt2", ["c_attn", "c_proj"], [["mlp.c_proj"], ["attn.c_proj"], r".*h\.0.*"]),
        ("odd", ["foo"], [["foo"], ["inner.blocks.0.foo"], r"h\..*", ["h.1.foo", "h.10.foo"], ["blocks.1.foo"]]),
        ("bert", ["dense"], [["output.dense"], ["pooler.dense", "transform.dense"], r".*intermediate.*"]),
    ]:
        for exclude in excludes:
            yield "exclude", model, dict(target_modules=target, exclude_modules=exclude)
    for model, target, layers in [
        ("llama", ["q_proj", "up_proj"], [0, 1, [0], [2], [0, 2], [], [3], [1, 5], [0, 1, 2]]),
        ("llama", ["model.layers.0.self_attn.q_proj", "v_proj"], [1, [0, 2]]),
        ("llama", ["q_proj", "lm_head"], [0]), ("llama", r".*q_proj", [0, [1]]),
        ("gpt2", ["c_attn", "wte"], [0, [1, 2]]), ("bert", ["query", "word_embeddings"], [1, [0, 2]]), ("opt", ["fc1"], [2]), ("gpt_neox", ["dense"], [[0, 1]]),
        ("odd", ["foo", "up_proj"], [0, 1, [1], [10], [0, 1]]), ("odd", ["q_proj", "1"], [1, 2]),
    ]:
        for layer in layers:
            yield "layers", model, dict(target_modules=target, layers_to_transform=layer)
    for model, target, layers, patterns in [
        ("llama", ["q_proj", "v_proj"], [1], ["layers", ["layers"], ["h", "layers"], "h", "lay", "", [], r"la\w+"]),
        ("llama", ["q_proj"], [0, 2], ["layers", "model.layers"]),
        ("gpt2", ["c_attn", "c_proj"], [1], ["h", "layers", ["h", "layer"], "transformer.h"]),
        ("bert", ["query"], [0, 1], ["layer", "encoder.layer", "layers"]),
        ("odd", ["foo", "up_proj", "q_proj"], [1], ["h", "blocks", ["blocks", "h"], "experts", ["experts", "h"], "inner.blocks"]),
        ("odd", ["foo"], [0, 10], ["h", "blocks", r"h|blocks"]),
    ]:
        for pattern in patterns:
            yield "layers_pattern", model, dict(target_modules=target, layers_to_transform=layers, layers_pattern=pattern)
    yield "layers_pattern", "llama", dict(target_modules=["q_proj"], layers_pattern="layers")
    yield "layers_pattern", "llama", dict(target_modules=r".*q_proj", layers_to_transform=[1], layers_pattern="layers")
    sizes = [
        ("llama", ["q_proj", "v_proj", "up_proj"], [{"q_proj": 2}, {"proj": 2}, {".*proj": 2}, {"^model.layers.1.self_attn.q_proj": 3}, {"layers.0.*": 5, "q_proj": 2}, {"q_proj": 2, "layers.0.*": 5}, {r"layers\.[01]\..*v_proj": 6}, {"nope": 9}, {"q_proj|v_proj": 4}, {"self_attn.q_proj": 4}, {"_proj": 4}, {"q_proj$": 4}]),
        ("odd", ["foo", "foobar", "q_proj"], [{"foo": 2}, {"^foo": 2}, {"^h.1.foo": 2}, {"h.1.foo": 2}, {"blocks.0.foo": 3}, {"blocks.0.*": 3}, {"^inner.*": 3}, {"foobar": 1, "foo": 2}, {"o": 3}]),
        ("gpt2", ["c_attn", "c_proj"], [{"attn.c_proj": 1}, {"h.1.*": 2}, {"c_proj": 3, "mlp.c_proj": 1}]),
        ("bert", ["query", "dense"], [{"output.dense": 2}, {r"layer\.2\..*": 1}]),
    ]
    for model, target, patterns in sizes:
        for pattern in patterns:
            yield "rank_pattern", model, dict(target_modules=target, rank_pattern=pattern, r=4, lora_alpha=6)
            if model != "bert":
                yield "alpha_pattern", model, dict(target_modules=target, alpha_pattern=pattern, r=4, lora_alpha=6, use_rslora=model == "odd")
    yield "rank_pattern", "llama", dict(target_modules=["q_proj"], rank_pattern={"q_proj": 3}, alpha_pattern={"layers.1.*": 9}, r=4, lora_alpha=6, use_rslora=True)
    for model in MODELS:
        yield "all-linear", model, dict(target_modules="all-linear")
        yield "all-linear", model, dict(target_modules="ALL-linear", exclude_modules=[".*"] if model == "odd" else ["dense", "fc1", "c_fc", "up_proj"], r=2)
    yield "all-linear", "llama", dict(target_modules="all-linear", modules_to_save=["lm_head"])
    yield "all-linear", "bert", dict(target_modules="all-linear", modules_to_save=["cls"])
    for model, target, saves in [
        ("llama", ["q_proj"], [["lm_head"], ["embed_tokens", "lm_head"], ["norm"], ["input_layernorm"], ["layernorm"], ["model.norm"], ["layers.1.mlp"], ["head"], ["nope"], ["lm_head", "nope"], ["up_proj", "gate_proj"], []]),
        ("llama", ["q_proj", "up_proj"], [["mlp"], ["up_proj"], ["layers.0.mlp.up_proj"]]),
        ("gpt2", ["c_attn"], [["ln_f"], ["wpe"], ["lm_head"], ["ln_1", "ln_2"], ["mlp"]]),
        ("bert", ["query"], [["decoder"], ["cls"], ["LayerNorm"], ["pooler"]]),
        ("odd", ["foo"], [["head"], ["emb", "norm"], ["lora_foo"], ["weight_foo"], ["experts"], ["barfoo"]]),
    ]:
        for saved in saves:
            yield "modules_to_save", model, dict(target_modules=target, modules_to_save=saved)


def table(model):
    tied = {p.data_ptr(): name for name, p in model.named_parameters()}
    embeddings = {role: getattr(model, get)() if hasattr(model, get) else None for role, get in (("isInputEmbedding", "get_input_embeddings"), ("isOutputHead", "get_output_embeddings"))}
    out = []
    for name, module in model.named_modules(remove_duplicate=False):
        shapes = {k: list(v.shape) for k, v in module._parameters.items() if v is not None}
        if not shapes:
            continue
        kind = "linear" if isinstance(module, nn.Linear) else "conv1d" if isinstance(module, Conv1D) else "embedding" if isinstance(module, nn.Embedding) else "norm" if "norm" in type(module).__name__.lower() else "other"
        entry = {"path": name, "kind": kind, "parameters": [{"name": k, "shape": v} for k, v in shapes.items()]}
        if kind != "norm" and kind != "other":
            entry["inFeatures"], entry["outFeatures"] = shapes["weight"][::-1] if kind == "linear" else shapes["weight"]
        for role, embedding in embeddings.items():
            if module is embedding:
                entry[role] = True
        owner = tied[module.weight.data_ptr()].rsplit(".", 1)[0] if "weight" in shapes else name
        if owner != name:
            entry["tiedTo"] = owner
        out.append(entry)
    return out


def measure(model, config, numbers):
    adapted = peft.get_peft_model(model, peft.LoraConfig(**copy.deepcopy(config)))
    named = [(name.removeprefix("base_model.model."), module) for name, module in adapted.named_modules(remove_duplicate=False)]
    sites = [[numbers[name], m.r["default"], m.lora_alpha["default"], m.scaling["default"]] for name, m in named if isinstance(m, peft.tuners.lora.LoraLayer)]
    saved = [name for name, m in named if isinstance(m, ModulesToSaveWrapper)]
    return {"sites": sorted(sites), "saved": sorted(saved)}


tables = {name: table(make()) for name, make in MODELS.items()}
found = []
for category, name, config in rows():
    row = {"category": category, "model": name, "config": config}
    numbers = {entry["path"]: i for i, entry in enumerate(tables[name])}
    try:
        row.update(measure(MODELS[name](), config, numbers))
    except Exception as error:
        row["error"] = f"{type(error).__name__}: {error}".split("\n")[0][:120]
    found.append(row)
json.dump({"peft": peft.__version__, "models": tables, "rows": found}, open(sys.argv[1], "w"), separators=(",", ":"))
counts = {}
for row in found:
    counts[row["category"]] = counts.get(row["category"], 0) + 1
    if "error" in row:
        print(row["category"], row["model"], row["config"], "->", row["error"])
print(len(found), "rows", counts)
