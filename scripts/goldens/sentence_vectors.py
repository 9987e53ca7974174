"""Vectors of texts by torch: prints a JSON list of `mean` pooled vectors, as sentence-transformers/all-MiniLM-L6-v2 has them.

usage: python scripts/goldens/sentence_vectors.py MODEL TEXTS.json   (torch 2.15, transformers 5.24)
"""

import json
import sys

import torch
import transformers as tf

model, texts = tf.AutoModel.from_pretrained(sys.argv[1], dtype=torch.float32).eval(), json.load(open(sys.argv[2]))
inputs = tf.AutoTokenizer.from_pretrained(sys.argv[1])(texts, padding=True, return_tensors="pt")
with torch.no_grad():
    states = model(**inputs).last_hidden_state
mask = inputs["attention_mask"][:, :, None].float()
print(json.dumps(((states * mask).sum(1) / mask.sum(1)).tolist()))
