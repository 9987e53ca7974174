"""Makes test/goldens/text: what Hugging Face's own tokenizers and chat templates give for the shared data.

  python scripts/goldens/text.py SHARED_FOLDER [tokenizers] [templates] [masks]   (needs tokenizers and transformers)

tokenizers.json: ids and decodings of odd texts. templates.json: for each chat template a hash of the rendering and the
ranges of its generation blocks in UTF-16 units (dates are replaced, so that goldens do not age), as apply_chat_template gives it. masks.json: which tokens of a conversation the assistant writes.
"""

import datetime
import hashlib
import json
import random
import sys
from pathlib import Path

import tokenizers
import transformers
from transformers.utils.chat_template_utils import _normalize_chat_messages, render_jinja_template

SHARED = Path(sys.argv[1])
OUT = Path(__file__).parents[2] / "test/goldens/text"
FOLDERS = [
    "data/tokenizers/gpt2", "data/tokenizers/roberta", "data/tokenizers/bert-uncased", "data/tokenizers/minilm",
    "data/models/stories260K", "conformance/cases/llama/model",
]  # fmt: skip
TEXTS = [
    "Hello world", "", " ", "  leading and  double  spaces ", "tabs\tand\nnewlines\n\n\nend\r\n",
    "I'll don't we've SHOULD'VE", "naïve café résumé", "日本語のテキスト、漢字。", "Привет мир", "مرحبا بالعالم",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈 🇩🇪", "e\u0301 combining vs \u00e9", "<|endoftext|>", "a<|endoftext|>b", "<s>hi</s>",
    "[CLS] mask [MASK] x", "<mask> and <mask>", "x <|eos|> y <|bos|>", "3.14159 and 1,000,000 12345678",
    "\ufeffmark \u200bzero\u200dwidth\ufeff", "\u00a0nbsp\u3000ideographic", "def f(x):\n    return x+1\n\n\t# done",
    "ﬁ ligature ½ ²", "\u0000null\u0007", "𝕳𝖊𝖑𝖑𝖔", "ab" * 300, "\n", "   \n  ", "…—“quotes”", "ÀÉÎõü Straße İstanbul ſ",
    "constructor __proto__ toString", " x", "x ", "$&$1 $$ \\n", "ㅎㅏㄴㄱㅡㄹ 한글 조합", "ก็ ไทย", "he said , ok . don 't",
]  # fmt: skip
POOL = "abcXYZ 019 \n\t'.,!?-_()[]{}<>|/\\\"éüñß日本語한글русعر👍🏽🇫🇷\u0301\u200d\u00a0\u3000½ﬁ"

CHATS = {
    "plain": {"messages": [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "Où est le café?  "},
        {"role": "assistant", "content": " Là-bas 🙂\n"},
        {"role": "user", "content": "Merci"},
        {"role": "assistant", "content": "De rien"},
    ]},
    "open": {"messages": [{"role": "user", "content": "Hi <b>& 'you'"}], "add_generation_prompt": True},
    "no-system": {"messages": [
        {"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"},
    ]},
    "tools": {
        "tools": [{"type": "function", "function": {
            "name": "weather", "description": "Weather & more, \"now\"",
            "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "é"}}, "required": ["city"]},
        }}],
        "messages": [
            {"role": "user", "content": "Weather in Bern?"},
            {"role": "assistant", "content": "", "tool_calls": [
                {"type": "function", "function": {"name": "weather", "arguments": {"city": "Bern", "days": 2}}}]},
            {"role": "tool", "name": "weather", "content": "sunny"},
            {"role": "assistant", "content": "Sunny."},
        ],
    },
    "two-calls": {  # system beside tools, two calls and results, null content, odd values, open at the end
        "tools": [
            {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}},
            {"type": "function", "function": {"name": "plan", "description": "Plans <a> trip", "parameters": {
                "type": "object", "required": ["to", "opts"],
                "properties": {
                    "to": {"type": "string", "enum": ["Bern", "Genève"]},
                    "opts": {"type": "object", "properties": {"deep": {"type": ["array", "null"], "items": {"type": "number"}}}},
                    "fast": {"type": "boolean", "default": False, "description": "it's"}}}}},
        ],
        "messages": [
            {"role": "system", "content": "Use tools.\n"},
            {"role": "user", "content": "Plan \"it\" \U0001f682\nsoon"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call00001", "type": "function", "function": {"name": "now", "arguments": {}}},
                {"id": "call00002", "type": "function", "function": {"name": "plan", "arguments": {
                    "to": "Genève", "fast": True, "none": None, "n": 1.5, "big": 10000000, "opts": {"deep": [1, "two", {"three": False}]}}}}]},
            {"role": "tool", "tool_call_id": "call00001", "name": "now", "content": "{\"h\": 9}"},
            {"role": "tool", "tool_call_id": "call00002", "name": "plan", "content": "09:00 <b>Genève</b>"},
            {"role": "assistant", "content": "At nine.\n\n"},
            {"role": "user", "content": "Thanks"},
        ],
        "add_generation_prompt": True,
    },
    "one-call": {  # a call as the last turn, its arguments as text
        "messages": [
            {"role": "user", "content": "Time?"},
            {"role": "assistant", "content": "Let me see.", "tool_calls": [
                {"id": "abcdefghi", "type": "function", "function": {"name": "now", "arguments": "{\"zone\":\"UTC\"}"}}]},
        ],
    },
    "thinking": {"messages": [
        {"role": "user", "content": "2+2"},
        {"role": "assistant", "reasoning_content": "\nAdd them.\n", "content": "4"},
        {"role": "user", "content": "3+3"},
        {"role": "assistant", "content": "<think>\nAgain.\n</think>\n\n6"},
    ]},
    "parts": {"messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": " there "}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
    ]},
    "reasoning": {  # under the other names it goes by; calls without content, small numbers
        "tools": [{"type": "function", "function": {"name": "mix", "description": None, "parameters": {"type": "object", "properties": {
            "share": {"type": "number", "default": 1e-05}}}}}],
        "messages": [
            {"role": "user", "content": "Mix"},
            {"role": "assistant", "thinking": "Half.", "tool_calls": [
                {"type": "function", "function": {"name": "mix", "arguments": {"share": 2.5e-07, "deep": [0.5, None, []], "b": {}}}}]},
            {"role": "tool", "name": "mix", "content": "1e-7"},
            {"role": "assistant", "reasoning": "Done.", "content": "Mixed."},
        ],
    },
    "developer": {"messages": [{"role": "developer", "content": "Short."}, {"role": "user", "content": "Hi"}], "add_generation_prompt": True},
    "empty": {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}]},
}  # fmt: skip


def texts():
    random.seed(4)
    odd = lambda: chr(random.choice([random.randint(1, 0x2FF), random.randint(0x370, 0x5FF), random.randint(0x4E00, 0x9FFF)]))
    make = lambda: "".join(random.choice(POOL) if random.random() < 0.85 else odd() for _ in range(random.randint(1, 30)))
    return TEXTS + [make() for _ in range(30)]


def tokenizer_goldens():
    out = {"versions": {"tokenizers": tokenizers.__version__, "transformers": transformers.__version__}, "texts": texts(), "folders": {}}
    for folder in FOLDERS:
        raw = tokenizers.Tokenizer.from_file(str(SHARED / folder / "tokenizer.json"))
        raw.no_truncation()
        raw.no_padding()
        random.seed(5)
        size = raw.get_vocab_size()
        noise = [[random.randrange(size) for _ in range(12)] for _ in range(40)]
        auto = transformers.AutoTokenizer.from_pretrained(SHARED / folder)
        wordpiece = json.loads(raw.to_str())["model"]["type"] == "WordPiece"
        decode = auto.decode if wordpiece else raw.decode  # transformers cleans up spaces after WordPiece
        out["folders"][folder] = {
            "ids": [raw.encode(text).ids for text in out["texts"]],
            "bare": [raw.encode(text, add_special_tokens=False).ids for text in out["texts"][:20]],
            "decoded": [decode(raw.encode(text).ids, skip_special_tokens=True) for text in out["texts"]],
            "whole": [decode(raw.encode(text).ids, skip_special_tokens=False) for text in out["texts"][:20]],
            "noise": noise,
            "noiseDecoded": [decode(ids, skip_special_tokens=True) for ids in noise],
        }
    return out


def utf16(text, index):
    return len(text[:index].encode("utf-16-le")) // 2


def undated(text):
    now = datetime.datetime.now()
    for form in ("%d %b %Y", "%Y-%m-%d"):
        text = text.replace(now.strftime(form), "#" * len(now.strftime(form)))
    return text


def template_goldens():
    out = {"versions": {"transformers": transformers.__version__}, "chats": CHATS, "templates": {}}
    for path in sorted((SHARED / "data/chat-templates").glob("*.jinja")):
        cases = {}
        for name, chat in CHATS.items():
            try:
                rendered, spans = render_jinja_template(
                    [_normalize_chat_messages(chat["messages"])], tools=chat.get("tools"), chat_template=path.read_text(),
                    add_generation_prompt=chat.get("add_generation_prompt", False),
                    return_assistant_tokens_mask=True, bos_token="<s>", eos_token="</s>",
                )  # fmt: skip
            except Exception as error:
                cases[name] = {"error": f"{type(error).__name__}: {error}"[:200]}
                continue
            text = undated(rendered[0])
            cases[name] = {
                "sha256": hashlib.sha256(text.encode()).hexdigest()[:16],
                "length": utf16(text, len(text)),
                "spans": [[utf16(text, a), utf16(text, b)] for a, b in spans[0]],
            }
        out["templates"][path.name] = cases
    return out


def mask_goldens():
    out = {"versions": {"transformers": transformers.__version__}, "messages": CHATS["plain"]["messages"], "cases": []}
    for folder in ("data/tokenizers/gpt2", "data/models/stories260K"):
        # From the file alone: AutoTokenizer rebuilds Llama's normalizer, and lowrank takes tokenizer.json as it stands.
        auto = transformers.PreTrainedTokenizerFast(tokenizer_file=str(SHARED / folder / "tokenizer.json"))
        for template in ("llama3", "qwen2_5", "gemma", "qwen3", "phi3"):
            path = f"data/chat-templates/trl-{template}_training.jinja"
            messages = CHATS["plain"]["messages"][(1 if template == "gemma" else 0):]
            encoded = auto.apply_chat_template(
                messages, chat_template=(SHARED / path).read_text(), tokenize=True, return_dict=True,
                return_assistant_tokens_mask=True, bos_token="<s>", eos_token="</s>",
            )  # fmt: skip
            mask = "".join(map(str, encoded["assistant_masks"]))
            ids = hashlib.sha256(json.dumps(encoded["input_ids"]).encode()).hexdigest()[:16]
            out["cases"].append({"folder": folder, "template": path, "skip": len(CHATS["plain"]["messages"]) - len(messages), "ids": ids, "mask": mask})
    return out


OUT.mkdir(parents=True, exist_ok=True)
for name, make in {"tokenizers": tokenizer_goldens, "templates": template_goldens, "masks": mask_goldens}.items():
    if sys.argv[2:] and name not in sys.argv[2:]:
        continue
    (OUT / f"{name}.json").write_text(json.dumps(make(), ensure_ascii=True, separators=(",", ":")) + "\n")
