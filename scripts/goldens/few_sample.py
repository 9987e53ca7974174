"""Goldens of few-sample fine-tuning (arXiv 2006.05987): a tiny BERT trained for 20 steps with each option, in torch.

usage: python scripts/goldens/few_sample.py     (torch 2.15, transformers 5.24)
Writes test/goldens/few-sample/: model/, train.jsonl, golden.json with losses and gradient norms of each case, and
NAME.safetensors with every tensor after the last step. Optimizers, groups and mixout are written here from the paper and its
code; masks are drawn by lowrank's hash (src/support/random.ts, src/ops/indexing.ts), so that both sides mix the same numbers.
"""

import json
import math
import pathlib
import shutil

import torch
import transformers as tf
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens" / "few-sample"
VOCAB, WIDTH, LAYERS, LABELS, STEPS, ROWS, SEED = 30, 8, 3, 3, 20, 40, 7
RATE, DECAY = 1e-3, 0.01
GOLDEN = 0x9E3779B9
MASK = 0xFFFFFFFF


# Counter-based random numbers.


def mix32(x):
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
    return (x ^ (x >> 16)) & MASK


def hash_key(*words):
    h = GOLDEN
    for word in words:
        h = mix32(((h ^ mix32(word & MASK)) + GOLDEN) & MASK)
    return h


def hash_name(name):
    h = 0x811C9DC5
    for c in name.encode("utf-16-le")[::2]:
        h = ((h ^ c) * 0x01000193) & MASK
    return mix32(h)


def keeps(step, site, rate, shape):
    """1 where a number is kept, of one step: `rate` is the probability that it is not."""
    h = torch.tensor([mix32(hash_key(SEED, 0, step) ^ hash_name(site))], dtype=torch.int64)
    for extent in shape:
        steps = (torch.arange(1, extent + 1, dtype=torch.int64) * GOLDEN) & MASK
        h = mix_all((h[..., None] + steps) & MASK)
    return ((h[0] >> 1) >= math.ceil(rate * 2**31)).float()


def mix_all(x):
    x = times(x ^ (x >> 16), 0x7FEB352D)
    x = times(x ^ (x >> 15), 0x846CA68B)
    return x ^ (x >> 16)


def times(x, factor):
    """Product of u32 in int64, without overflow."""
    low = (x & 0xFFFF) * factor
    high = ((x >> 16) * factor) & 0xFFFF
    return (low + (high << 16)) & MASK


# Mixout: the formula of arXiv 1909.11299, and as the code of 2006.05987 has it.


class ColumnMixout(torch.autograd.Function):
    """One mask a column of the input, repeated over the outputs; its backward leaves out 1/(1 - p)."""

    @staticmethod
    def forward(ctx, weight, first, mask, rate):
        ctx.save_for_backward(mask)
        return ((1 - mask) * first + mask * weight - rate * first) / (1 - rate)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0], None, None, None


class MixLinear(torch.nn.Module):
    def __init__(self, linear, name, rate, column):
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.first = linear.weight.detach().clone()
        self.name, self.rate, self.column, self.step = name, rate, column, 0

    def forward(self, x):
        if not self.training:
            return torch.nn.functional.linear(x, self.weight, self.bias)
        w, w0, p, site = self.weight, self.first, self.rate, self.name + ".weight.mixout"
        if self.column:
            m = keeps(self.step, site, p, w.shape[1:]).repeat(w.shape[0], 1)
            mixed = ColumnMixout.apply(w, w0, m, p)
        else:
            m = keeps(self.step, site, p, w.shape)
            mixed = (m * w + (1 - m) * w0 - p * w0) / (1 - p)
        return torch.nn.functional.linear(x, mixed, self.bias)


def put_mixout(model, rate, column):
    for path, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.Linear):
            parent, _, name = path.rpartition(".")
            setattr(model.get_submodule(parent), name, MixLinear(module, path, rate, column))


# Optimizers and groups.


class BertAdam(torch.optim.Optimizer):
    """Adam without bias correction, decay after the step (transformers' AdamW with correct_bias=False)."""

    def __init__(self, params, lr, weight_decay):
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                m, v = state.setdefault("m", torch.zeros_like(p)), state.setdefault("v", torch.zeros_like(p))
                m.mul_(0.9).add_(p.grad, alpha=0.1)
                v.mul_(0.999).addcmul_(p.grad, p.grad, value=0.001)
                p.addcdiv_(m, v.sqrt().add_(1e-8), value=-group["lr"])
                p.add_(p, alpha=-group["lr"] * group["weight_decay"])


spared = lambda name: "bias" in name or "LayerNorm.weight" in name


def depth(name):
    """0 for pooler and classifier, 1 for the top layer, LAYERS + 1 for the embeddings."""
    if ".layer." in name:
        return LAYERS - int(name.split(".layer.")[1].split(".")[0])
    return LAYERS + 1 if "embeddings" in name else 0


def groups_of(model, layer_decay, no_decay):
    return [
        {"params": [p], "lr": RATE * layer_decay ** depth(name), "weight_decay": 0.0 if no_decay and spared(name) else DECAY, "name": name}
        for name, p in model.named_parameters()
    ]


def train(model, rows, optimizer="adamw", layer_decay=1.0, no_decay=False, prior_decay=0.0, mixout=0.0, mask="element"):
    model.train()
    if mixout:
        put_mixout(model, mixout, mask == "column")
    groups = groups_of(model, layer_decay, no_decay)
    first = {name: p.detach().clone() for name, p in model.named_parameters()}
    make = BertAdam if optimizer == "bertadam" else torch.optim.AdamW
    opt = make(groups, lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(opt, lambda step: 1 - step / STEPS)
    losses, norms, still = [], [], []
    for step in range(STEPS):
        for module in model.modules():
            if isinstance(module, MixLinear):
                module.step = step
        loss = loss_of(model, rows[2 * step : 2 * step + 2])
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)))
        losses.append(float(loss))
        if step == 0:
            still = [name for name, p in model.named_parameters() if float(p.grad.norm()) < 1e-6]
        if prior_decay:
            # Before the step, and beside it, as prior_wd_optim.py has it.
            with torch.no_grad():
                for group in opt.param_groups:
                    p, name = group["params"][0], group["name"]
                    if not (no_decay and spared(name)):
                        p.add_(p - first[name], alpha=-group["lr"] * prior_decay)
        opt.step()
        schedule.step()
        opt.zero_grad()
    return dict(losses=losses, grad_norms=norms, no_gradient=still), {name: p.detach().clone() for name, p in model.named_parameters()}


def loss_of(model, rows):
    longest = max(len(r["input_ids"]) for r in rows)
    ids = torch.tensor([r["input_ids"] + [0] * (longest - len(r["input_ids"])) for r in rows])
    mask = (torch.arange(longest)[None] < torch.tensor([[len(r["input_ids"])] for r in rows])).long()
    return torch.nn.functional.cross_entropy(model(input_ids=ids, attention_mask=mask).logits, torch.tensor([r["label"] for r in rows]))


CASES = {
    "bertadam": dict(optimizer="bertadam", no_decay=True),
    "layer-decay": dict(layer_decay=0.7, no_decay=True),
    "prior-decay": dict(prior_decay=20.0, no_decay=True),
    "mixout": dict(mixout=0.3),
    "mixout-column": dict(mixout=0.3, mask="column"),
    "together": dict(optimizer="bertadam", layer_decay=0.8, no_decay=True, prior_decay=5.0, mixout=0.2),
}


def redrawn(model, layers):
    """Tensors that the paper's code draws anew, with its test for each."""
    names = [f"bert.pooler.dense.{part}" for part in ("weight", "bias")]
    for path, module in model.bert.encoder.layer.named_modules():
        if path and int(path.split(".")[0]) >= LAYERS - layers and isinstance(module, (torch.nn.Linear, torch.nn.LayerNorm)):
            names += [f"bert.encoder.layer.{path}.{part}" for part in ("weight", "bias")]
    return sorted(names)


def new_model():
    torch.manual_seed(0)
    config = tf.BertConfig(vocab_size=VOCAB, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=12, max_position_embeddings=20,
                           hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=LABELS, pad_token_id=0, type_vocab_size=2)
    model = tf.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.normal_(0, 0.3)
            else:
                p.add_(0.1 * torch.randn_like(p))
    return model


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    model = new_model()
    model.save_pretrained(OUT / "model")
    generator = torch.Generator().manual_seed(7)
    draw = lambda low, high, count: torch.randint(low, high, (count,), generator=generator).tolist()
    rows = [{"input_ids": draw(3, VOCAB, draw(5, 12, 1)[0]), "label": draw(0, LABELS, 1)[0]} for _ in range(ROWS)]
    (OUT / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    golden = {"seed": SEED, "redrawn": {str(layers): redrawn(model, layers) for layers in (0, 2)}, "cases": {}}
    for name, options in CASES.items():
        golden["cases"][name], tensors = train(new_model(), rows, **options)
        save_file({k: v.contiguous() for k, v in tensors.items()}, OUT / f"{name}.safetensors")
        (OUT / f"{name}.safetensors").chmod(0o644)
    (OUT / "golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
