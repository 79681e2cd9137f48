// The msgpack subset of docs/reference/protocol/messages.md: one byte string for one value.
// A shape says what is expected: 'int', 'bytes', 'str', 'bool', {nil: shape}, {list: shape}, or a record, which
// is an array of [name, shape]. Integers are BigInt on both sides; the encoder takes plain numbers too.

const INT64_MAX = 2n ** 63n - 1n, INT64_MIN = -(2n ** 63n);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class Refused extends Error {
  constructor(code, detail) { super(`${code}: ${detail}`); this.code = code; }
}

export const hex = (bytes) => Buffer.from(bytes).toString('hex');
export const unhex = (text) => new Uint8Array(Buffer.from(text, 'hex'));
export const join = (...parts) => new Uint8Array(Buffer.concat(parts));
export const same = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;
export const ascii = (text) => new Uint8Array(Buffer.from(text, 'latin1'));

export function bigEndian(value, bytes) {
  return unhex(BigInt.asUintN(8 * bytes, BigInt(value)).toString(16).padStart(2 * bytes, '0'));
}

export function encode(shape, value) {
  if (shape === 'int') return encodeInt(BigInt(value));
  if (shape === 'bool') return Uint8Array.of(value ? 0xc3 : 0xc2);
  if (shape === 'bytes') return join(head(value.length, [0xc4, 0xc5, 0xc6]), value);
  if (shape === 'str') {
    const text = Buffer.from(value, 'utf8');
    return join(text.length < 32 ? Uint8Array.of(0xa0 | text.length) : head(text.length, [0xd9, 0xda, 0xdb]), text);
  }
  if (shape.nil) return value === null ? Uint8Array.of(0xc0) : encode(shape.nil, value);
  const parts = shape.list
    ? value.map((item) => encode(shape.list, item))
    : shape.map(([name, inner]) => encode(inner, value[name]));
  const n = parts.length;
  return join(n < 16 ? Uint8Array.of(0x90 | n) : head(n, [null, 0xdc, 0xdd]), ...parts);
}

function encodeInt(value) {
  if (value > INT64_MAX || value < INT64_MIN) throw new Refused('out_of_range', `${value} does not fit into 64 bits`);
  if (value >= -32n && value < 128n) return bigEndian(value, 1);
  const [first, fits] = value < 0n ? [0xd0, (bits) => value >= -(2n ** (bits - 1n))] : [0xcc, (bits) => value < 2n ** bits];
  const power = [8n, 16n, 32n, 64n].findIndex(fits);
  return join(Uint8Array.of(first + power), bigEndian(value, 1 << power));
}

function head(length, tags) {
  const power = tags[0] !== null && length < 256 ? 0 : length < 65536 ? 1 : 2;
  return join(Uint8Array.of(tags[power]), bigEndian(length, 1 << power));
}

export function decode(shape, data, maxBytes = 64 * 1024) {
  if (data.length > maxBytes) throw new Refused('too_large', `${data.length} bytes; the limit is ${maxBytes}`);
  const reader = new Reader(data);
  const value = reader.read(shape);
  if (reader.at !== data.length) throw new Refused('malformed', 'bytes behind the value');
  // Numbers and lengths that are not in their shortest form read well, but are not what `encode` writes.
  if (!same(encode(shape, value), data)) throw new Refused('non_canonical', 'not the only encoding of this value');
  return value;
}

class Reader {
  constructor(data) { this.data = data; this.at = 0; }

  read(shape) {
    if (shape?.nil && this.data[this.at] === 0xc0) { this.at += 1; return null; }
    if (shape?.nil) return this.read(shape.nil);
    const tag = this.number(1, false);
    if (shape === 'int') return this.int(Number(tag));
    if (shape === 'bool' && (tag === 0xc2n || tag === 0xc3n)) return tag === 0xc3n;
    if (shape === 'bytes') return this.take(this.length(tag, { 0xc4: 1, 0xc5: 2, 0xc6: 4 }));
    if (shape === 'str') return this.text(this.length(tag, { 0xd9: 1, 0xda: 2, 0xdb: 4 }, 0xa0, 0x1f));
    if (shape === 'bool') throw new Refused('malformed', 'not a boolean');
    const count = this.length(tag, { 0xdc: 2, 0xdd: 4 }, 0x90, 0x0f);
    if (shape.list) {
      if (count > this.data.length - this.at) throw new Refused('malformed', 'an array that ends early');
      return Array.from({ length: count }, () => this.read(shape.list));
    }
    if (count !== shape.length) throw new Refused('malformed', `${count} fields instead of ${shape.length}`);
    return Object.fromEntries(shape.map(([name, inner]) => [name, this.read(inner)]));
  }

  int(tag) {
    if (tag < 0x80) return BigInt(tag);
    if (tag >= 0xe0) return BigInt(tag - 256);
    if (tag >= 0xcc && tag <= 0xcf) return this.number(1 << (tag - 0xcc), false);
    if (tag >= 0xd0 && tag <= 0xd3) return this.number(1 << (tag - 0xd0), true);
    throw new Refused('malformed', `tag ${tag} where a number should be`);
  }

  length(tag, sizes, fixed = 0x100, mask = 0) {
    if ((Number(tag) & ~mask) === fixed) return Number(tag) & mask;
    if (!(tag in sizes)) throw new Refused('malformed', `tag ${tag} of another type`);
    return Number(this.number(sizes[tag], false));
  }

  number(bytes, signed) {
    const value = BigInt(`0x${hex(this.take(bytes))}`);
    return signed ? BigInt.asIntN(8 * bytes, value) : value;
  }

  text(length) {
    try { return utf8.decode(this.take(length)); } catch (error) {
      throw error instanceof Refused ? error : new Refused('malformed', 'not UTF-8');
    }
  }

  take(length) {
    if (this.at + length > this.data.length) throw new Refused('malformed', 'the value ends early');
    this.at += length;
    return this.data.subarray(this.at - length, this.at);
  }
}
