// Sealed orders: the envelopes of docs/reference/protocol/chain-format.md, 2.1.
import { createCipheriv, createDecipheriv, createHash, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { ascii, bigEndian, encode, hex, join, Refused, same, unhex } from './codec.mjs';
import { sha256 } from './crypto.mjs';

const FIELD = 2n ** 256n - 189n, CURVE = 2n ** 255n - 19n;
const TAG_BYTES = 16, SHORT_BYTES = 16, HASH_BYTES = 32, LENGTH_BYTES = 2, NONCE = new Uint8Array(12);
// What stands before the 32 bytes of an X25519 key in its DER form (RFC 8410): of a secret one, and of a public one.
const SECRET_DER = unhex('302e020100300506032b656e04220420'), PUBLIC_DER = unhex('302a300506032b656e032100');

export const PIECE = [['commitment', 'bytes'], ['masked', 'bytes']];
export const ENVELOPE = [...['sealed_to', 'key_hash', 'one_time', 'box'].map((name) => [name, 'bytes']), ['pieces', { list: PIECE }]];
const CONTEXT = [['chain_id', 'bytes'], ['interval_start', 'int'], ['household', 'str'], ['nonce', 'int'], ['round', 'int']];

const hash = (what, ...parts) => sha256(ascii(`wattswap/sealing/1\0${what}\0`), ...parts);
const short = (bytes) => bytes.slice(0, SHORT_BYTES);
const number = (bytes) => BigInt(`0x${hex(bytes)}`);
const reversed = (bytes) => Uint8Array.from(bytes).reverse();
const modulo = (value, by) => ((value % by) + by) % by;

export const contextOf = (message) => encode(CONTEXT, message);
export const digestOf = (validators) => short(hash('validators', ...validators));
export const needed = (n) => Math.floor((n - 1) / 3) + 1;

/** The key of this peer for a content: the same one again for the same content and validators, and for no other. */
export const keyFor = (seed, validators, context, content) =>
  bigEndian(modulo(number(hash('key', seed, digestOf(validators), context, content)), FIELD), HASH_BYTES);

/** The envelope of a content under a key of 32 bytes, which is used for no other. */
export function seal(key, content, validators, context, sealedBytes) {
  if (content.length + LENGTH_BYTES > sealedBytes) throw new Refused('too_large', `${content.length} bytes of orders`);
  const secret = hash('one-time', key), oneTime = x25519Public(secret);
  const pieces = validators.map((validator, place) => {
    const share = shareAt(key, place, needed(validators.length));
    const pad = padOf(x25519(secret, montgomery(validator)), oneTime, place, context);
    return { commitment: commitmentOf(share, place, context), masked: xor(share, pad) };
  });
  return { sealed_to: digestOf(validators), key_hash: hash('key-hash', key), one_time: oneTime, box: encrypt(key, content, context, sealedBytes), pieces };
}

/** The share in the piece of the validator at a place, or null where it is not the one that is committed to. */
export function openShare(envelope, place, seed, context) {
  const { commitment, masked } = envelope.pieces[place];
  const secret = createHash('sha512').update(seed).digest().subarray(0, 32);
  const share = xor(masked, padOf(x25519(secret, envelope.one_time), envelope.one_time, place, context));
  return same(commitmentOf(share, place, context), commitment) ? share : null;
}

/** The key that t shares give, each [place, share]: the value at 0 of the polynomial through them. */
export function combine(shares) {
  let sum = 0n;
  const points = shares.map(([place, share]) => [BigInt(place + 1), number(share)]);
  for (const [x, y] of points) {
    let [above, below] = [y, 1n];
    for (const [other] of points) {
      if (other === x) continue;
      above = modulo(above * other, FIELD);
      below = modulo(below * (other - x), FIELD);
    }
    sum = modulo(sum + above * inverse(below, FIELD), FIELD);
  }
  return bigEndian(sum, HASH_BYTES);
}

/** The content under a key; a Refused where the key or what it opens is wrong. */
export function open(envelope, key, context) {
  if (number(key) >= FIELD) throw new Refused('wrong_key', 'a key that no shares give');
  if (!same(hash('key-hash', key), envelope.key_hash)) throw new Refused('wrong_key', 'a key of another hash');
  const padded = decrypt(key, envelope.box, context), length = Number(number(padded.subarray(0, LENGTH_BYTES)));
  const content = padded.slice(LENGTH_BYTES, LENGTH_BYTES + length), rest = padded.subarray(LENGTH_BYTES + length);
  if (content.length !== length || rest.some((byte) => byte)) throw new Refused('malformed', 'padded in another way');
  return content;
}

/** What is wrong with the sizes or the one-time key of an envelope, or null. */
export function envelopeProblem({ sealed_to: sealedTo, key_hash: keyHash, one_time: oneTime, box, pieces }, sealedBytes) {
  const sizes = [
    ['sealed_to', sealedTo, SHORT_BYTES], ['key_hash', keyHash, HASH_BYTES], ['one_time', oneTime, HASH_BYTES],
    ['box', box, Number(sealedBytes) + TAG_BYTES],
    ...pieces.flatMap(({ commitment, masked }) => [['commitment', commitment, SHORT_BYTES], ['masked', masked, HASH_BYTES]]),
  ];
  const wrong = sizes.find(([, bytes, size]) => bytes.length !== size);
  if (wrong) return `${wrong[0]} has ${wrong[1].length} bytes`;
  if (number(reversed(oneTime)) >= CURVE) return 'one_time is not reduced';
  return isSmall(oneTime) ? 'one_time has a small order' : null;
}

function shareAt(key, place, t) {
  const x = BigInt(place + 1);
  let sum = 0n;
  for (let j = t - 1; j > 0; j -= 1) sum = modulo((sum + number(hash('coefficient', Uint8Array.of(j), key))) * x, FIELD);
  return bigEndian(modulo(sum + number(key), FIELD), HASH_BYTES);
}

const commitmentOf = (share, place, context) => short(hash('share', share, Uint8Array.of(place), context));
const padOf = (agreed, oneTime, place, context) => hash('pad', agreed, oneTime, Uint8Array.of(place), context);
const xor = (a, b) => a.map((byte, i) => byte ^ b[i]);

function encrypt(key, content, context, sealedBytes) {
  const padded = new Uint8Array(sealedBytes);
  padded.set(join(bigEndian(content.length, LENGTH_BYTES), content));
  const cipher = createCipheriv('chacha20-poly1305', key, NONCE, { authTagLength: TAG_BYTES }).setAAD(context, { plaintextLength: padded.length });
  return join(cipher.update(padded), cipher.final(), cipher.getAuthTag());
}

function decrypt(key, box, context) {
  const end = box.length - TAG_BYTES, cipher = createDecipheriv('chacha20-poly1305', key, NONCE, { authTagLength: TAG_BYTES });
  cipher.setAAD(context, { plaintextLength: end }).setAuthTag(box.subarray(end));
  try { return join(cipher.update(box.subarray(0, end)), cipher.final()); } catch { throw new Refused('wrong_key', 'a box that does not open'); }
}

const secretKey = (bytes) => createPrivateKey({ key: Buffer.from(join(SECRET_DER, bytes)), format: 'der', type: 'pkcs8' });
const publicKey = (bytes) => createPublicKey({ key: Buffer.from(join(PUBLIC_DER, bytes)), format: 'der', type: 'spki' });
/** Secrets are clamped by X25519 itself (RFC 7748, 5). */
const x25519 = (secret, other) => new Uint8Array(diffieHellman({ privateKey: secretKey(secret), publicKey: publicKey(other) }));
const x25519Public = (secret) => new Uint8Array(createPublicKey(secretKey(secret)).export({ format: 'der', type: 'spki' }).subarray(PUBLIC_DER.length));

/** OpenSSL refuses to agree on zeros, which is what a key of a small order gives with every secret. */
function isSmall(key) {
  try { x25519(new Uint8Array(HASH_BYTES), key); return false; } catch { return true; }
}

/** The X25519 key that belongs to an Ed25519 key: u = (1 + y) / (1 - y) (RFC 7748, 4.1). */
function montgomery(key) {
  const y = number(reversed(key)) & (2n ** 255n - 1n);
  return reversed(bigEndian(modulo((1n + y) * inverse(modulo(1n - y, CURVE), CURVE), CURVE), HASH_BYTES));
}

/** By Fermat: both moduli are primes. */
function inverse(value, prime) {
  let [result, base] = [1n, modulo(value, prime)];
  for (let rest = prime - 2n; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * base) % prime;
    base = (base * base) % prime;
  }
  return result;
}
