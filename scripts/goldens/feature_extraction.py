"""Goldens of adapters that PEFT makes on a model without its head: `AutoModel`, task FEATURE_EXTRACTION, names without prefix.

usage: python scripts/goldens/feature_extraction.py     (torch 2.15, transformers 5.24, peft 0.21.2)
Writes test/goldens/infer/feature-extraction/NAME/ for models of test/goldens/models: PEFT's adapter folder, and
vectors.json with the mean of each row's last hidden states.
"""

import json
import pathlib

import peft
import torch
import transformers as tf

GOLDENS = pathlib.Path(__file__).resolve().parents[2] / "test" / "goldens"
ROWS = [[2, 7, 9, 11, 3], [2, 5, 3]]
TARGETS = {
    "bert-pair": "all-linear",  # the pooler too, which the last hidden state comes before
    "roberta-masked": r"encoder\.layer\.\d+\.attention\.self\.(query|value)",
    "distilbert": ["q_lin", "lin2"],
    "electra": ["query", "embeddings_project"],
    "deberta-v2": ["query_proj", "dense"],
    "modernbert": ["Wqkv", "Wo"],
    "llama": ["q_proj", "down_proj"],
}

for name, targets in TARGETS.items():
    torch.manual_seed(3)
    model = tf.AutoModel.from_pretrained(GOLDENS / "models" / name / "model", attn_implementation="eager")
    config = peft.LoraConfig(r=2, target_modules=targets, task_type="FEATURE_EXTRACTION", init_lora_weights=False)
    adapted = peft.get_peft_model(model, config).eval()
    folder = GOLDENS / "infer" / "feature-extraction" / name
    adapted.peft_config["default"].base_model_name_or_path = ""
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink()
    with torch.no_grad():
        vectors = [adapted(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0).tolist() for ids in ROWS]
    (folder / "vectors.json").write_text(json.dumps({"input_ids": ROWS, "vectors": vectors}) + "\n")
    print(name, len(vectors[0]))
