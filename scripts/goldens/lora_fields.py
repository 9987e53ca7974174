"""Goldens of LoraConfig fields beyond plain LoRA: what PEFT computes and trains on a tiny random Llama.

usage: python scripts/goldens/lora_fields.py            (torch 2.15, transformers 5.24, peft 0.21.2)
Writes test/goldens/lora-fields/NAME/ laid out as scripts/goldens/models.py does it, with the same training: f32, clip 1,
linear decay to 0 over STEPS steps, two rows a step. `lora-plus` and `lora-fa` use PEFT's own optimizers.
test/parity/lora-fields.test.ts reads them.
"""

import json
import os
import pathlib
import shutil
import sys

os.environ.update(CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import models as base  # noqa: E402
import peft  # noqa: E402
import peft.optimizers.lorafa as lorafa  # noqa: E402
import torch  # noqa: E402
import transformers as tf  # noqa: E402
from peft.tuners.lora.variants import calculate_alora_offsets  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

OUT = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens" / "lora-fields"
INVOCATION = [7, 8]
PROMPTS = [[9, 4, 11, 20], [7, 8, 30, 12], [12, 40, 7, 8, 33], [7, 8, 5, 7, 8], [31, 7, 9, 8]]
TIED = dict(tie_word_embeddings=True)

# PEFT multiplies B's gradient in bfloat16 where the machine knows that type; the goldens are of its formula in f32.
lorafa.is_bf16_available = lambda: False


def lora_plus(model):
    return peft.optimizers.create_loraplus_optimizer(
        model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=8.0, loraplus_lr_embedding=2e-4, loraplus_weight_decay=0.01
    )


def lora_fa(model):
    config = model.peft_config["default"]
    return peft.optimizers.create_lorafa_optimizer(model, r=config.r, lora_alpha=config.lora_alpha, lr=1e-3, weight_decay=0.01)


def adamw(model):
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, weight_decay=0.01)


def cases():
    """Name, config of the model, config of the adapter, optimizer."""
    lora = base.lora
    yield "lora-plus", dict(attention_bias=True), lora(target_modules=["embed_tokens", "q_proj", "down_proj"], use_dora=False, bias="lora_only", modules_to_save=["norm"]), lora_plus
    yield "lora-plus-dora", {}, lora(target_modules=["q_proj", "up_proj"], use_dora=True), lora_plus
    yield "lora-fa", {}, lora(target_modules=["q_proj", "v_proj", "down_proj"], rank_pattern={"v_proj": 3}, alpha_pattern={"down_proj": 3}, modules_to_save=["norm"]), lora_fa
    yield "lora-fa-rslora", {}, lora(target_modules=["k_proj", "up_proj"], r=3, use_rslora=True), lora_fa
    yield "alora", {}, lora(target_modules=base.LINEAR, alora_invocation_tokens=INVOCATION), adamw
    yield "alora-head", TIED, lora(target_modules=["q_proj", "lm_head"], alora_invocation_tokens=INVOCATION), adamw
    yield "parameters", TIED, lora(target_modules=[], target_parameters=["q_proj.weight", "embed_tokens.weight", "model.layers.1.mlp.up_proj.weight"], rank_pattern={"up_proj.weight": 3}), adamw
    yield "parameters-besides", {}, lora(target_modules=["v_proj"], target_parameters=["lm_head.weight", "o_proj.weight"], use_rslora=True), adamw
    yield "replicated", {}, lora(target_modules=["q_proj", "down_proj"], layer_replication=[[0, 2], [0, 2], [1, 2]]), adamw
    yield "tied-targets", TIED, lora(target_modules=["embed_tokens", "q_proj"], ensure_weight_tying=True), adamw
    yield "tied-saved", TIED, lora(target_modules=["q_proj"], modules_to_save=["lm_head"], ensure_weight_tying=True), adamw
    yield "tied-tokens", TIED, lora(target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [3, 5], "lm_head": [3, 5]}, ensure_weight_tying=True), adamw


def invoke(rows):
    """Two rows of three get the invocation tokens, one of them twice."""
    for i, row in enumerate(rows):
        for start in [] if i % 3 == 0 else [2] if i % 3 == 1 else [0, len(row["input_ids"]) - 3]:
            for name in ("input_ids", "labels"):
                if name == "input_ids" or row["labels"][start] != -100:
                    row[name][start : start + 2] = INVOCATION
    return rows


def generate(model, prompt):
    out = model.generate(input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0)
    return {"prompt": prompt, "ids": out[0, len(prompt) :].tolist()}


def write_offsets():
    """Where PEFT finds the invocation: as it counts, backwards from the end of the row."""
    generator = torch.Generator().manual_seed(3)
    rows = []
    for tokens in ([1, 2], [1], [1, 1], [2, 1, 2]):
        for ids in [[0, 1, 2, 3], [0, 4, 5, 6], [1, 2, 1, 2], [0, 4, 1, 2], [1, 2, 3, 4], [0, 4, 1, 4]] + torch.randint(0, 4, (12, 9), generator=generator).tolist():
            config = peft.LoraConfig(task_type="CAUSAL_LM", alora_invocation_tokens=tokens)
            rows.append([tokens, ids, calculate_alora_offsets({"default": config}, "default", torch.tensor([ids]))[0]])
    (OUT / "offsets.json").write_text(json.dumps(rows) + "\n")


def write_case(folder, shape, config, optimizer):
    model = tf.AutoModelForCausalLM.from_config(tf.LlamaConfig(**{**base.SIZES, **shape}), dtype=torch.float32, attn_implementation="eager")
    base.enlarge(model)
    model.save_pretrained(folder / "model")
    rows = base.draw_rows(torch.Generator().manual_seed(7))
    if config.alora_invocation_tokens:
        rows = invoke(rows)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = peft.get_peft_model(model, config)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_magnitude" in key:
                p.mul_(1 + 0.05 * torch.randn_like(p))
            elif "lora_" in key:
                p.normal_(0, 0.1)
            elif "trainable_tokens_delta" in key:
                p.add_(0.1 * torch.randn_like(p))
    model.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink()
    generations = [generate(model.eval(), prompt) for prompt in PROMPTS] if config.alora_invocation_tokens else []
    made = optimizer(model)
    if optimizer is lora_plus:
        made.param_groups[:] = [g for g in made.param_groups if g["params"]]
    golden, tensors = base.measure(model.eval(), rows, made)
    if config.alora_invocation_tokens:
        golden["generations"] = generations
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")
    (folder / "golden.safetensors").chmod(0o644)


if __name__ == "__main__":
    wanted = sys.argv[1:]
    write_offsets()
    for seed, (name, shape, config, optimizer) in enumerate(cases()):
        if wanted and name not in wanted:
            continue
        shutil.rmtree(OUT / name, ignore_errors=True)
        torch.manual_seed(seed)
        write_case(OUT / name, shape, config, optimizer)
        print(name)
