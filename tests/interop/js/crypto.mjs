// SHA-256 of Node, Ed25519 of noble. Every signature is over domain || data.
import { createHash } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { ascii, join } from './codec.mjs';

export const sha256 = (...parts) => new Uint8Array(createHash('sha256').update(join(...parts)).digest());
export const publicKeyOf = (seed) => ed25519.getPublicKey(seed);
export const sign = (seed, domain, data) => ed25519.sign(join(ascii(domain), data), seed);

export function verify(publicKey, domain, data, signature) {
  if (publicKey.length !== 32 || signature.length !== 64) return false;
  // zip215: false is RFC 8032; it also refuses small-order keys, as libsodium does.
  try { return ed25519.verify(signature, join(ascii(domain), data), publicKey, { zip215: false }); } catch { return false; }
}
