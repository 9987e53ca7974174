"""Tiny files that torch.save really writes, hostile ones, and the values in the good ones.

usage: python torch_files.py test/goldens/torch   (torch 2.15)
Writes NAME.bin for each case, expected.safetensors (CASE/TENSOR, made contiguous) and hostile/NAME.bin.
"""
import builtins, collections, io, os, pickle, struct, sys, zipfile
import torch
from safetensors.torch import load_file, save_file

out = sys.argv[1]; os.makedirs(f'{out}/hostile', exist_ok=True)
torch.manual_seed(0)
base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
state = collections.OrderedDict([('a.weight', torch.randn(3, 2)), ('b', torch.randn(2).to(torch.bfloat16)), ('c', torch.randn(2, 2).half())])
state._metadata = collections.OrderedDict([('', {'version': 1})])
shared = torch.randn(8)
cases = {
    'state': state,
    'types': {'f32': torch.tensor([1.5, -2.0]), 'i64': torch.tensor([2**40, -1]), 'i32': torch.tensor([7], dtype=torch.int32), 'u8': torch.tensor([0, 255], dtype=torch.uint8), 'bool': torch.tensor([True, False]), 'scalar': torch.tensor(3.0), 'empty': torch.zeros(0, 3)},
    'views': {'transposed': base.t(), 'columns': base[:, 1:5:2], 'rows': base[1:3], 'offset': base[2, 3], 'head': shared[:4], 'tail': shared[4:], 'tied': shared[:4], 'one': base[:1].expand(1, 6), 'parameter': torch.nn.Parameter(torch.randn(2, 2))},
    'module': torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2)).state_dict(),
    'wrapped': {'epoch': 3, 'loss': 0.5, 'state_dict': {'w': torch.randn(2, 2)}, 'names': ['x', None, True], 'sizes': (torch.Size([1, 2]), torch.float16, torch.device('cpu'))},
}
expected = {}
for name, value in cases.items():
    torch.save(value, f'{out}/{name}.bin')
    torch.save(value, f'{out}/{name}-legacy.bin', _use_new_zipfile_serialization=False)
    tensors = value.get('state_dict', value)
    for k, v in tensors.items(): expected[f'{name}/{k}'] = v.detach().clone().contiguous()
torch.save(cases['types'], f'{out}/protocol-5.bin', pickle_protocol=5)
torch.save({'ushort': torch.tensor([1, 65535]).to(torch.uint16), 'double': torch.tensor([0.5], dtype=torch.float64)}, f'{out}/unread-types.bin')
save_file(expected, f'{out}/expected.safetensors')

# A model and an adapter on it as transformers and PEFT saved them before safetensors.
llama = f'{out}/../models/llama'
torch.save(load_file(f'{llama}/adapter/adapter_model.safetensors'), f'{out}/llama-adapter.bin')
torch.save(load_file(f'{llama}/model/model.safetensors'), f'{out}/llama-model-legacy.bin', _use_new_zipfile_serialization=False)

class Calls:
    def __init__(self, function, *args): self.function, self.args = function, args
    def __reduce__(self): return self.function, self.args
class Stateful:
    def __reduce__(self): return collections.OrderedDict, (), {'x': Calls(os.system, 'true')}
bad = {
    'system': {'w': torch.zeros(2), 'x': Calls(os.system, 'touch /tmp/lowrank-was-here')},
    'eval': {'x': Calls(builtins.eval, '1 + 1')},
    'state': {'x': Stateful()},
    'getattr': {'x': Calls(getattr, 'text', 'upper')},
    'module': torch.nn.Linear(2, 2),
    'expanded': {'w': torch.zeros(1).expand(1 << 20, 1 << 20)},
    'tensor': torch.zeros(2),
    'quantized': {'w': torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8)},
    'sparse': {'w': torch.eye(2).to_sparse()},
}
for name, value in bad.items(): torch.save(value, f'{out}/hostile/{name}.bin')
torch.save(bad['system'], f'{out}/hostile/system-legacy.bin', _use_new_zipfile_serialization=False)
# As pickled with the INST and OBJ opcodes of old protocols.
def archive(name, data, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(f'{out}/hostile/{name}.bin', 'w', compression) as z:
        z.writestr('archive/data.pkl', data); z.writestr('archive/version', '3\n')
archive('inst', b'\x80\x02(X\x04\x00\x00\x00trueios\nsystem\n.')
archive('compressed', b'\x80\x02}.' + b'\0' * 100_000, zipfile.ZIP_DEFLATED)
archive('long-text', b'\x80\x02X\xff\xff\xff\x7fabc.')
archive('long-number', b'\x80\x02\x8b\xff\xff\xff\x7f.')
archive('deep', b'\x80\x02' + b'(' * 5_000 + b'.')
archive('nested', b'\x80\x02' + b']' * 3_000 + b'a' * 2_999 + b'.')
archive('memo', b'\x80\x02}r\xff\xff\xff\xff.')
archive('recall', b'\x80\x02h\x05.')
for f in sorted(os.listdir(out)) + sorted(os.listdir(f'{out}/hostile')): print(f)
