// The vectors of tests/vectors, read by this peer: `node --test`. Needs no packages.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { BIN, INT, STR, Refused, decode, encode, list } from './codec.mjs';
import * as proof from './proof.mjs';
import { fromJson, recordOf, typeOf } from './types.mjs';
import * as wire from './wire.mjs';

const load = (name) => JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), 'utf8'));
const bytes = (digits) => Buffer.from(digits, 'hex');
const layouts = load('layouts').records;
const named = (name) => typeOf(name, layouts);

function codeOf(action) {
  try {
    action();
  } catch (error) {
    if (error instanceof Refused) return error.code;
    throw error;
  }
  return 'accepted';
}

/** A value, its bytes, and back. */
function sameBothWays(type, value, digits) {
  assert.equal(wire.hex(encode(type, fromJson(type, value))), digits);
  assert.deepEqual(decode(type, bytes(digits)), fromJson(type, value));
}

test('the records of this peer have the layouts of the vectors', () => {
  const own = {
    Signed: wire.Signed, OrderMessage: wire.MESSAGES[1], ReadingMessage: wire.MESSAGES[2],
    ReceiptMessage: wire.MESSAGES[3], ResultMessage: wire.MESSAGES[4], NothingMessage: wire.MESSAGES[5],
    LineQueryMessage: wire.MESSAGES[6], PriceLine: wire.PriceLine, IntervalQuery: wire.IntervalQuery,
    HandIn: wire.HandIn, HandInReply: wire.HandInReply, Genesis: proof.Genesis, Tx: proof.Tx, Header: proof.Header,
    CommitCert: proof.CommitCert, BatchArgs: proof.BatchArgs, ProofBundle: proof.ProofBundle,
  };
  const shape = (type) => (type.fields ? type.fields.map(([name, of]) => [name, shape(of)])
    : typeof type === 'string' ? type : Object.fromEntries(Object.entries(type).map(([k, of]) => [k, shape(of)])));
  for (const [name, type] of Object.entries(own)) assert.deepEqual(shape(type), shape(named(name)), name);
});

test('a key, its peer-independent signature and its check', () => {
  for (const one of load('keys').keys) {
    const key = wire.identity(bytes(one.seed));
    assert.equal(wire.hex(key.publicKey), one.public_key);
    assert.equal(wire.hex(key.sign(bytes(one.domain), bytes(one.data))), one.signature);
    assert.ok(wire.verify(key.publicKey, bytes(one.domain), bytes(one.data), bytes(one.signature)));
    assert.ok(!wire.verify(key.publicKey, bytes(one.domain), bytes(`${one.data}00`), bytes(one.signature)));
  }
});

test('integers at every edge have one encoding', () => {
  for (const { value, bytes: digits } of load('encoding').integers) {
    assert.equal(wire.hex(encode(INT, BigInt(value))), digits, value);
    assert.equal(String(decode(INT, bytes(digits))), value);
  }
});

test('the heads of bytes, texts and arrays are the shortest', () => {
  for (const { length, ...heads } of load('encoding').heads) {
    for (const [type, value] of [[BIN, Buffer.alloc(length)], [STR, 'a'.repeat(length)], [list(INT), Array(length).fill(0)]]) {
      const data = encode(type, value);
      const name = type === BIN ? 'bytes' : type === STR ? 'str' : 'array';
      assert.equal(wire.hex(data.subarray(0, data.length - length)), heads[name], `${name} of ${length}`);
    }
  }
});

test('a record with a field of every type goes both ways', () => {
  const { layout, value, bytes: digits } = load('encoding').sample;
  sameBothWays(recordOf('Sample', layout, layouts), value, digits);
});

test('other encodings are refused with the same codes', () => {
  for (const { name, bytes: digits, code } of load('encoding').refused) {
    assert.equal(codeOf(() => decode(named('IntervalQuery'), bytes(digits), 128)), code, name);
  }
});

test('frames go both ways, whole or byte by byte', () => {
  for (const { id, kind, payload, bytes: digits } of load('frames').frames) {
    assert.equal(wire.hex(wire.packFrame(id, kind, bytes(payload))), digits);
    const cutter = new wire.FrameCutter();
    const found = [...bytes(digits + digits)].flatMap((byte) => cutter.push(Buffer.of(byte)));
    assert.deepEqual(found, Array(2).fill({ id, kind, payload: bytes(payload) }));
    assert.equal(cutter.pending, 0);
  }
});

test('wrong frames are refused with the same codes', () => {
  for (const { name, bytes: digits, code } of load('frames').refused) {
    assert.equal(codeOf(() => new wire.FrameCutter().push(bytes(digits))), code, name);
  }
});

test('every kind of message: body, sign-bytes, id, signature, signed bytes', () => {
  const { messages, ...all } = load('messages');
  for (const one of messages) {
    const message = fromJson(wire.MESSAGES[one.kind], one.value);
    const key = wire.identity(bytes(all[`${one.signer}_seed`]));
    assert.equal(wire.hex(encode(wire.MESSAGES[one.kind], message)), one.body);
    assert.equal(wire.hex(wire.signBytes(one.kind, message)), one.sign_bytes);
    assert.equal(wire.hex(wire.messageId(one.kind, message)), one.message_id);
    assert.equal(wire.hex(wire.signMessage(key, one.kind, message)), one.signed);
    const opened = wire.openMessage(bytes(one.signed), {
      chainId: bytes(all.chain_id), kinds: [one.kind], signers: [key.publicKey],
    });
    assert.deepEqual(opened, { ...message, signer: key.publicKey });
  }
});

test('wrong messages are refused with the same codes', () => {
  const { refused, ...all } = load('messages');
  for (const { name, kind, signed, code } of refused) {
    const signer = [wire.Kind.RECEIPT, wire.Kind.RESULT].includes(kind) ? all.operator_key : all.household_key;
    const open = () => wire.openMessage(bytes(signed), {
      chainId: bytes(all.chain_id), kinds: [kind], signers: [bytes(signer)],
    });
    assert.equal(codeOf(open), code, name);
  }
});

test('votes and proposals: bytes, sign-bytes, signature', () => {
  const { chain_id, domain, public_key, signed, status } = load('consensus');
  for (const one of signed) {
    sameBothWays(named(one.record), one.value, one.bytes);
    const said = fromJson(named(one.record), one.value);
    const data = one.record === 'Vote'
      ? proof.voteBytes(said.kind, bytes(chain_id), said.height, said.round, said.block_hash)
      : proof.proposalBytes(bytes(chain_id), said.height, said.round, said.block_hash, said.valid_round);
    assert.equal(domain + wire.hex(data), domain + one.sign_bytes);
    assert.ok(wire.verify(bytes(public_key), bytes(domain), data, said.signature));
  }
  sameBothWays(named('Status'), status.value, status.bytes);
});

test('genesis, transaction, header and certificate: bytes, hashes, signatures', () => {
  const { genesis, tx, header, certificate } = load('chain');
  for (const [name, one] of Object.entries({ Genesis: genesis, Tx: tx, Header: header, CommitCert: certificate })) {
    sameBothWays(named(name), one.value, one.bytes);
  }
  const open = proof.openGenesis(bytes(genesis.bytes));
  assert.equal(wire.hex(open.chainId), genesis.chain_id);
  assert.equal(wire.hex(proof.validatorsHash(open.authorities)), genesis.validators_hash);
  const said = decode(proof.Tx, bytes(tx.bytes));
  assert.equal(wire.hex(proof.txSignBytes(said)), tx.sign_bytes);
  assert.equal(wire.hex(proof.txId(said)), tx.id);
  assert.equal(wire.hex(proof.txLeaf(said)), tx.leaf);
  assert.equal(wire.hex(proof.blockHash(decode(proof.Header, bytes(header.bytes)))), header.block_hash);
  const cert = decode(proof.CommitCert, bytes(certificate.bytes));
  assert.deepEqual(proof.signers(cert.bitmap), certificate.signers);
  proof.checkCert(cert, open.authorities, open.chainId);
});

test('wrong certificates are refused with the same code', () => {
  const { genesis, refused_certificates: refused } = load('chain');
  const open = proof.openGenesis(bytes(genesis.bytes));
  for (const { name, bytes: digits, code } of refused) {
    const check = () => proof.checkCert(decode(proof.CommitCert, bytes(digits)), open.authorities, open.chainId);
    assert.equal(codeOf(check), code, name);
  }
});

test('Merkle trees of 0 to 17 leaves: roots and paths', () => {
  const { leaves, trees } = load('merkle');
  assert.deepEqual(leaves.map((_, i) => wire.hex(proof.leafHash(Buffer.of(i)))), leaves);
  for (const { size, root, paths } of trees) {
    assert.equal(wire.hex(proof.merkleRoot(leaves.slice(0, size).map(bytes))), root);
    paths.forEach((path, i) => {
      const steps = path.map(bytes);
      assert.equal(wire.hex(proof.rootFromPath(bytes(leaves[i]), i, size, steps)), root, `leaf ${i} of ${size}`);
      assert.equal(codeOf(() => proof.rootFromPath(bytes(leaves[i]), i, size, [...steps, Buffer.alloc(32)])), 'bad_proof');
    });
  }
});

test('proofs prove their line', () => {
  const { genesis, proofs } = load('proofs');
  for (const { name, bytes: digits, line } of proofs) {
    assert.deepEqual(proof.checkProof(bytes(digits), proof.openGenesis(bytes(genesis))), line, name);
  }
});

test('wrong proofs are refused with the same codes', () => {
  const { genesis, refused } = load('proofs');
  for (const { name, bytes: digits, code } of refused) {
    assert.equal(codeOf(() => proof.checkProof(bytes(digits), proof.openGenesis(bytes(genesis)))), code, name);
  }
});
