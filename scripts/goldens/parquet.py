"""Makes test/goldens/data: small Parquet files in the layouts that writers use, and the rows that pyarrow reads in them.

  python scripts/goldens/parquet.py        (needs pyarrow)
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

OUT = Path(__file__).parents[2] / "test/goldens/data"
OUT.mkdir(parents=True, exist_ok=True)

call = pa.struct([("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])), ("type", pa.string())])
message = pa.struct([("role", pa.string()), ("content", pa.string()), ("tool_calls", pa.list_(call)), ("name", pa.string())])
CHATS = pa.table({
    "messages": pa.array([
        [{"role": "user", "content": "Où?"}, {"role": "assistant", "content": "Là 🙂"}],
        [
            {"role": "user", "content": "Time?"},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "now", "arguments": '{"zone": "UTC"}'}, "type": "function"}]},
            {"role": "tool", "content": "9:00", "name": "now"},
            {"role": "assistant", "content": "Nine."},
        ],
        [{"role": "user", "content": ""}, {"role": "assistant", "content": "ok", "tool_calls": []}],
    ], pa.list_(message)),
    "tools": [None, '[{"name": "now", "description": "The time", "parameters": {}}]', None],
    "unused": pa.array([2**60, 1, 2], pa.int64()),
})  # fmt: skip
PROMPTS = pa.table({"prompt": [f"p{i % 7}" for i in range(300)], "completion": [f"c{i} ünï" for i in range(300)]})
LABELS = pa.table({
    "text": ["good", "bad", "ünder", None],
    "label": pa.array([1, 0, 1, 2], pa.int64()),
    "score": pa.array([0.5, -1.25, 3.0, None], pa.float64()),
})
IDS = pa.table({
    "input_ids": pa.array([[1, 2, 3], [4, 5], [6, 7, 8, 9]] * 4, pa.list_(pa.int32())),
    "labels": pa.array([[-100, 2, 3], [4, 5], [-100, -100, 8, 9]] * 4, pa.list_(pa.int64())),
})
FILES = {
    "messages": (CHATS, {}),
    "prompts-gzip": (PROMPTS, {"compression": "gzip", "row_group_size": 128}),
    "prompts-brotli": (PROMPTS, {"compression": "brotli", "data_page_version": "2.0"}),
    "prompts-zstd": (PROMPTS, {"compression": "zstd"}),
    "prompts-lz4": (PROMPTS, {"compression": "lz4"}),
    "prompts-plain": (PROMPTS, {"compression": "none", "use_dictionary": False}),
    "prompts-delta": (PROMPTS, {"use_dictionary": False, "column_encoding": {"prompt": "DELTA_BYTE_ARRAY", "completion": "DELTA_LENGTH_BYTE_ARRAY"}, "data_page_version": "2.0"}),
    "labels": (LABELS, {}),
    "ids": (IDS, {"data_page_version": "2.0", "row_group_size": 5}),
    "ids-delta": (IDS, {"use_dictionary": False, "column_encoding": {"input_ids.list.element": "DELTA_BINARY_PACKED", "labels.list.element": "DELTA_BINARY_PACKED"}}),
    "none": (PROMPTS.slice(0, 0), {}),
    "none-plain": (PROMPTS.slice(0, 0), {"use_dictionary": False}),
}  # fmt: skip
for name, (table, options) in FILES.items():
    pq.write_table(table, OUT / f"{name}.parquet", **options)
rows = {"messages": CHATS, "prompts": PROMPTS, "labels": LABELS, "ids": IDS}
rows = {name: table.drop_columns([c for c in ("unused",) if c in table.column_names]).to_pylist() for name, table in rows.items()}
rows["prompts"] = [rows["prompts"][i] for i in (0, 1, 127, 128, 299)]
(OUT / "rows.json").write_text(json.dumps({"pyarrow": pa.__version__, **rows}, ensure_ascii=False, separators=(",", ":")) + "\n")
