"""Goldens of LoRA's starts: what real PEFT takes out of a base, and what it finds in rows.

usage: python scripts/goldens/inits.py     (torch 2.15, transformers 5.24, peft 0.21.2)
Reads the models of test/goldens/models; writes test/goldens/inits/NAME.safetensors (A, B and what is left of each target's
weight, under the module's path) and cases.json (configs; EVA's patterns; how far LoftQ's start is from the weight).
LoftQ in PEFT needs bitsandbytes on a GPU, so its rounding is written here: NF4 in blocks of 64, the scale not forgotten.
"""

import json
import pathlib

import peft
import torch
import transformers as tf
from peft.tuners.lora.eva import initialize_lora_eva_weights
from safetensors.torch import save_file

GOLDENS = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens"
OUT = GOLDENS / "inits"
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PATTERNS = dict(rank_pattern={"q_proj": 2, "layers.1.mlp.up_proj": 6}, alpha_pattern={"k_proj": 3})

CASES = {
    "pissa": ("llama", dict(init_lora_weights="pissa", r=4, lora_alpha=6, target_modules=LINEAR)),
    "pissa-patterns": ("llama", dict(init_lora_weights="pissa", r=4, lora_alpha=6, target_modules=LINEAR, **PATTERNS)),
    "pissa-rslora": ("llama", dict(init_lora_weights="pissa", r=4, lora_alpha=6, target_modules=LINEAR, use_rslora=True)),
    "pissa-niter": ("llama", dict(init_lora_weights="pissa_niter_400", r=3, lora_alpha=3, target_modules=LINEAR)),
    "pissa-gpt2": ("gpt2", dict(init_lora_weights="pissa", r=4, lora_alpha=6, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)),
    "olora": ("llama", dict(init_lora_weights="olora", r=4, lora_alpha=6, target_modules=LINEAR, **PATTERNS)),
    "olora-rslora": ("llama", dict(init_lora_weights="olora", r=4, lora_alpha=6, target_modules=LINEAR, use_rslora=True)),
    "olora-gpt2": ("gpt2", dict(init_lora_weights="olora", r=4, lora_alpha=6, target_modules=["c_proj"], fan_in_fan_out=True)),
    "eva": ("llama", dict(init_lora_weights="eva", r=4, lora_alpha=6, target_modules=LINEAR, eva_config=peft.EvaConfig())),
    "eva-whiten": ("llama", dict(init_lora_weights="eva", r=4, lora_alpha=6, target_modules=LINEAR[:4], rank_pattern={"o_proj": 2},
                                 eva_config=peft.EvaConfig(whiten=True, adjust_scaling_factors=False, use_label_mask=False))),
}


def open_model(name):
    return tf.AutoModelForCausalLM.from_pretrained(GOLDENS / "models" / name / "model", dtype=torch.float32, attn_implementation="eager")


def batches(name, size=8):
    rows = [json.loads(line) for line in (GOLDENS / "models" / name / "train.jsonl").read_text().splitlines()]
    out = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        longest = max(len(r["input_ids"]) for r in part)
        fill = lambda values, with_: values + [with_] * (longest - len(values))
        out.append({
            "input_ids": torch.tensor([fill(r["input_ids"], 0) for r in part]),
            "attention_mask": torch.tensor([fill([1] * len(r["input_ids"]), 0) for r in part]),
            "labels": torch.tensor([fill(r["labels"], -100) for r in part]),
        })
    return out


def layers(model):
    for name, module in model.named_modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            yield name.removeprefix("base_model.model."), module


def nf4(values):
    levels = torch.tensor([-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
                           -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                           0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0])
    flat = values.reshape(-1)
    padded = torch.nn.functional.pad(flat, (0, -len(flat) % 64)).reshape(-1, 64)
    scale = padded.abs().amax(1, keepdim=True).clamp(min=1e-30)
    return (levels[((padded / scale)[..., None] - levels).abs().argmin(-1)] * scale).reshape(-1)[: len(flat)].reshape(values.shape)


def loftq_error(weight, r, iterations):
    rest = weight
    for _ in range(iterations):
        quantized = nf4(rest)
        u, s, v = torch.linalg.svd(weight - quantized, full_matrices=False)
        kept = (u[:, :r] * s[:r]) @ v[:r]
        rest = weight - kept
    return float((weight - quantized - kept).norm())


def main():
    OUT.mkdir(exist_ok=True)
    listed = {}
    for name, (base, settings) in CASES.items():
        torch.manual_seed(3)
        model = open_model(base)
        original = {k: v.clone() for k, v in model.state_dict().items()}
        config = peft.LoraConfig(task_type="CAUSAL_LM", **settings)
        wrapped = peft.get_peft_model(model, config)
        if settings["init_lora_weights"] == "eva":
            initialize_lora_eva_weights(wrapped, batches(base), show_progress_bar=False)
        tensors = {}
        for path, layer in layers(wrapped):
            tensors[f"{path}.a"] = layer.lora_A["default"].weight.detach()
            tensors[f"{path}.b"] = layer.lora_B["default"].weight.detach()
            left = layer.get_base_layer().weight.detach()
            if not torch.equal(left, original[f"{path}.weight"]):
                tensors[f"{path}.left"] = left
        now = wrapped.peft_config["default"]
        save_file({k: v.clone().contiguous() for k, v in tensors.items()}, OUT / f"{name}.safetensors")
        (OUT / f"{name}.safetensors").chmod(0o644)
        settings = {k: (v.__dict__ if hasattr(v, "rho") else v) for k, v in settings.items()}
        listed[name] = {"base": base, "config": settings, "rank_pattern": now.rank_pattern, "alpha_pattern": now.alpha_pattern}
    model = open_model("llama")
    listed["loftq"] = {
        "base": "llama",
        "config": dict(init_lora_weights="loftq", r=3, lora_alpha=6, target_modules=LINEAR),
        "errors": {f"{n}.{i}": loftq_error(m.weight.detach(), 3, i) for n, m in model.named_modules() if n.endswith("_proj") for i in (1, 5)},
    }
    (OUT / "cases.json").write_text(json.dumps(listed, indent=1) + "\n")


if __name__ == "__main__":
    main()
