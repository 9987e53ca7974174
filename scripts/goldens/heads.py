"""The class of a model folder and its loss on rows, whatever its head: for scripts that open what lowrank wrote."""
import json

import torch
import transformers as T


def model_class(folder):
    return getattr(T, T.AutoConfig.from_pretrained(folder).architectures[0])


def loss_of(model, file):
    """Mean over labels: of the next token, of each token, or of the row."""
    is_causal = "ForCausalLM" in model.config.architectures[0] or "LMHeadModel" in model.config.architectures[0]
    total = count = 0.0
    with torch.no_grad():
        for line in open(file):
            row = json.loads(line)
            types = {"token_type_ids": torch.tensor([row["token_type_ids"]])} if "token_type_ids" in row else {}
            logits = model(input_ids=torch.tensor([row["input_ids"]]), **types).logits.float()
            if "label" in row:
                label = torch.tensor([row["label"]])
                loss, n = (torch.nn.functional.mse_loss(logits[:, 0], label) if label.is_floating_point() else torch.nn.functional.cross_entropy(logits, label)), 1
            else:
                labels = torch.tensor(row["labels"])
                logits, labels = (logits[0, :-1], labels[1:]) if is_causal else (logits[0], labels)
                n = int((labels != -100).sum())
                if n == 0:
                    continue
                loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100)
            total += float(loss) * n
            count += n
    return total / count
