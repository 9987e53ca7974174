"""Goldens of runs from a start that was taken out of the base: what real PEFT trains, and what it saves in its own form.

usage: python scripts/goldens/inits_trained.py     (torch 2.15, transformers 5.24, peft 0.21.2)
Reads the models of test/goldens/models; writes test/goldens/inits/trained/NAME/: adapter/ as PEFT saves it, to be read on the
untouched base, and golden.json: the base, the loss of each step and of all rows after the last. All rows are one step.
"""

import json
import os
import pathlib
import shutil
import sys

os.environ.update(CUDA_VISIBLE_DEVICES="", HF_HUB_OFFLINE="1")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import models as goldens  # noqa: E402
import peft  # noqa: E402
import torch  # noqa: E402
from inits import CASES, GOLDENS, open_model  # noqa: E402

OUT = GOLDENS / "inits" / "trained"
NAMES = ["pissa", "pissa-gpt2", "olora-rslora"]
STEPS, RATE = 8, 3e-3


def train(model, rows):
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0)
    losses = []
    for _ in range(STEPS):
        loss = goldens.loss_of(model, rows)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        losses.append(float(loss))
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        return losses, float(goldens.loss_of(model, rows))


def main():
    for name in NAMES:
        shutil.rmtree(OUT / name, ignore_errors=True)
        base, settings = CASES[name]
        rows = [json.loads(line) for line in (GOLDENS / "models" / base / "train.jsonl").read_text().splitlines()]
        model = open_model(base)
        with torch.no_grad():
            untouched = float(goldens.loss_of(model, rows))
        model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
        losses, after = train(model, rows)
        model.save_pretrained(OUT / name / "adapter")
        (OUT / name / "adapter" / "README.md").unlink()
        config = OUT / name / "adapter" / "adapter_config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": base}, indent=1) + "\n")
        (OUT / name / "adapter" / "adapter_model.safetensors").chmod(0o644)
        golden = {"base": base, "rate": RATE, "untouched": untouched, "losses": losses, "after": after}
        (OUT / name / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
