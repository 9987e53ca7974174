"""Goldens of bottleneck adapters by AdapterHub's library, and of methods that train parts of an encoder, by torch.

usage: python scripts/goldens/adapterhub.py     (adapters 1.3.0 with its transformers 4.57, torch 2.15)
Writes test/goldens/adapterhub/NAME/ as scripts/goldens/models.py does: a model folder, rows with a label, for bottlenecks the
adapter's folder as AdapterHub saves it, golden.json, and golden.safetensors with logits, the gradients of the first step and
every trained tensor after the last one. Adapters, all LayerNorms, pooler and classifier are trained (Houlsby et al. 2019),
but nothing below the lowest layer with an adapter where layers are left out.
ModernBERT is unknown to the library: its two adapters a layer are hooked in here, after the sublayer, before the residual.
"""

import json
import pathlib
import shutil

import adapters
import torch
import transformers as tf
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens" / "adapterhub"
VOCAB, STEPS, ROWS, WIDTH, LABELS = 60, 20, 40, 16, 3
SIZES = dict(vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24, max_position_embeddings=40,
             hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=LABELS, pad_token_id=0, hidden_act="gelu")
HOULSBY = adapters.DoubleSeqBnConfig(non_linearity="gelu", init_weights="houlsby", reduction_factor=4)
PFEIFFER = adapters.SeqBnConfig(reduction_factor=4)
PARALLEL = adapters.ParBnConfig(reduction_factor=2)

above = lambda name: name.startswith(("classifier", "pre_classifier", "bert.pooler", "head."))
norms = lambda name: "norm" in name.lower()


def cases():
    bert = tf.BertConfig(**SIZES, type_vocab_size=2)
    yield "houlsby", "houlsby", bert, HOULSBY
    yield "pfeiffer", "pfeiffer", bert, PFEIFFER
    yield "parallel", "parallel", bert, PARALLEL
    yield "houlsby-dropped", "houlsby", bert, adapters.DoubleSeqBnConfig(non_linearity="gelu", init_weights="houlsby", reduction_factor=4, leave_out=[0])
    yield "pfeiffer-roberta", "pfeiffer", tf.RobertaConfig(**{**SIZES, "pad_token_id": 1}, type_vocab_size=1), PFEIFFER
    yield "houlsby-distilbert", "houlsby", tf.DistilBertConfig(vocab_size=VOCAB, dim=WIDTH, hidden_dim=24, n_layers=2, n_heads=4, max_position_embeddings=40, dropout=0.0,
                                                               attention_dropout=0.0, seq_classif_dropout=0.0, num_labels=LABELS, pad_token_id=0), HOULSBY
    yield "houlsby-modernbert", "houlsby", tf.ModernBertConfig(vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=4, intermediate_size=24,
                                                               max_position_embeddings=40, num_labels=LABELS, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1,
                                                               sep_token_id=2, local_attention=8, global_attn_every_n_layers=2, norm_bias=True, reference_compile=False), HOULSBY
    yield "bitfit", "bitfit", bert, lambda name: name.endswith(".bias") or above(name)
    yield "ln-tuning", "ln-tuning", bert, lambda name: norms(name) or above(name)
    yield "head", "head", tf.RobertaConfig(**{**SIZES, "pad_token_id": 1}, type_vocab_size=1), above
    yield "pfeiffer-by-layer", "pfeiffer", bert, adapters.SeqBnConfig(reduction_factor={"1": 8, "default": 4})


class Hooked(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.adapter_down = torch.nn.Sequential(torch.nn.Linear(WIDTH, size))
        self.adapter_up = torch.nn.Linear(size, WIDTH)

    def forward(self, out):
        return out + self.adapter_up(torch.nn.functional.gelu(self.adapter_down(out)))


def hook_modernbert(model):
    for layer in model.model.layers:
        for part in (layer.attn, layer.mlp):
            part.adapters = torch.nn.ModuleDict({"x": Hooked(WIDTH // 4)})
            change = lambda module, _, out: (module.adapters["x"](out[0]), *out[1:]) if isinstance(out, tuple) else module.adapters["x"](out)
            part.register_forward_hook(change)


def enlarge(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.normal_(0, 0.25)
            elif norms(name):
                p.add_(0.1 * torch.randn_like(p))
            else:
                p.normal_(0, 0.1)


def pad(rows, fill):
    longest = max(len(r["input_ids"]) for r in rows)
    ids = torch.tensor([r["input_ids"] + [fill] * (longest - len(r["input_ids"])) for r in rows])
    return ids, (torch.arange(longest)[None] < torch.tensor([[len(r["input_ids"])] for r in rows])).long(), torch.tensor([r["label"] for r in rows])


def write_case(folder, method, config, setting):
    shutil.rmtree(folder, ignore_errors=True)
    model = tf.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    enlarge(model)
    model.save_pretrained(folder / "model")
    if method in ("houlsby", "pfeiffer", "parallel"):
        dropped = ("bert.embeddings.", *(f"bert.encoder.layer.{i}." for i in setting.leave_out)) if setting.leave_out else ()
        wants = lambda name: ".adapters." in name or (norms(name) and not name.startswith(dropped)) or above(name)
        if config.model_type == "modernbert":
            hook_modernbert(model)
        else:
            adapters.init(model)
            model.add_adapter("x", config=setting)
            model.train_adapter("x")
        with torch.no_grad():
            for name, p in model.named_parameters():
                if ".adapters." in name:
                    p.normal_(0, 0.2)
        if config.model_type != "modernbert":
            save_hub(model, folder / "adapter")
    else:
        wants = setting
    trained = {}
    for name, p in model.named_parameters():
        p.requires_grad_(wants(name))
        if p.requires_grad:
            trained[name] = p
    rows = []
    generator = torch.Generator().manual_seed(7)
    for _ in range(ROWS):
        length = int(torch.randint(5, 16, (1,), generator=generator))
        rows.append({"input_ids": torch.randint(3, VOCAB, (length,), generator=generator).tolist(), "label": int(torch.randint(0, LABELS, (1,), generator=generator))})
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    golden, tensors = measure(model.eval(), rows, trained, config.pad_token_id)
    golden["method"] = method
    golden["leave_out"] = list(getattr(setting, "leave_out", []))
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, folder / "golden.safetensors")
    (folder / "golden.safetensors").chmod(0o644)


def save_hub(model, folder):
    folder.mkdir(parents=True)
    model.save_adapter(str(folder), "x", with_head=True)


def measure(model, rows, trained, fill):
    own = lambda name: "base_model.model." + name.replace(".adapters.x.", ".adapters.")
    loss_of = lambda part: torch.nn.functional.cross_entropy(model(input_ids=part[0], attention_mask=part[1]).logits, part[2])
    ids, mask, _ = pad(rows[:2], fill)
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits
        evaluated = sum(float(loss_of(pad([r], fill))) for r in rows) / len(rows)
    tensors = {"logits_adapter": logits}
    tensors.update({"start." + own(n): p.detach().clone() for n, p in trained.items()})
    loss_of(pad(rows[:2], fill)).backward()
    no_gradient = [own(n) for n, p in trained.items() if p.grad is None or float(p.grad.norm()) < 1e-6]
    tensors.update({"grad." + own(n): torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in trained.items()})
    model.zero_grad()
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / STEPS)
    losses, lengths = [], []
    for step in range(STEPS):
        loss = loss_of(pad(rows[2 * step : 2 * step + 2], fill))
        loss.backward()
        lengths.append(float(torch.nn.utils.clip_grad_norm_(list(trained.values()), 1.0)))
        losses.append(float(loss))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    tensors.update({"trained." + own(n): p for n, p in trained.items()})
    return {
        "input_ids": ids.tolist(), "attention_mask": mask.tolist(), "eval_loss_adapter": evaluated, "eval_tokens": len(rows), "prompt_ids": [], "greedy_ids": [],
        "trainable": sum(p.numel() for p in trained.values()), "no_gradient": no_gradient, "losses": losses, "grad_norms": lengths,
    }, tensors


def main():
    for seed, (name, method, config, setting) in enumerate(cases()):
        torch.manual_seed(seed)
        write_case(OUT / name, method, config, setting)


if __name__ == "__main__":
    main()
