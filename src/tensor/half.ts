/** @file Conversion between f32 and the two half formats (IEEE binary16, bfloat16), rounding to nearest even. */

const f32Bits = new Float32Array(1)
const u32Bits = new Uint32Array(f32Bits.buffer)

/** bfloat16 bits of an f32. NaN stays NaN. */
export function toBf16(value: number): number {
  f32Bits[0] = value
  const bits = u32Bits[0] ?? 0
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

export function fromBf16(bits: number): number {
  u32Bits[0] = bits << 16
  return f32Bits[0] ?? 0
}

/** binary16 bits of an f32: overflow to infinity, subnormals kept. */
export function toF16(value: number): number {
  f32Bits[0] = value
  const bits = u32Bits[0] ?? 0
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00 // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00 // rounds to 2^16 or more
  if (magnitude < 0x38800000) {
    // Subnormal: the mantissa counts units of 2^-24; Math.round is half-up, so ties are made even by hand.
    const scaled = Math.abs(f32Bits[0] ?? 0) * 16777216
    const floor = Math.floor(scaled)
    const rest = scaled - floor
    return sign | (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor)
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
}

export function fromF16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 0x1f
  const mantissa = bits & 0x3ff
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}

let f16Table: Float32Array | undefined

/** f32 values of half-precision bits. */
export function halvesToF32(dtype: 'f16' | 'bf16', bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length)
  if (dtype === 'bf16') {
    const words = new Uint32Array(out.buffer)
    for (let i = 0; i < bits.length; i++) words[i] = (bits[i] ?? 0) << 16
    return out
  }
  f16Table ??= Float32Array.from({ length: 65536 }, (_, i) => fromF16(i))
  for (let i = 0; i < bits.length; i++) out[i] = f16Table[bits[i] ?? 0] ?? 0
  return out
}

export function f32ToHalves(dtype: 'f16' | 'bf16', values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length)
  const convert = dtype === 'bf16' ? toBf16 : toF16
  for (let i = 0; i < out.length; i++) out[i] = convert(values[i] ?? 0)
  return out
}
