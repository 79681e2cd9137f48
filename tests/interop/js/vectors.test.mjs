// The vectors of tests/vectors, read and written by the code of this peer.
import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Refused, bigEndian, decode, encode, hex, join, ascii, unhex } from './codec.mjs';
import { sha256, publicKeyOf, sign, verify } from './crypto.mjs';
import * as proof from './proof.mjs';
import * as sealing from './sealing.mjs';
import * as wire from './wire.mjs';

const load = (name) => JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), 'utf8'));
const refusal = (action) => {
  try { action(); } catch (error) { if (error instanceof Refused) return error.code; throw error; }
  return 'taken';
};

/** The value of a shape out of its JSON form. */
function value(shape, json) {
  if (shape === 'int') return BigInt(json);
  if (shape === 'wide') return typeof json === 'string' && json.length === 32 ? BigInt.asIntN(128, BigInt(`0x${json}`)) : BigInt(json);
  if (shape === 'bytes') return unhex(json);
  if (shape === 'str' || shape === 'bool' || json === null) return json;
  if (shape.nil) return value(shape.nil, json);
  if (shape.list) return json.map((item) => value(shape.list, item));
  return Object.fromEntries(shape.map(([name, inner]) => [name, value(inner, json[name])]));
}

const { layouts, good: samples } = load('records');

/** The shape of a type: int, bytes, str, bool, a record's name, `T?` or nil, `[T]` any number, `(T, U)` a fixed array. */
function shapeOf(text) {
  if (text.endsWith('?')) return { nil: shapeOf(text.slice(0, -1)) };
  if (text.startsWith('[')) return { list: shapeOf(text.slice(1, -1)) };
  if (text.startsWith('(')) return text.slice(1, -1).split(', ').map((part, i) => [String(i), shapeOf(part)]);
  return layouts[text]?.map(([name, inner]) => [name, shapeOf(inner)]) ?? text;
}

test('every record goes both ways by its layout alone', () => {
  for (const { record, fields, bytes } of samples) {
    const shape = shapeOf(record), said = value(shape, fields);
    assert.equal(hex(encode(shape, said)), bytes, record);
    assert.deepEqual(decode(shape, unhex(bytes)), said, record);
  }
});

test('the layouts that this peer was written with are those of the vectors', () => {
  const own = {
    ...Object.fromEntries(Object.entries(wire.KINDS).map(([kind, [, shape]]) =>
      [`${kind[0].toUpperCase()}${kind.slice(1)}Message`.replace('_query', 'Query'), shape])),
    Tx: proof.TX, Header: proof.HEADER, CommitCertificate: proof.CERT, ProofBundle: proof.BUNDLE,
    BatchProof: proof.BATCH_PROOF, Closing: proof.CLOSING, Genesis: proof.GENESIS, BatchArgs: proof.BATCH,
    Envelope: sealing.ENVELOPE,
  };
  // A pair has no names on the wire, and needs some here.
  const named = (shape) => JSON.parse(JSON.stringify(shape), (_, part) =>
    (Array.isArray(part) && part[0] === 'key' ? ['0', part[1]] : Array.isArray(part) && part[0] === 'value' ? ['1', part[1]] : part));
  for (const [record, shape] of Object.entries(own)) assert.deepEqual(named(shape), shapeOf(record), record);
});

test('frames', () => {
  const { good, refused } = load('frames');
  for (const { request_id: id, kind, payload, bytes } of good) {
    assert.equal(hex(wire.packFrame(BigInt(id), Number(kind), unhex(payload))), bytes);
    const [frame, rest] = wire.cutFrame(unhex(bytes + 'ff'));
    assert.deepEqual([frame.id, frame.kind, hex(frame.payload), hex(rest)], [Number(id), Number(kind), payload, 'ff']);
    assert.equal(wire.cutFrame(unhex(bytes).slice(0, -1))[0], null);
  }
  for (const { what, bytes, code } of refused) assert.equal(refusal(() => wire.cutFrame(unhex(bytes))), code, what);
});

const vectors = load('messages');
const context = {
  chainId: unhex(vectors.chain_id),
  households: new Map(Object.entries(vectors.households).map(([id, key]) => [id, unhex(key)])),
  collectors: vectors.collectors.map(unhex),
  limits: wire.DEFAULT_LIMITS,
};

test('messages', () => {
  for (const { kind, seed, fields, body, id, sign_bytes: covered, signature, bytes } of vectors.good) {
    const message = value(wire.KINDS[kind][1], fields);
    assert.equal(hex(wire.bodyOf(kind, message)), body);
    assert.equal(hex(wire.messageId(kind, message)), id);
    assert.equal(hex(wire.signBytes(kind, message)), covered);
    assert.equal(hex(wire.signMessage(unhex(seed), kind, message)), bytes);
    assert.ok(bytes.endsWith(signature));
    assert.deepEqual(wire.openMessage(unhex(bytes), [kind], context), message);
  }
});

for (const { what, bytes, code } of vectors.refused) {
  test(`refused message: ${what}`, () => {
    assert.equal(refusal(() => wire.openMessage(unhex(bytes), Object.keys(wire.KINDS), context)), code);
  });
}

const envelopes = load('envelopes');
const sealedContext = { ...context, limits: { ...wire.DEFAULT_LIMITS, sealed: BigInt(envelopes.sealed_bytes) } };
const seedOf = (place) => unhex(envelopes.validators[place].seed);

for (const example of envelopes.good) {
  const { validators: n, envelope: fields, body, id, bytes } = example;
  const about = `${example.content.length / 2} bytes for ${n} validators`;
  const [wanted, at, key, content] = ['envelope', 'context', 'key', 'content'].map((name) =>
    (name === 'envelope' ? value(sealing.ENVELOPE, fields) : unhex(example[name])));

  test(`an envelope is sealed: ${about}`, () => {
    const keys = envelopes.validators.slice(0, n).map((one) => unhex(one.key));
    assert.equal(sealing.needed(n), example.needed);
    assert.equal(hex(sealing.keyFor(unhex(envelopes.seed), keys, at, content)), example.key);
    assert.deepEqual(sealing.seal(key, content, keys, at, envelopes.sealed_bytes), wanted);
    const said = wire.openMessage(unhex(bytes), ['sealed'], sealedContext);
    assert.deepEqual(said.envelope, wanted);
    assert.deepEqual(sealing.contextOf(said), at);
    assert.equal(hex(wire.bodyOf('sealed', said)), body);
    assert.equal(hex(wire.messageId('sealed', said)), id);
    assert.equal(hex(wire.signMessage(unhex(envelopes.seed), 'sealed', said)), bytes);
    const { envelope, ...head } = said, orders = decode({ list: wire.ORDER }, content);
    assert.deepEqual(wire.sealMessage(unhex(envelopes.seed), { ...head, orders }, keys, envelopes.sealed_bytes), said);
  });

  test(`an envelope is opened by any shares that are enough: ${about}`, () => {
    const shares = [...Array(n).keys()].map((place) => [place, sealing.openShare(wanted, place, seedOf(place), at)]);
    assert.deepEqual(shares.map(([, share]) => hex(share)), example.shares);
    for (const chosen of subsets(shares, example.needed)) assert.equal(hex(sealing.combine(chosen)), example.key);
    for (const chosen of subsets(shares, example.needed - 1)) assert.notEqual(hex(sealing.combine(chosen)), example.key);
    assert.deepEqual(sealing.open(wanted, key, at), content);
  });

  test(`an envelope does not open otherwise: ${about}`, () => {
    const turned = (data) => Uint8Array.from(data, (byte, i) => (i === 5 ? byte ^ 1 : byte));
    const other = sealing.contextOf({ ...wire.openMessage(unhex(bytes), ['sealed'], sealedContext), nonce: 9n });
    assert.equal(sealing.openShare(wanted, 0, seedOf(1), at), null);
    assert.equal(sealing.openShare(wanted, 0, seedOf(0), other), null);
    assert.equal(refusal(() => sealing.open(wanted, turned(key), at)), 'wrong_key');
    assert.equal(refusal(() => sealing.open(wanted, key, other)), 'wrong_key');
    assert.equal(refusal(() => sealing.open({ ...wanted, box: turned(wanted.box) }, key, at)), 'wrong_key');
  });
}

/** Every choice of `size` of the items. */
function subsets(items, size) {
  if (size === 0) return [[]];
  return items.flatMap((item, i) => subsets(items.slice(i + 1), size - 1).map((rest) => [item, ...rest]));
}

test('a one-time key of no point that hides anything', () => {
  const [wanted] = envelopes.good.map(({ envelope }) => value(sealing.ENVELOPE, envelope)), prime = 2n ** 255n - 19n;
  // The last two are the coordinates of the points of order 8.
  const eighth = [325606250916557431795983626356110631294008115727848805560023387167927233504n,
    39382357235489614581723060781553021112529911719440698176882885853963445705823n];
  const problem = (u) => sealing.envelopeProblem({ ...wanted, one_time: bigEndian(u, 32).reverse() }, envelopes.sealed_bytes);
  for (const u of [0n, 1n, prime - 1n, ...eighth, prime, prime + 9n, 2n ** 255n + 9n]) assert.match(problem(u), /one_time/);
  assert.equal(problem(9n), null);
});

test('content that is padded in another way is none', () => {
  const [example] = envelopes.good, wanted = value(sealing.ENVELOPE, example.envelope), [key, at] = [unhex(example.key), unhex(example.context)];
  const box = (padded) => {
    const cipher = createCipheriv('chacha20-poly1305', key, new Uint8Array(12), { authTagLength: 16 }).setAAD(at, { plaintextLength: padded.length });
    return join(cipher.update(padded), cipher.final(), cipher.getAuthTag());
  };
  const padded = (length, last) => join(bigEndian(length, 2), Uint8Array.of(0x90), new Uint8Array(92), Uint8Array.of(last));
  const opened = (data) => sealing.open({ ...wanted, box: box(data) }, key, at);
  assert.deepEqual(opened(padded(1, 0)), Uint8Array.of(0x90));
  assert.equal(refusal(() => opened(padded(1, 1))), 'malformed');
  assert.equal(refusal(() => opened(padded(95, 0))), 'malformed');
});

for (const { what, body, code } of envelopes.refused) {
  test(`refused envelope: ${what}`, () => {
    const said = decode(wire.KINDS.sealed[1], unhex(body));
    const bytes = wire.signMessage(unhex(envelopes.seed), 'sealed', said);
    assert.equal(refusal(() => wire.openMessage(bytes, ['sealed'], sealedContext)), code);
  });
}

test('votes and proposals', () => {
  const { chain_id: chain, seed, good } = load('consensus');
  const vote = [...['kind', 'height', 'round'].map((name) => [name, 'int']), ['block_hash', { nil: 'bytes' }], ['validator', 'int'], ['signature', 'bytes']];
  const proposal = [['height', 'int'], ['round', 'int'], ['block_hash', 'bytes'], ['valid_round', 'int'], ['proposer', 'int'],
    ['signature', 'bytes'], ['block', 'bytes'], ['pol', { list: vote }]];
  for (const { type, fields, sign_bytes: covered, bytes } of good) {
    const shape = type === 'vote' ? vote : proposal, message = value(shape, fields);
    assert.deepEqual(decode(shape, unhex(bytes)), message);
    assert.equal(hex(encode(shape, message)), bytes);
    let data = proof.voteBytes(Number(message.kind ?? 0x20), unhex(chain), message.height, message.round, message.block_hash);
    if (type === 'proposal') data = join(data, unhex(BigInt.asUintN(32, message.valid_round).toString(16).padStart(8, '0')));
    assert.equal(hex(join(ascii('wattswap/cons/1\0'), data)), covered);
    assert.equal(hex(sign(unhex(seed), 'wattswap/cons/1\0', data)), fields.signature);
    assert.ok(verify(publicKeyOf(unhex(seed)), 'wattswap/cons/1\0', data, message.signature));
  }
});

test('Merkle trees', () => {
  const { good, refused, another_root: others } = load('merkle');
  const rootOf = (leaf, index, size, path) =>
    hex(proof.rootFromPath(proof.leafHash(Uint8Array.of(leaf)), BigInt(index), BigInt(size), unhex(path)));
  assert.equal(good[0].root, hex(sha256()));
  for (const { size, root } of good) {
    assert.equal(hex(proof.rootOf([...Array(size).keys()].map((i) => proof.leafHash(Uint8Array.of(i))))), root);
  }
  for (const { size, root, paths } of good) paths.forEach((path, i) => assert.equal(rootOf(i, i, size, path), root));
  for (const { what, leaf, index, size, path } of refused) assert.equal(refusal(() => rootOf(leaf, index, size, path)), 'bad_proof', what);
  for (const { what, leaf, index, size, path, root } of others) {
    assert.notEqual(rootOf(leaf, index, size, path), root, what);
  }
});

const chain = load('chain'), genesis = proof.openGenesis(unhex(chain.genesis.bytes));

test('genesis, transaction, header, certificate', () => {
  assert.equal(hex(genesis.chainId), chain.genesis.chain_id);
  const tx = value(proof.TX, chain.tx.fields), header = value(proof.HEADER, chain.header.fields);
  assert.equal(hex(encode(proof.TX, tx)), chain.tx.bytes);
  assert.equal(hex(sha256(encode(proof.TX, tx))), chain.tx.id);
  assert.equal(hex(proof.leafHash(join(Uint8Array.of(8), encode(proof.TX, tx)))), chain.tx.leaf);
  assert.equal(hex(join(ascii('wattswap/tx/1\0'), proof.txSignBytes(tx))), chain.tx.sign_bytes);
  assert.equal(hex(encode(proof.HEADER, header)), chain.header.bytes);
  assert.equal(hex(proof.blockHash(header)), chain.header.block_hash);
  const cert = decode(proof.CERT, unhex(chain.cert.bytes));
  assert.deepEqual(cert, value(proof.CERT, chain.cert.fields));
  proof.checkCert(cert, genesis.authorities, genesis.chainId);
});

test('leaves of homes, with and without a meter key', () => {
  const i64 = (number) => BigInt(number).toString(16).padStart(16, '0');
  for (const { fields: home, leaf } of chain.homes) {
    const numbers = [home.from_s, home.to_s, home.import_capacity_w, home.export_capacity_w].map(i64).join('');
    assert.equal(hex(proof.leafHash(unhex(`01${home.household}${home.key}${numbers}${home.meter_key}`))), leaf);
  }
});

test('proofs', () => {
  for (const { account, entry, salt, leaf, batch, bytes } of chain.proofs) {
    const line = proof.checkProof(unhex(bytes), genesis), settled = proof.checkBatchProof(unhex(batch), genesis);
    assert.equal(line.account, account);
    assert.deepEqual([settled.height, settled.interval_start], [line.height, line.interval_start]);
    assert.equal(hex(proof.leafHash(unhex(`07${salt}${entry}`))), leaf);
  }
});

test('closings', () => {
  const { fields, seed, sign_bytes: covered, bytes } = load('promises').closing, closing = value(proof.CLOSING, fields);
  assert.equal(hex(encode(proof.CLOSING, closing)), bytes);
  assert.equal(hex(join(ascii('wattswap/closing/1\0'), proof.closingSignBytes(closing))), covered);
  assert.equal(hex(sign(unhex(seed), 'wattswap/closing/1\0', proof.closingSignBytes(closing))), fields.signature);
  assert.ok(verify(closing.validator, 'wattswap/closing/1\0', proof.closingSignBytes(closing), closing.signature));
});

for (const { what, bytes, code } of chain.refused) {
  test(`refused proof: ${what}`, () => assert.equal(refusal(() => proof.checkProof(unhex(bytes), genesis)), code));
}
