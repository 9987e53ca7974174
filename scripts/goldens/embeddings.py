"""Vectors of texts by transformers: the mean of the last hidden states over a text's tokens, and its first token's.

usage: python scripts/goldens/embeddings.py   (torch 2.15, transformers 5.24, peft 0.21.2)
Writes test/goldens/infer/embeddings.json: for the tiny models of scripts/goldens/models.py and encoders.py, of the rows in
their golden.json (a batch, padded), as they are and with their PEFT adapter.
"""

import json
import pathlib

import peft
import torch
import transformers as tf

GOLDENS = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens"
NAMES = ["bert-pair", "roberta-masked", "distilbert", "electra", "deberta-v2", "modernbert", "llama", "gpt2"]


def vectors(model, inputs):
    with torch.no_grad():
        states = model.base_model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][:, :, None].float()
    return {"mean": ((states * mask).sum(1) / mask.sum(1)).tolist(), "cls": states[:, 0].tolist()}


def main():
    found = {}
    for name in NAMES:
        folder = GOLDENS / "models" / name
        golden = json.loads((folder / "golden.json").read_text())
        ids = golden["input_ids"]
        mask = golden.get("attention_mask") or [[1] * len(row) for row in ids]
        inputs = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
        if "token_type_ids" in golden:
            inputs["token_type_ids"] = torch.tensor(golden["token_type_ids"])
        config = tf.AutoConfig.from_pretrained(folder / "model")
        model = getattr(tf, config.architectures[0]).from_pretrained(folder / "model", attn_implementation="eager").eval()
        base = vectors(model, inputs)
        peft.PeftModel.from_pretrained(model, str(folder / "adapter")).eval()  # puts its layers into the model
        adapted = vectors(model, inputs)
        rows = [[token for token, real in zip(*pair) if real] for pair in zip(ids, mask)]
        types = golden.get("token_type_ids")
        found[name] = {"rows": rows, **({"types": [row[: len(r)] for row, r in zip(types, rows)]} if types else {}), "base": base, "adapter": adapted}
    (GOLDENS / "infer" / "embeddings.json").write_text(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
