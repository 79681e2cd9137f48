// Types of the codec from their text, as tests/vectors/layouts.json writes them: int, bytes, str, bool, the name of
// a record, `T?` or nil, `[T]` any number, `(T, U)` a fixed array.
import { BIN, BOOL, INT, STR, list, optional, record, row } from './codec.mjs';

const BASIC = { int: INT, bytes: BIN, str: STR, bool: BOOL };

/** The type of a text; `layouts` has the fields of every record. */
export function typeOf(text, layouts) {
  if (text in BASIC) return BASIC[text];
  if (text.endsWith('?')) return optional(typeOf(text.slice(0, -1), layouts));
  if (text.startsWith('[')) return list(typeOf(text.slice(1, -1), layouts));
  if (text.startsWith('(')) return row(...split(text.slice(1, -1)).map((part) => typeOf(part, layouts)));
  return recordOf(text, layouts[text], layouts);
}

/** The record of a layout. */
export const recordOf = (name, fields, layouts) =>
  record(name, Object.fromEntries(fields.map(([field, text]) => [field, typeOf(text, layouts)])));

/** Parts at commas that are not inside brackets. */
function split(text) {
  const parts = [''];
  let depth = 0;
  for (const letter of text) {
    depth += '[('.includes(letter) - '])'.includes(letter);
    if (letter === ',' && depth === 0) parts.push('');
    else parts[parts.length - 1] += letter;
  }
  return parts.map((part) => part.trim());
}

/** A value out of JSON: digits become bytes or integers, as the type says. */
export function fromJson(type, value) {
  if (type === INT) return typeof value === 'string' ? BigInt(value) : value;
  if (type === BIN) return Buffer.from(value, 'hex');
  if (type === STR || type === BOOL) return value;
  if (type.optional) return value === null ? null : fromJson(type.optional, value);
  if (type.fields) return Object.fromEntries(type.fields.map(([name, of]) => [name, fromJson(of, value[name])]));
  return value.map((item, i) => fromJson(type.row ? type.row[i] : type.list, item));
}
