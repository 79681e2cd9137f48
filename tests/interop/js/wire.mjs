// Frames and signed messages of docs/reference/protocol/messages.md.
import { bigEndian, decode, encode, hex, join, Refused, same } from './codec.mjs';
import { publicKeyOf, sha256, sign, verify } from './crypto.mjs';
import { ascii } from './codec.mjs';
import { ENVELOPE, contextOf, envelopeProblem, keyFor, seal } from './sealing.mjs';

export const FRAME_MAX = 256 * 1024;
export const REQUEST = 0, REPLY = 1, ERROR = 2;
export const RECEIPT_CODES = ['accepted', 'duplicate', 'replaced', 'late', 'early', 'stale_nonce', 'refused'];

const MESSAGE_DOMAIN = 'wattswap/msg/1\0', MESSAGE_ID_DOMAIN = 'wattswap/msg-id/1\0';
const MESSAGE_MAX = 4096, MAX_ORDERS = 64, MAX_TIME = 2n ** 36n, INT64_MAX = 2n ** 63n - 1n, MINUTES = [5n, 15n, 30n, 60n];

const ints = (...names) => names.map((name) => [name, 'int']);
const begin = [['version', 'int'], ['chain_id', 'bytes']];
const interval = [...begin, ...ints('interval_start', 'minutes'), ['household', 'str'], ['nonce', 'int']];
const round = [...interval, ['round', 'int']];
export const PRICE = ints('lo', 'hi', 'price');

export const ORDER = [...ints('side', 'energy_wh', 'limit_micro_per_kwh', 'node', 'kind'), ['terms', { list: 'int' }]];

export const KINDS = {
  order: [1, [...round, ['orders', { list: ORDER }]]],
  reading: [2, [...interval, ...ints('import_wh', 'export_wh', 'quality')]],
  receipt: [3, [...begin, ['interval_start', 'int'], ['household', 'str'], ['message_id', 'bytes'], ['code', 'int']]],
  nothing: [5, round],
  line_query: [6, [...interval, ['slot', 'int']]],
  sealed: [7, [...round, ['envelope', ENVELOPE]]],
};
const SIGNED = [['kind', 'int'], ['body', 'bytes'], ['public_key', 'bytes'], ['signature', 'bytes']];
const INTERVAL_QUERY = [...begin, ['interval_start', 'int']];
const SLOT_QUERY = [...INTERVAL_QUERY, ['slot', 'int']];
export const POSITION = [...INTERVAL_QUERY, ...ints('round', 'bought_wh', 'sold_wh')];
const HASHES = ['chain_id', 'message_id'];

export function packFrame(id, kind, payload) {
  return join(bigEndian(payload.length + 5, 4), bigEndian(id, 4), Uint8Array.of(kind), payload);
}

/** Returns [frame, rest], or [null, data] while the frame is not whole. */
export function cutFrame(data) {
  if (data.length < 4) return [null, data];
  const view = Buffer.from(data.buffer, data.byteOffset, data.length), length = view.readUInt32BE(0);
  if (length > FRAME_MAX + 5) throw new Refused('too_large', `a frame of ${length} bytes`);
  if (length < 5) throw new Refused('malformed', `a frame of ${length} bytes`);
  if (data.length < 4 + length) return [null, data];
  const kind = view[8];
  if (kind > ERROR) throw new Refused('malformed', `a frame of kind ${kind}`);
  return [{ id: view.readUInt32BE(4), kind, payload: data.slice(9, 4 + length) }, data.slice(4 + length)];
}

const covered = (kind, body) => join(Uint8Array.of(kind), body);
export const signBytes = (name, message) => join(ascii(MESSAGE_DOMAIN), covered(KINDS[name][0], bodyOf(name, message)));
export const bodyOf = (name, message) => encode(KINDS[name][1], message);
export const messageId = (name, message) => sha256(ascii(MESSAGE_ID_DOMAIN), covered(KINDS[name][0], bodyOf(name, message)));

export function signMessage(seed, name, message) {
  const kind = KINDS[name][0], body = bodyOf(name, message);
  const signature = sign(seed, MESSAGE_DOMAIN, covered(kind, body));
  return encode(SIGNED, { kind, body, public_key: publicKeyOf(seed), signature });
}

/** An order or "nothing" as the sealed message that goes in its place. */
export function sealMessage(seed, { orders = [], ...head }, validators, sealedBytes) {
  const content = encode({ list: ORDER }, orders), context = contextOf(head);
  return { ...head, envelope: seal(keyFor(seed, validators, context, content), content, validators, context, Number(sealedBytes)) };
}

/** Opens a signed message; `context` has chainId, households (Map id -> key), collectors (keys), limits. */
export function openMessage(data, names, context) {
  const signed = decode(SIGNED, data, MESSAGE_MAX);
  if (signed.public_key.length !== 32 || signed.signature.length !== 64) throw new Refused('malformed', 'a key or signature of another length');
  const name = names.find((one) => BigInt(KINDS[one][0]) === signed.kind);
  if (!name) throw new Refused('wrong_kind', `kind ${signed.kind}`);
  const message = decode(KINDS[name][1], signed.body, MESSAGE_MAX);
  if (message.version !== 4n) throw new Refused('wrong_version', `version ${message.version}`);
  if (!same(message.chain_id, context.chainId)) throw new Refused('wrong_chain', hex(message.chain_id));
  const problem = problemOf(name, message, context.limits);
  if (problem) throw new Refused('out_of_range', problem);
  if (!context.households.has(message.household)) throw new Refused('unknown_household', message.household);
  const allowed = name === 'receipt' ? context.collectors : [context.households.get(message.household)];
  const valid = allowed.some((key) => same(key, signed.public_key))
    && verify(signed.public_key, MESSAGE_DOMAIN, covered(Number(signed.kind), signed.body), signed.signature);
  if (!valid) throw new Refused('wrong_signature', name);
  return message;
}

function problemOf(name, message, limits) {
  const { energy } = limits;
  const bounds = {
    interval_start: [0n, MAX_TIME], nonce: [0n, INT64_MAX], round: [0n, limits.rounds - 1n], slot: [0n, limits.rounds],
    import_wh: [0n, energy], export_wh: [0n, energy],
    quality: [0n, 2n], code: [0n, 6n],
  };
  for (const [field, value] of Object.entries(message)) {
    if (HASHES.includes(field) && value.length !== 32) return `${field} has ${value.length} bytes`;
    if (field in bounds && (value < bounds[field][0] || value > bounds[field][1])) return `${field} is ${value}`;
  }
  const idBytes = Buffer.byteLength(message.household ?? 'x');
  if (idBytes < 1 || idBytes > 64) return `household has ${idBytes} bytes`;
  if (name === 'order') { const problem = ordersProblem(message.orders, limits); if (problem) return problem; }
  if (name === 'sealed') { const problem = limits.sealed ? envelopeProblem(message.envelope, limits.sealed) : 'orders are not sealed here'; if (problem) return problem; }
  if (name === 'receipt') return null;
  if (!MINUTES.includes(message.minutes)) return `minutes is ${message.minutes}`;
  return message.interval_start % (message.minutes < 15n ? 300n : 900n) ? 'interval_start is not on a boundary' : null;
}

function ordersProblem(orders, { energy, price, node, kinds }) {
  if (orders.length < 1 || orders.length > MAX_ORDERS) return `${orders.length} orders`;
  const within = (value, low, high) => value >= low && value <= high;
  for (const order of orders) {
    if (order.side !== 1n && order.side !== -1n) return `side is ${order.side}`;
    if (!within(order.energy_wh, 0n, energy) || !within(order.limit_micro_per_kwh, -price, price)) return 'energy or limit';
    if (!within(order.node, 0n, node) || !kinds.includes(order.kind)) return 'node or kind';
    // This peer hands in simple orders only.
    if (order.kind !== 0n || order.terms.length) return 'terms';
  }
  return orders.reduce((sum, order) => sum + order.energy_wh, 0n) > energy ? 'energies add up to too much' : null;
}

export const DEFAULT_LIMITS = { energy: 1_000_000n, price: 1_000_000_000n, node: 1_000_000n, kinds: [0n], rounds: 1n, sealed: 0n };
export const ask = (chainId, start) => encode(INTERVAL_QUERY, { version: 4, chain_id: chainId, interval_start: start });
export const askSlot = (chainId, start, slot) => encode(SLOT_QUERY, { version: 4, chain_id: chainId, interval_start: start, slot });
export const resultTopic = (chainId) => `/wattswap/${hex(chainId.subarray(0, 8))}/result/1`;
