"""Opens merged model folders in transformers and prints what it found, one JSON object a folder.

usage: python merged_open.py ROWS FOLDER [ROWS FOLDER ...]   ROWS: a JSONL file of input_ids and labels
Prints warnings, missing and unexpected keys, and the token-weighted loss on the rows.
"""
import json, os, sys, warnings
os.environ['CUDA_VISIBLE_DEVICES'] = ''; os.environ['HF_HUB_OFFLINE'] = '1'
import torch, transformers as T
T.logging.set_verbosity_error()
from heads import loss_of, model_class

for rows, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        model, info = model_class(folder).from_pretrained(folder, attn_implementation='eager', output_loading_info=True)
    vocabulary = len(T.AutoTokenizer.from_pretrained(folder)) if os.path.exists(f'{folder}/tokenizer.json') else None
    output = model.get_output_embeddings()
    tied = output is not None and output.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    print(json.dumps({'warnings': [str(w.message) for w in caught if 'deprecat' not in str(w.message).lower()], 'missing': sorted(info['missing_keys']), 'unexpected': sorted(info['unexpected_keys']), 'tied': tied, 'vocabulary': vocabulary, 'loss': loss_of(model.eval(), rows)}), flush=True)
