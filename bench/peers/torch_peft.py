"""One LoRA training step of PyTorch + PEFT, timed: the peer that `lowrank bench` measures itself against.

Builds the model of a config.json (random weights, or those of a folder with safetensors), as a language model or, with
--labels, as a classifier of texts; puts LoRA on every linear layer and takes AdamW steps: on random tokens, or on the rows
of a file in their order, padded to the longest of each batch as transformers' collators do. Prints one JSON line. It must
not know lowrank.
"""

import argparse
import json
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
import peft
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification


def peak_memory_bytes():
    """Highest resident size of this process so far; 0 where /proc does not tell."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def build(args):
    labels = {"num_labels": args.labels} if args.labels else {}
    config = AutoConfig.from_pretrained(args.model, **labels)
    kind = AutoModelForSequenceClassification if args.labels else AutoModelForCausalLM
    folder = args.model if os.path.isdir(args.model) else os.path.dirname(args.model)
    has_weights = any(name.endswith(".safetensors") for name in os.listdir(folder or "."))
    how = {"dtype": torch.float32, "attn_implementation": args.attention}
    model = kind.from_pretrained(folder, config=config, **how) if has_weights else kind.from_config(config, **how)
    if args.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    lora = peft.LoraConfig(
        r=args.rank,
        lora_alpha=2 * args.rank,
        lora_dropout=args.dropout,
        target_modules="all-linear",
        task_type="SEQ_CLS" if args.labels else "CAUSAL_LM",
    )
    model = peft.get_peft_model(model, lora)
    model.config.use_cache = False
    model.train()
    return model, config


def padded(rows, is_classifier):
    """One batch as transformers' collators make it: right padding; a language model's labels are -100 there."""
    longest = max(len(row["ids"]) for row in rows)

    def filled(key, value):
        return torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in rows])

    mask = torch.tensor([[1] * len(row["ids"]) + [0] * (longest - len(row["ids"])) for row in rows])
    labels = torch.tensor([row["labels"][0] for row in rows]) if is_classifier else filled("labels", -100)
    types = {}
    if any("types" in row for row in rows):
        for row in rows:
            row.setdefault("types", [0] * len(row["ids"]))
        types["token_type_ids"] = filled("types", 0)
    return {"input_ids": filled("ids", 0), "attention_mask": mask, "labels": labels, **types}


def batches_of(args, vocab_size):
    """Warm-up batches and timed ones, and the tokens of each that are no padding."""
    if args.rows is None:
        ids = torch.randint(0, vocab_size, (args.batch, args.seq))
        labels = torch.randint(0, args.labels, (args.batch,)) if args.labels else ids
        return [({"input_ids": ids, "labels": labels}, ids.numel())] * (args.warmup + args.steps)
    with open(args.rows) as file:
        rows = json.load(file)
    cut = [rows[i : i + args.batch] for i in range(0, len(rows), args.batch)]
    batches = [(padded(some, args.labels > 0), sum(len(row["ids"]) for row in some)) for some in cut]
    return batches[:1] * args.warmup + batches


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="config.json, or a folder that holds it (and maybe weights)")
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--labels", type=int, default=0, help="classes of a classifier; 0 for a language model")
    parser.add_argument("--rows", help="JSON file of rows {ids, labels, types}; random tokens without it")
    parser.add_argument("--steps", type=int, default=5, help="timed steps, after --warmup")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--checkpointing", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)

    model, config = build(args)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0)
    seconds, tokens, rows, computed, losses = [], 0, 0, 0, []
    for step, (batch, real) in enumerate(batches_of(args, config.vocab_size)):
        begin = time.perf_counter()
        loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.item())
        if step >= args.warmup:
            seconds.append(time.perf_counter() - begin)
            tokens += real
            rows += len(batch["input_ids"])
            computed += batch["input_ids"].numel()
    # Steps on rows differ in length: all of them count together. Steps on random tokens are alike: the median counts.
    whole = sum(seconds) if args.rows else sorted(seconds)[len(seconds) // 2] * len(seconds)
    print(
        json.dumps(
            {
                "tokens_per_second": tokens / whole,
                "rows_per_second": rows / whole,
                "seconds_a_step": whole / len(seconds),
                "padding": 1 - tokens / computed,
                "peak_memory_bytes": peak_memory_bytes(),
                "seconds_per_step": seconds,
                "losses": losses,
                "torch": torch.__version__,
                "peft": peft.__version__,
                "transformers": transformers.__version__,
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
