// Frames, signed messages and their checks. Nothing here knows libp2p.
import { createHash, createPrivateKey, createPublicKey, sign as signRaw, verify as verifyRaw } from 'node:crypto';
import { BIN, INT, Refused, STR, decode, encode, list, optional, record } from './codec.mjs';

export const VERSION = 1;
export const FRAME_MAX_BYTES = 256 * 1024;
export const MAX_MESSAGE_BYTES = 1024;
export const REQUEST = 0, REPLY = 1, ERROR = 2;
const OVERHEAD = 5; // request id and kind, which the length counts

export const PROTOCOLS = {
  bid: '/wattswap/bid/1', reading: '/wattswap/reading/1', line: '/wattswap/line/1', result: '/wattswap/result/1',
  batch: '/wattswap/batch/1', lines: '/wattswap/lines/1',
};
export const resultTopic = (chainId) => `/wattswap/${hex(chainId.subarray(0, 8))}/result/1`;

export const hex = (bytes) => Buffer.from(bytes).toString('hex');
export const sha256 = (...parts) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

// --- frames -----------------------------------------------------------------------------------------------

/** Bytes of a frame: length of what follows, request id, kind, payload. */
export function packFrame(id, kind, payload) {
  const head = Buffer.alloc(9);
  head.writeUInt32BE(OVERHEAD + payload.length, 0);
  head.writeUInt32BE(id, 4);
  head[8] = kind;
  return Buffer.concat([head, payload]);
}

/** Cuts a byte stream into frames, however the bytes arrive. */
export class FrameCutter {
  #buffer = Buffer.alloc(0);

  /** Bytes that wait for the rest of their frame. */
  get pending() {
    return this.#buffer.length;
  }

  /** Take bytes and return the frames that are complete. */
  push(bytes) {
    this.#buffer = Buffer.concat([this.#buffer, bytes]);
    const frames = [];
    while (this.#buffer.length >= 4) {
      const length = this.#buffer.readUInt32BE(0);
      if (length > FRAME_MAX_BYTES + OVERHEAD) throw new Refused('too_large', `a frame of ${length} bytes`);
      if (length < OVERHEAD) throw new Refused('malformed', `a frame of ${length} bytes`);
      if (this.#buffer.length < 4 + length) break;
      const [id, kind] = [this.#buffer.readUInt32BE(4), this.#buffer[8]];
      if (kind > ERROR) throw new Refused('malformed', `a frame of kind ${kind}`);
      frames.push({ id, kind, payload: this.#buffer.subarray(9, 4 + length) });
      this.#buffer = this.#buffer.subarray(4 + length);
    }
    return frames;
  }
}

// --- keys -------------------------------------------------------------------------------------------------

const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex'); // an Ed25519 seed in DER
const SPKI = Buffer.from('302a300506032b6570032100', 'hex'); // an Ed25519 public key in DER

/** A signing key from its 32-byte seed. */
export function identity(seed) {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI.length);
  return { publicKey, sign: (domain, data) => signRaw(null, Buffer.concat([domain, data]), key) };
}

/** Whether a signature is by a public key over domain || data. */
export function verify(publicKey, domain, data, signature) {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  try {
    const key = createPublicKey({ key: Buffer.concat([SPKI, publicKey]), format: 'der', type: 'spki' });
    return verifyRaw(null, Buffer.concat([domain, data]), key, signature);
  } catch {
    return false;
  }
}

// --- messages ---------------------------------------------------------------------------------------------

const MESSAGE_DOMAIN = Buffer.from('wattswap/msg/1\0');
const MESSAGE_ID_DOMAIN = Buffer.from('wattswap/msg-id/1\0');

export const Kind = { ORDER: 1, READING: 2, RECEIPT: 3, RESULT: 4, NOTHING: 5, LINE_QUERY: 6 };
export const Receipt = { ACCEPTED: 0, DUPLICATE: 1, REPLACED: 2, LATE: 3, EARLY: 4, STALE_NONCE: 5, REFUSED: 6 };

const HEAD = { version: INT, chain_id: BIN, interval_start: INT };
const SPOKEN = { ...HEAD, minutes: INT, household: STR, nonce: INT };
export const PriceLine = record('PriceLine', { lo: INT, hi: INT, price: INT });
export const MESSAGES = {
  [Kind.ORDER]: record('Order', { ...SPOKEN, side: INT, energy_wh: INT, limit_micro_per_kwh: INT, node: INT }),
  [Kind.READING]: record('Reading', { ...SPOKEN, import_wh: INT, export_wh: INT, quality: INT }),
  [Kind.RECEIPT]: record('Receipt', { ...HEAD, household: STR, message_id: BIN, code: INT }),
  [Kind.RESULT]: record('Result', {
    ...HEAD, minutes: INT, height: INT, book_root: BIN, clearing_root: BIN, postings_root: BIN, block_hash: BIN,
    price: optional(PriceLine), traded_wh: INT, next_collector: BIN,
  }),
  [Kind.NOTHING]: record('Nothing', SPOKEN),
  [Kind.LINE_QUERY]: record('LineQuery', SPOKEN),
};
export const Signed = record('Signed', { kind: INT, body: BIN, public_key: BIN, signature: BIN });
export const IntervalQuery = record('IntervalQuery', HEAD);
export const HandIn = record('HandIn', { version: INT, chain_id: BIN, messages: list(BIN) });
export const HandInReply = record('HandInReply', { entries: list(BIN) });

const body = (kind, message) => Buffer.concat([Buffer.of(kind), encode(MESSAGES[kind], message)]);

/** What the signature of a message covers: domain, kind, body. */
export const signBytes = (kind, message) => Buffer.concat([MESSAGE_DOMAIN, body(kind, message)]);

/** The 32-byte name of a message's content. */
export const messageId = (kind, message) => sha256(MESSAGE_ID_DOMAIN, body(kind, message));

/** Bytes of a signed message. */
export function signMessage(key, kind, message) {
  const signature = key.sign(MESSAGE_DOMAIN, body(kind, message));
  return encode(Signed, {
    kind, body: encode(MESSAGES[kind], message), public_key: key.publicKey, signature,
  });
}

/** What a signed message says, once everything about it was checked; `signers` may have signed it. */
export function openMessage(data, { chainId, kinds, signers }) {
  const signed = decode(Signed, data, MAX_MESSAGE_BYTES);
  if (signed.public_key.length !== 32 || signed.signature.length !== 64) {
    throw new Refused('malformed', 'a key or signature of another length');
  }
  if (!kinds.includes(signed.kind)) throw new Refused('wrong_kind', `kind ${signed.kind}`);
  const message = decode(MESSAGES[signed.kind], signed.body, MAX_MESSAGE_BYTES);
  if (message.version !== VERSION) throw new Refused('wrong_version', `version ${message.version}`);
  if (!message.chain_id.equals(chainId)) throw new Refused('wrong_chain', hex(message.chain_id));
  checkRanges(signed.kind, message);
  if (!signers.some((key) => signed.public_key.equals(key))) throw new Refused('wrong_signature', 'another key');
  const content = Buffer.concat([Buffer.of(signed.kind), signed.body]);
  if (!verify(signed.public_key, MESSAGE_DOMAIN, content, signed.signature)) {
    throw new Refused('wrong_signature', 'the signature does not verify');
  }
  return { ...message, signer: signed.public_key };
}

const MAX_TIME_S = 2 ** 36, INT64_MAX = 2n ** 63n - 1n;
const MINUTES = [5, 15, 30, 60];
const HASHES = new Set(['chain_id', 'message_id', 'book_root', 'clearing_root', 'postings_root', 'block_hash',
  'next_collector']);
const BOUNDS = {
  interval_start: [0, MAX_TIME_S], nonce: [0, INT64_MAX], side: [-1, 1], energy_wh: [0, 1_000_000],
  import_wh: [0, 1_000_000], export_wh: [0, 1_000_000], limit_micro_per_kwh: [-1_000_000_000, 1_000_000_000],
  node: [0, 1_000_000], quality: [0, 2], code: [0, 6], height: [0, INT64_MAX], traded_wh: [0, INT64_MAX],
};

function checkRanges(kind, message) {
  const refuse = (name) => {
    throw new Refused('out_of_range', `${name} is ${message[name]}`);
  };
  for (const [name, value] of Object.entries(message)) {
    if (HASHES.has(name) && value.length !== 32) refuse(name);
    if (name in BOUNDS && !(BOUNDS[name][0] <= value && value <= BOUNDS[name][1])) refuse(name);
  }
  if ('household' in message) {
    const length = Buffer.byteLength(message.household);
    if (length < 1 || length > 64) refuse('household');
  }
  if (message.side === 0) refuse('side');
  if (kind === Kind.RECEIPT) return;
  if (!MINUTES.includes(message.minutes)) refuse('minutes');
  if (message.interval_start % (message.minutes * 60)) refuse('interval_start');
}
