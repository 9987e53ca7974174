"""Goldens of encoders with heads: what transformers, PEFT and torch compute and train on tiny random models.

usage: python scripts/goldens/encoders.py [NAME ...]   (torch 2.15, transformers 5.24, peft 0.21.2)
Writes test/goldens/models/NAME/ as models.py does, with the logits of whole texts or of each token, and rows with a label
a text (a class or a number) or a token. Training as there: AdamW(1e-3, decay 0.01), clip 1, linear decay over 20 steps.
"""

import json
import shutil
import sys

import peft
import torch
import transformers as tf
from safetensors.torch import save_file

from models import OUT, ROWS, STEPS, VOCAB, enlarge

SIZES = dict(vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, max_position_embeddings=40, pad_token_id=0,
             hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
RELATIVE = dict(relative_attention=True, position_buckets=4, max_relative_positions=12)
DISTIL = dict(vocab_size=VOCAB, dim=16, n_layers=2, n_heads=4, hidden_dim=24, max_position_embeddings=40, dropout=0.0, attention_dropout=0.0, seq_classif_dropout=0.0, pad_token_id=0)
MODERN = dict(vocab_size=VOCAB, hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=24, max_position_embeddings=40, local_attention=6,
              global_attn_every_n_layers=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
KINDS = dict(text=("SEQ_CLS", tf.AutoModelForSequenceClassification), number=("SEQ_CLS", tf.AutoModelForSequenceClassification),
             tokens=("TOKEN_CLS", tf.AutoModelForTokenClassification), masked=(None, tf.AutoModelForMaskedLM))


def cases():
    """name, kind, config, targets, and what more the adapter says"""
    yield "bert-pair", "text", tf.BertConfig(**SIZES, num_labels=3), "all-linear", dict(bias="lora_only")
    yield "bert-regression", "number", tf.BertConfig(**SIZES, num_labels=1), ["query", "dense"], dict(use_dora=True)
    yield "bert-tokens", "tokens", tf.BertConfig(**SIZES, num_labels=3), ["query", "value"], {}
    yield "bert-masked", "masked", tf.BertConfig(**SIZES), ["query", "dense"], {}
    yield "roberta-masked", "masked", tf.RobertaConfig(**{**SIZES, "pad_token_id": 1}), ["key", "value"], dict(modules_to_save=["lm_head.dense"])
    yield "xlm-roberta", "text", tf.XLMRobertaConfig(**{**SIZES, "pad_token_id": 1}, num_labels=2), "all-linear", {}
    yield "distilbert", "text", tf.DistilBertConfig(**DISTIL, num_labels=3), ["q_lin", "lin2"], {}
    yield "distilbert-masked", "masked", tf.DistilBertConfig(**DISTIL), ["q_lin", "vocab_transform"], {}
    yield "electra", "text", tf.ElectraConfig(**SIZES, embedding_size=12, num_labels=3), ["query", "embeddings_project"], {}
    yield "electra-masked", "masked", tf.ElectraConfig(**SIZES, embedding_size=12), ["query", "value"], {}
    yield "deberta-v2", "text", tf.DebertaV2Config(**SIZES, **RELATIVE, pos_att_type=["p2c", "c2p"], share_att_key=True, norm_rel_ebd="layer_norm", position_biased_input=False, num_labels=3), ["query_proj", "key_proj"], {}
    yield "deberta-v2-own", "tokens", tf.DebertaV2Config(**SIZES, relative_attention=True, pos_att_type=["c2p"], share_att_key=False, type_vocab_size=2, num_labels=3), ["query_proj", "pos_key_proj"], {}
    yield "modernbert", "text", tf.ModernBertConfig(**MODERN, classifier_pooling="mean", norm_bias=True, num_labels=3), ["Wqkv", "Wi", "Wo"], {}
    yield "modernbert-masked", "masked", tf.ModernBertConfig(**MODERN, attention_bias=True), ["Wqkv"], {}


def draw_rows(kind, labels, generator, pairs):
    draw = lambda low, high, n=1: torch.randint(low, high, (n,), generator=generator).tolist()
    rows = []
    for _ in range(ROWS):
        ids = draw(3, VOCAB, draw(4, 16)[0])
        row = {"input_ids": [2] + ids + [2]}
        n = len(row["input_ids"])
        if pairs:
            row["token_type_ids"] = [int(t > n // 2) for t in range(n)]
        if kind == "number":
            row["label"] = round(float(torch.randn(1, generator=generator)), 4)
        elif kind == "text":
            row["label"] = draw(0, labels)[0]
        else:
            known = draw(0, 3, n)
            row["labels"] = [-100 if k == 0 and t > 0 else label for t, (k, label) in enumerate(zip(known, draw(0, labels, n)))]
        rows.append(row)
    return rows


def batch(rows, fill):
    longest = max(len(r["input_ids"]) for r in rows)
    padded = lambda values, with_: values + [with_] * (longest - len(values))
    inputs = dict(input_ids=torch.tensor([padded(r["input_ids"], fill) for r in rows]),
                  attention_mask=torch.tensor([padded([1] * len(r["input_ids"]), 0) for r in rows]))
    if "token_type_ids" in rows[0]:
        inputs["token_type_ids"] = torch.tensor([padded(r["token_type_ids"], 0) for r in rows])
    labels = torch.tensor([r["label"] if "label" in r else padded(r["labels"], -100) for r in rows])
    return inputs, labels


def loss_of(model, rows):
    inputs, labels = batch(rows, model.config.pad_token_id)
    logits = model(**inputs).logits
    if labels.is_floating_point():
        return torch.nn.functional.mse_loss(logits[:, 0], labels)
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1), ignore_index=-100)


def count(row):
    return 1 if "label" in row else sum(label != -100 for label in row["labels"])


def write_case(folder, kind, config, targets, more):
    task, auto = KINDS[kind]
    model = auto.from_config(config, dtype=torch.float32, attn_implementation="eager")
    enlarge(model)
    model.save_pretrained(folder / "model")
    labels = VOCAB if kind == "masked" else config.num_labels
    rows = draw_rows(kind, labels, torch.Generator().manual_seed(7), folder.name in ("bert-pair", "deberta-v2-own"))
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = peft.get_peft_model(model, peft.LoraConfig(task_type=task, r=2, lora_alpha=4, target_modules=targets, **more))
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


def measure(model, rows):
    inputs, _ = batch(rows[:2], model.config.pad_token_id)
    with torch.no_grad():
        tensors = {"logits_adapter": model(**inputs).logits}
        counts = [count(r) for r in rows]
        evaluated = sum(float(loss_of(model, [r])) * c for r, c in zip(rows, counts)) / sum(counts)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    loss_of(model, rows[:2]).backward()
    for name, p in trained.items():
        gradient = torch.zeros_like(p) if p.grad is None else p.grad.clone()
        tensors["grad." + name.replace(".default", "").replace("modules_to_save.", "")] = gradient
    silent = {p.data_ptr() for p in trained.values() if p.grad is None or float(p.grad.norm()) < 1e-6}
    no_gradient = [k for k, v in peft.get_peft_model_state_dict(model).items() if v.data_ptr() in silent]
    model.zero_grad()
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-3, weight_decay=0.01)
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
    tensors.update({"trained." + k: v for k, v in peft.get_peft_model_state_dict(model).items()})
    return {
        **{name: value.tolist() for name, value in inputs.items()}, "eval_loss_adapter": evaluated, "eval_tokens": sum(counts),
        "trainable": sum(p.numel() for p in trained.values()), "no_gradient": no_gradient, "losses": losses, "grad_norms": norms,
    }, tensors


def main():
    for seed, (name, *case) in enumerate(cases()):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        shutil.rmtree(OUT / name, ignore_errors=True)
        torch.manual_seed(100 + seed)
        write_case(OUT / name, *case)


if __name__ == "__main__":
    main()
