"""Every field of PEFT's LoraConfig with its default.

usage: python scripts/goldens/peft_fields.py test/goldens/peft/fields.json   (peft 0.21.2)
"""
import dataclasses
import json
import sys

import peft

names = [field.name for field in dataclasses.fields(peft.LoraConfig)]
saved = {k: sorted(v) if isinstance(v, set) else v for k, v in peft.LoraConfig().to_dict().items()}
json.dump({"peft": peft.__version__, "fields": names, "saved": saved}, open(sys.argv[1], "w"), default=str)
print(len(names), "fields,", len(saved), "saved;", sorted(set(names) - set(saved)), "are not")
