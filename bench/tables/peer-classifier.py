"""Fine-tunes a BERT classifier with PyTorch, PEFT where the method is LoRA: the peer of `bench/tables/classifier.mjs`.

Rows are JSONL of {text, label}. Every number that decides (rate, schedule, clipping, dropout, what is trained, where the
adapters sit and how they begin) is as lowrank's defaults have it, so that the two sides differ in their streams of
random numbers alone. Prints one JSON line. It must not know lowrank.
"""

import argparse
import json
import math
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

METHODS = ("lora", "houlsby", "full", "bitfit", "head")


class Bottleneck(torch.nn.Module):
    """Houlsby's adapter: h + up(gelu(down(h))), near the identity at first (arXiv 1902.00751)."""

    def __init__(self, width, size, std):
        super().__init__()
        self.down, self.up = torch.nn.Linear(width, size), torch.nn.Linear(size, width)
        for layer in (self.down, self.up):
            torch.nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            torch.nn.init.zeros_(layer.bias)

    def forward(self, hidden):
        return hidden + self.up(torch.nn.functional.gelu(self.down(hidden)))


def with_adapters(model, args):
    """Two a layer, each between the dropout of a sublayer and its residual sum."""
    for layer in model.bert.encoder.layer:
        for output in (layer.attention.output, layer.output):
            adapter = Bottleneck(model.config.hidden_size, args.bottleneck, args.adapter_std)
            output.dropout = torch.nn.Sequential(output.dropout, adapter)


def is_trained(name, method):
    """Whether a parameter moves: what a method names, and all that stands above the last layer."""
    if method == "full" or name.startswith(("classifier.", "bert.pooler.")):
        return True
    if method == "bitfit":
        return name.endswith(".bias")
    return method == "houlsby" and (".dropout.1." in name or "LayerNorm" in name)


def build(args, labels):
    torch.manual_seed(args.seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model, num_labels=len(labels), dtype=torch.float32, attn_implementation="sdpa"
    )
    if args.method == "lora":
        import peft

        return peft.get_peft_model(
            model,
            peft.LoraConfig(r=args.rank, lora_alpha=args.alpha, target_modules="all-linear", task_type="SEQ_CLS"),
        )
    if args.method == "houlsby":
        with_adapters(model, args)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_trained(name, args.method))
    return model


def read_rows(file, tokenizer, max_length, index):
    with open(file, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    ids = tokenizer([row["text"] for row in rows], truncation=True, max_length=max_length)["input_ids"]
    return [(own, index[row["label"]]) for own, row in zip(ids, rows)]


def padded(rows):
    longest = max(len(ids) for ids, _ in rows)
    return {
        "input_ids": torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in rows]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows]),
        "labels": torch.tensor([label for _, label in rows]),
    }


def labels_of(file):
    with open(file, encoding="utf-8") as lines:
        return sorted({json.loads(line)["label"] for line in lines})


def train(model, rows, args):
    """Epochs of shuffled batches, each padded to its longest row. Returns the last epoch's mean loss and seconds."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.learning_rate, weight_decay=0.0)
    total = args.epochs * math.ceil(len(rows) / args.batch_size)
    warmup = math.ceil(args.warmup * total) if args.warmup < 1 else int(args.warmup)
    schedule = {
        "constant": lambda: get_constant_schedule_with_warmup(optimizer, warmup),
        "linear": lambda: get_linear_schedule_with_warmup(optimizer, warmup, total),
        "cosine": lambda: get_cosine_schedule_with_warmup(optimizer, warmup, total),
    }[args.schedule]()
    model.train()
    begun, loss_of_epoch = time.perf_counter(), 0.0
    for _ in range(args.epochs):
        order, loss_of_epoch = torch.randperm(len(rows)).tolist(), 0.0
        for start in range(0, len(rows), args.batch_size):
            some = [rows[i] for i in order[start : start + args.batch_size]]
            loss = model(**padded(some)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            loss_of_epoch += loss.item() * len(some) / len(rows)
    return loss_of_epoch, time.perf_counter() - begun


@torch.no_grad()
def evaluate(model, rows):
    model.eval()
    right, loss = 0, 0.0
    by_length = sorted(rows, key=lambda row: len(row[0]))
    for start in range(0, len(rows), 32):
        batch = padded(by_length[start : start + 32])
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss += torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="sum").item()
        right += (logits.argmax(-1) == batch["labels"]).sum().item()
    return right / len(rows), loss / len(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="a folder with a BERT encoder")
    parser.add_argument("--train", required=True, help="JSONL of {text, label}")
    parser.add_argument("--eval", required=True, help="JSONL of {text, label}")
    parser.add_argument("--method", choices=METHODS, default="lora")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--schedule", choices=("constant", "linear", "cosine"), default="linear")
    parser.add_argument("--warmup", type=float, default=0.1, help="steps, or a share of all steps when below 1")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--alpha", type=float, default=16)
    parser.add_argument("--bottleneck", type=int, default=64)
    parser.add_argument("--adapter-std", type=float, default=1e-2)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)

    labels = labels_of(args.train)
    index = {label: i for i, label in enumerate(labels)}
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = build(args, labels)
    rows = read_rows(args.train, tokenizer, args.max_length, index)
    train_loss, seconds = train(model, rows, args)
    accuracy, loss = evaluate(model, read_rows(args.eval, tokenizer, args.max_length, index))
    result = {
        "method": args.method,
        "seed": args.seed,
        "accuracy": accuracy,
        "loss": loss,
        "train_loss": train_loss,
        "trainable": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
