"""Small matrices with torch's QR factors and singular values in f64.

usage: python linalg.py test/goldens/linalg/torch.json   (torch 2.15)
"""
import json, sys
import torch
torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
wide = torch.randn(4, 7)
cases = {
    'square': torch.randn(5, 5), 'tall': torch.randn(8, 3), 'wide': wide, 'column': torch.randn(4, 1), 'row': torch.randn(1, 4),
    'deficient': torch.randn(6, 2) @ torch.randn(2, 5), 'hilbert': torch.tensor([[1 / (i + j + 1) for j in range(6)] for i in range(6)]),
    'scaled': torch.randn(5, 4) * torch.tensor([1e-6, 1.0, 1e3, 1e-2]), 'negative': -torch.eye(3), 'zeros': torch.zeros(3, 2),
}
numbers = lambda t: [float(v) for v in t.flatten()]
out = {}
for name, m in cases.items():
    q, r = torch.linalg.qr(m)
    out[name] = {'shape': list(m.shape), 'm': numbers(m), 'q': numbers(q), 'r': numbers(r), 's': numbers(torch.linalg.svdvals(m))}
json.dump({'torch': torch.__version__, 'cases': out}, open(sys.argv[1], 'w'), separators=(',', ':'))
print(len(out), 'cases')
