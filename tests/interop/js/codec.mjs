// The canonical encoding: the part of MessagePack that wattswap uses, one value, one byte string.
//
// A type is INT, BIN, STR, BOOL, optional(type), list(type), row(types) or record(name, fields). A record is an
// array of its fields in their order; here it is an object. Integers are Number where that is exact, else BigInt.

export const INT = 'int', BIN = 'bin', STR = 'str', BOOL = 'bool';
export const optional = (type) => ({ optional: type });
export const list = (type) => ({ list: type });
export const row = (...types) => ({ row: types });
export const record = (name, fields) => ({ name, fields: Object.entries(fields) });

const INT64_MIN = -(2n ** 63n), INT64_MAX = 2n ** 63n - 1n;
const DEFAULT_MAX_BYTES = 64 * 1024;
const MAX_DEPTH = 32;

/** Something that a peer sent is wrong; `code` is the code of the protocol. */
export class Refused extends Error {
  constructor(code, detail) {
    super(`${code}: ${detail}`);
    this.code = code;
  }
}

/** Canonical bytes of a value of a type. */
export function encode(type, value) {
  const parts = [];
  write(parts, type, value);
  return Buffer.concat(parts);
}

/** The value of canonical bytes; anything else is refused with a code. */
export function decode(type, data, maxBytes = DEFAULT_MAX_BYTES) {
  if (data.length > maxBytes) throw new Refused('too_large', `${data.length} bytes; the limit is ${maxBytes}`);
  const source = { data: Buffer.from(data.buffer, data.byteOffset, data.length), at: 0, far: false };
  const value = read(source, type, 0);
  if (source.at !== data.length) throw new Refused('malformed', 'bytes behind the end');
  if (source.far) throw new Refused('out_of_range', 'an integer beyond 64 bits with sign');
  if (!encode(type, value).equals(source.data)) throw new Refused('non_canonical', 'not the only encoding');
  return value;
}

function write(parts, type, value) {
  if (type === INT) parts.push(integer(value));
  else if (type === BOOL) parts.push(Buffer.of(value ? 0xc3 : 0xc2));
  else if (type === BIN) parts.push(head(value.length, [0xc4, 0xc5, 0xc6]), value);
  else if (type === STR) {
    const text = Buffer.from(value, 'utf8');
    parts.push(text.length < 32 ? Buffer.of(0xa0 | text.length) : head(text.length, [0xd9, 0xda, 0xdb]), text);
  } else if (type.optional) {
    if (value === null) parts.push(Buffer.of(0xc0));
    else write(parts, type.optional, value);
  } else {
    const items = type.fields ? type.fields.map(([name, of]) => [of, value[name]])
      : type.row ? type.row.map((of, i) => [of, value[i]])
        : value.map((item) => [type.list, item]);
    parts.push(items.length < 16 ? Buffer.of(0x90 | items.length) : head(items.length, [null, 0xdc, 0xdd]));
    for (const [of, item] of items) write(parts, of, item);
  }
}

function head(length, [one, two, four]) {
  if (one !== null && length < 2 ** 8) return Buffer.of(one, length);
  const bytes = Buffer.alloc(length < 2 ** 16 ? 3 : 5);
  bytes[0] = length < 2 ** 16 ? two : four;
  bytes.writeUIntBE(length, 1, bytes.length - 1);
  return bytes;
}

function integer(value) {
  const n = BigInt(value);
  if (n < INT64_MIN || n > INT64_MAX) throw new RangeError(`${n} does not fit into 64 bits with sign`);
  if (n >= -32n && n < 128n) return Buffer.of(Number(n & 0xffn));
  const powers = n < 0n ? [7n, 15n, 31n, 63n] : [8n, 16n, 32n, 64n];
  const size = powers.findIndex((bits) => (n < 0n ? n >= -(2n ** bits) : n < 2n ** bits));
  const bytes = Buffer.alloc(1 + 2 ** size);
  bytes[0] = (n < 0n ? 0xd0 : 0xcc) + size;
  let left = BigInt.asUintN(8 * 2 ** size, n);
  for (let i = bytes.length - 1; i > 0; i--, left >>= 8n) bytes[i] = Number(left & 0xffn);
  return bytes;
}

function read(source, type, depth) {
  if (depth > MAX_DEPTH) throw new Refused('malformed', 'too deep');
  if (type.optional) {
    if (source.data[source.at] !== 0xc0) return read(source, type.optional, depth + 1);
    source.at += 1;
    return null;
  }
  const byte = take(source, 1)[0];
  if (type === INT) return readInteger(source, byte);
  if (type === BOOL && (byte === 0xc2 || byte === 0xc3)) return byte === 0xc3;
  if (type === BIN && byte >= 0xc4 && byte <= 0xc6) return take(source, size(source, byte - 0xc4));
  if (type === STR) {
    if (byte >= 0xa0 && byte < 0xc0) return text(take(source, byte & 0x1f));
    if (byte >= 0xd9 && byte <= 0xdb) return text(take(source, size(source, byte - 0xd9)));
  } else if (typeof type === 'object') {
    if (byte >= 0x90 && byte < 0xa0) return readArray(source, type, byte & 0x0f, depth);
    if (byte === 0xdc || byte === 0xdd) return readArray(source, type, size(source, byte - 0xdb), depth);
  }
  throw new Refused('malformed', `byte 0x${byte.toString(16)} where ${type.name ?? type} was due`);
}

function readArray(source, type, length, depth) {
  const due = type.fields?.length ?? type.row?.length ?? length;
  if (length !== due || length > source.data.length) throw new Refused('malformed', `${length} parts; ${due} were due`);
  if (type.fields) {
    return Object.fromEntries(type.fields.map(([name, of]) => [name, read(source, of, depth + 1)]));
  }
  return Array.from({ length }, (_, i) => read(source, type.row ? type.row[i] : type.list, depth + 1));
}

function readInteger(source, byte) {
  if (byte < 0x80) return byte;
  if (byte >= 0xe0) return byte - 0x100;
  if (byte < 0xcc || byte > 0xd3) throw new Refused('malformed', `byte 0x${byte.toString(16)} is no integer`);
  const bytes = take(source, 2 ** (byte < 0xd0 ? byte - 0xcc : byte - 0xd0));
  const unsigned = BigInt(`0x${bytes.toString('hex')}`);
  const n = byte < 0xd0 ? unsigned : BigInt.asIntN(8 * bytes.length, unsigned);
  if (n > INT64_MAX) {
    source.far = true;
    return 0;
  }
  return Number.isSafeInteger(Number(n)) ? Number(n) : n;
}

const size = (source, power) => take(source, 2 ** power).readUIntBE(0, 2 ** power);

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function text(bytes) {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Refused('malformed', 'a text that is not UTF-8');
  }
}

function take(source, length) {
  const end = source.at + length;
  if (end > source.data.length) throw new Refused('malformed', 'ends too early');
  const bytes = source.data.subarray(source.at, end);
  source.at = end;
  return bytes;
}
