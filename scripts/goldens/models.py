"""Goldens of whole models: what transformers, PEFT and torch compute and train on tiny random decoders.

usage: python scripts/goldens/models.py [NAME ...]   (torch 2.15, transformers 5.24, peft 0.21.2)
Writes test/goldens/models/NAME/ with a model folder, an adapter whose A and B are both non-zero, rows, and
  golden.json         token ids, losses (token-weighted means) and gradient norms of each step, greedy continuation;
                      with LongRoPE also those of prompts on both sides of the crossing, each alone and without a cache
  golden.safetensors  logits with the adapter, gradients of the first step, every tensor after the last step
test/parity/conformance.test.ts reads them. Training: f32, AdamW(1e-3, decay 0.01 on all), clip 1, linear decay to 0 over
STEPS steps, two rows a step in file order, no dropout.
"""

import json
import pathlib
import shutil
import sys

import peft
import torch
import transformers as tf
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens" / "models"
VOCAB, STEPS, ROWS = 60, 20, 40

SIZES = dict(vocab_size=VOCAB, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
ROPE3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16, rope_theta=10000.0)
LONG = dict(rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=16, short_factor=[1.0, 1.3], long_factor=[1.7, 2.5])
ROPES = dict(full_attention=dict(rope_type="linear", factor=2.0, rope_theta=1e6), sliding_attention=dict(rope_type="default", rope_theta=1e4))
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def lora(**more):
    return peft.LoraConfig(task_type="CAUSAL_LM", **{**dict(r=2, lora_alpha=4), **more})


def cases():
    yield "llama", tf.LlamaConfig(**SIZES, rope_parameters=ROPE3, tie_word_embeddings=True), lora(target_modules=LINEAR)
    yield "llama-dora", tf.LlamaConfig(**SIZES, attention_bias=True), lora(target_modules=["q_proj", "down_proj"], use_dora=True, use_rslora=True)
    yield "mistral-window", tf.MistralConfig(**SIZES, sliding_window=5), lora(target_modules="all-linear", lora_bias=True)
    yield "qwen2", tf.Qwen2Config(**SIZES), lora(target_modules=LINEAR[:4], bias="lora_only", modules_to_save=["norm"])
    shape = dict(vocab_size=VOCAB, n_embd=16, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
    yield "gpt2", tf.GPT2Config(**shape, bos_token_id=1, eos_token_id=2, pad_token_id=0), lora(target_modules=["c_attn", "c_fc", "c_proj"], fan_in_fan_out=True)
    yield "qwen3", tf.Qwen3Config(**SIZES, head_dim=6), lora(target_modules=LINEAR)
    yield "gemma", tf.GemmaConfig(**SIZES, head_dim=6), lora(target_modules=["q_proj", "down_proj", "embed_tokens"])
    yield "gemma2", tf.Gemma2Config(**SIZES, head_dim=6, sliding_window=4, query_pre_attn_scalar=10, attn_logit_softcapping=2.0, final_logit_softcapping=3.0), lora(target_modules=LINEAR)
    yield "gemma3", tf.Gemma3TextConfig(**SIZES, head_dim=6, sliding_window=4, query_pre_attn_scalar=10, layer_types=["full_attention", "sliding_attention"], rope_parameters=ROPES), lora(target_modules="all-linear")
    # Rows and continuations on both sides of the 16 tokens up to which the short factors hold.
    yield "phi3-longrope", tf.Phi3Config(**SIZES, original_max_position_embeddings=16, rope_parameters=LONG), lora(target_modules="all-linear")
    neox = dict(**{k: v for k, v in SIZES.items() if k != "num_key_value_heads"}, rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.5))
    yield "gpt-neox", tf.GPTNeoXConfig(**neox), lora(target_modules=["query_key_value", "dense", "dense_4h_to_h"])
    yield "gpt-neox-serial", tf.GPTNeoXConfig(**neox, use_parallel_residual=False, attention_bias=False), lora(target_modules="all-linear")
    after = dict(vocab_size=VOCAB, hidden_size=16, ffn_dim=24, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=64, dropout=0.0)
    opt = dict(**after, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    yield "opt", tf.OPTConfig(**opt), lora(target_modules=["q_proj", "v_proj", "fc1", "fc2"])
    yield "opt-after", tf.OPTConfig(**opt, do_layer_norm_before=False, word_embed_proj_dim=8, enable_bias=False), lora(target_modules="all-linear")


def enlarge(model):
    """Weights large enough that an error in any of them shows."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.normal_(0, 0.25)
            elif "norm" in name or "ln_" in name:
                p.add_(0.1 * torch.randn_like(p))
            else:
                p.normal_(0, 0.1)


def draw_rows(generator, longest=16):
    rows = []
    for _ in range(ROWS):
        length = int(torch.randint(5, longest, (1,), generator=generator))
        ids = torch.randint(3, VOCAB, (length,), generator=generator).tolist()
        silent = int(torch.randint(0, length // 2, (1,), generator=generator))
        rows.append({"input_ids": ids, "labels": [-100] * silent + ids[silent:]})
    return rows


def pad(rows):
    longest = max(len(r["input_ids"]) for r in rows)
    fill = lambda values, with_: values + [with_] * (longest - len(values))
    ids = torch.tensor([fill(r["input_ids"], 0) for r in rows])
    mask = torch.tensor([fill([1] * len(r["input_ids"]), 0) for r in rows])
    labels = torch.tensor([fill(r["labels"], -100) for r in rows])
    return ids, mask, labels


def is_long(config):
    return "short_factor" in (getattr(config, "rope_parameters", None) or {})


def logits_of(model, rows):
    ids, mask, _ = pad(rows)
    if not is_long(model.config):
        return model(input_ids=ids, attention_mask=mask).logits
    # transformers takes the factors of the longest row for a whole batch: only a row alone has its own.
    alone = [model(input_ids=torch.tensor([row["input_ids"]])).logits[0] for row in rows]
    return torch.nn.utils.rnn.pad_sequence(alone, batch_first=True)


def loss_of(model, rows):
    labels = pad(rows)[2]
    logits = logits_of(model, rows)[:, :-1]
    return torch.nn.functional.cross_entropy(logits.reshape(-1, VOCAB), labels[:, 1:].reshape(-1), ignore_index=-100)


def main():
    wanted = sys.argv[1:]
    for seed, (name, config, adapter) in enumerate(cases()):
        if wanted and name not in wanted:
            continue
        shutil.rmtree(OUT / name, ignore_errors=True)
        torch.manual_seed(seed)
        write_case(OUT / name, config, adapter)


def write_case(folder, config, adapter):
    model = tf.AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    enlarge(model)
    model.save_pretrained(folder / "model")
    rows = draw_rows(torch.Generator().manual_seed(7), 26 if is_long(config) else 16)
    if is_long(config):
        rows[0] = {name: values[:12] for name, values in rows[0].items()}  # the first step has a row of either side
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = peft.get_peft_model(model, adapter)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_magnitude" in key:
                p.mul_(1 + 0.05 * torch.randn_like(p))
            elif "lora_" in key:
                p.normal_(0, 0.1)
    model.save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink()
    golden, tensors = measure(model.eval(), rows)
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")
    (folder / "golden.safetensors").chmod(0o644)


def continuation(model, prompt):
    ids = torch.tensor([prompt])
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=16, do_sample=False, eos_token_id=None, pad_token_id=0, use_cache=False)
    return out[0, len(prompt) :].tolist()


def measure(model, rows, optimizer=None):
    ids, mask, _ = pad(rows[:2])
    prompt = rows[0]["input_ids"][:4]
    with torch.no_grad():
        logits = logits_of(model, rows[:2])
        counts = [sum(label != -100 for label in r["labels"][1:]) for r in rows]
        evaluated = sum(float(loss_of(model, [r])) * c for r, c in zip(rows, counts)) / sum(counts)
        greedy = continuation(model, prompt)
        sides = [[token for row in rows for token in row["input_ids"]][:length] for length in (3, 9, 15, 16, 17, 20)] if is_long(model.config) else []
        generations = [{"prompt": prompt, "ids": continuation(model, prompt)} for prompt in sides]
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    tensors = {"logits_adapter": logits}
    loss_of(model, rows[:2]).backward()
    for name, p in trained.items():
        gradient = torch.zeros_like(p) if p.grad is None else p.grad.clone()
        tensors["grad." + name.replace(".default", "").replace("modules_to_save.", "")] = gradient
    silent = {p.data_ptr() for p in trained.values() if p.grad is None or float(p.grad.norm()) < 1e-6}
    no_gradient = [k for k, v in peft.get_peft_model_state_dict(model).items() if v.data_ptr() in silent]
    model.zero_grad()
    losses, norms = train(model, trained, rows, optimizer or torch.optim.AdamW(trained.values(), lr=1e-3, weight_decay=0.01))
    tensors.update({"trained." + k: v for k, v in peft.get_peft_model_state_dict(model).items()})
    return {
        "input_ids": ids.tolist(), "attention_mask": mask.tolist(), "eval_loss_adapter": evaluated, "eval_tokens": sum(counts),
        "prompt_ids": prompt, "greedy_ids": greedy, **({"generations": generations} if sides else {}), "trainable": sum(p.numel() for p in trained.values()),
        "no_gradient": no_gradient, "losses": losses, "grad_norms": norms,
    }, tensors


def train(model, trained, rows, optimizer):
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    losses, norms = [], []
    for step in range(STEPS):
        loss = loss_of(model, rows[2 * step : 2 * step + 2])
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(list(trained.values()), 1.0)))
        losses.append(float(loss))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return losses, norms


if __name__ == "__main__":
    main()
