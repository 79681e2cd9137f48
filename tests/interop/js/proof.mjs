// The offline check of a household's own settlement line: it trusts the bytes of the genesis and nothing else.
import { ascii, bigEndian, decode, encode, join, Refused, same } from './codec.mjs';
import { sha256, verify } from './crypto.mjs';
import { PRICE } from './wire.mjs';

export const COLUMNS = ['import_wh', 'export_wh', 'bought_wh', 'sold_wh', 'local_wh', 'retail_import_wh',
  'retail_export_wh', 'loss_wh', 'trade_nano', 'imbalance_nano', 'retail_nano', 'grid_fee_nano'];
const SYSTEM_ACCOUNTS = 3n, PROOF_MAX = 128 * 1024, TX_MAX = 64 * 1024, GENESIS_MAX = 64 * 1024, PRECOMMIT = 2;
const LEAF_ENTRY = 0x07, LEAF_TX = 0x08, LEAF_MODULE = 0x0a, LEAF_BUCKET = 0x0c, LEAF_INCLUSION = 0x0e, DEPTH = 16;
const MODULES = ['accounts', 'evidence', 'governance', 'guarantees', 'meters', 'settlement'], EMPTY = new Uint8Array(32);

const of = (type, names) => names.split(' ').map((name) => [name, type]);
const GOVERNED = of('int', 'tx_quota quota_window proposal_heights evidence_heights guarantee_days');
export const PARAMS = [['currency', 'str'], ...of('int', 'minutes max_energy_wh max_price_micro_per_kwh max_node'),
  ['order_kinds', { list: 'int' }], ...of('int', 'rounds sealed_bytes'), ['rules_hash', 'bytes'], ['full_entries', 'int'], ['governed', GOVERNED]];
export const GENESIS = [['version', 'int'], ['name', 'str'], ['time_ms', 'int'], ['params', PARAMS],
  ['authorities', { list: 'bytes' }], ['operators', { list: 'bytes' }], ['members_root', 'bytes'], ['members', 'int'],
  ['accounts', { list: 'str' }], ['modules', { list: 'str' }]];
export const TX = [['version', 'int'], ...of('bytes', 'chain_id sender'), ...of('int', 'nonce valid_until_height'),
  ...of('str', 'module method'), ...of('bytes', 'args signature')];
export const HEADER = [['version', 'int'], ['chain_id', 'bytes'], ...of('int', 'height time_ms'), ['parent_hash', 'bytes'],
  ['proposer_idx', 'int'], ...of('bytes', 'validators_hash next_validators_hash params_hash tx_root evidence_root state_root receipts_root')];
export const CERT = [...of('int', 'height round'), ...of('bytes', 'block_hash bitmap signatures')];
const PAIR = of('bytes', 'key value');
const ENTRY_PROOF = [['bucket', [['entries', { list: PAIR }], ['filled', 'int'], ['siblings', 'bytes']]], ['module_roots', { list: 'bytes' }]];
const KEYS = [['keys', { list: 'bytes' }]];
const CHANGE = [['header', HEADER], ['cert', CERT], ['validators', { list: 'bytes' }]];
export const BATCH_PROOF = [['version', 'int'], ['tx', TX], ...of('int', 'tx_index tx_count'), ['tx_path', 'bytes'],
  ['header', HEADER], ['cert', CERT], ['changes', { list: CHANGE }], ['operators', { nil: ENTRY_PROOF }]];
export const BUNDLE = [...of('bytes', 'entry salt batch_path'), ['batch', BATCH_PROOF]];
export const OPENING = [['salt', 'bytes'], ['nonce', 'int'], ...of('bytes', 'message_id path')];
const PROMISED = of('int', 'participant nonce');
export const CLOSING = [['version', 'int'], ['chain_id', 'bytes'], ...of('int', 'interval_start slot'), ['promised', { list: PROMISED }],
  ...of('bytes', 'validator signature')];
export const BATCH = [...of('int', 'interval_start orders members'), ...of('bytes', 'book_root clearing_root postings_root prices_root'),
  ['prices', 'int'], ['price', { nil: PRICE }], ['traded_wh', 'int'], ['totals', { list: { list: 'wide' } }],
  ...of('bytes', 'blob_hash inclusion_root entries next_collector closed_hash'), ['unopened', { list: 'int' }]];

const fail = (detail, code = 'bad_proof') => { throw new Refused(code, detail); };

export function openGenesis(bytes) {
  const genesis = decode(GENESIS, bytes, GENESIS_MAX);
  if (genesis.version !== 7n) fail(`genesis version ${genesis.version}`, 'wrong_version');
  const { max_energy_wh: energy, max_price_micro_per_kwh: price, max_node: node, order_kinds: kinds, rounds, sealed_bytes: sealed } = genesis.params;
  return { ...genesis, chainId: sha256(bytes), limits: { energy, price, node, kinds, rounds, sealed } };
}

export const leafHash = (data) => sha256(Uint8Array.of(0), data);

/** The root that an inclusion path leads to (RFC 9162, 2.1.3.2). */
export function rootFromPath(leaf, index, size, path) {
  if (index < 0n || index >= size) fail(`leaf ${index} of a tree of ${size}`);
  if (path.length % 32) fail('a path step of another length than a hash');
  let node = leaf, last = size - 1n;
  for (let at = 0; at < path.length; at += 32) {
    const step = path.subarray(at, at + 32);
    if (last === 0n) fail('a path that is too long');
    if (index & 1n || index === last) {
      node = sha256(Uint8Array.of(1), step, node);
      while (!(index & 1n) && index) { index >>= 1n; last >>= 1n; }
    } else node = sha256(Uint8Array.of(1), node, step);
    index >>= 1n; last >>= 1n;
  }
  return last === 0n ? node : fail('a path that is too short');
}

export const txSignBytes = (tx) => encode(TX.slice(0, -1), tx);
export const blockHash = (header) => sha256(ascii('blk'), encode(HEADER, header));
export const validatorsHash = (keys) => sha256(ascii('val'), encode({ list: 'bytes' }, keys));
export const quorum = (n) => Math.floor((2 * n) / 3) + 1;

export function voteBytes(kind, chainId, height, round, blockHashOrNil) {
  const flag = Uint8Array.of(blockHashOrNil ? 1 : 0);
  return join(Uint8Array.of(kind), chainId, bigEndian(height, 8), bigEndian(round, 4), flag, blockHashOrNil ?? new Uint8Array(32));
}

export function checkCert(cert, keys, chainId) {
  const bad = (detail) => fail(detail, 'bad_certificate'), n = keys.length;
  if (cert.bitmap.length !== Math.ceil(n / 8)) bad('a bitmap of another length');
  const who = [...cert.bitmap.keys()].flatMap((byte) => [...Array(8).keys()].filter((bit) => (cert.bitmap[byte] >> bit) & 1).map((bit) => 8 * byte + bit));
  if (who.some((index) => index >= n)) bad('a signer that is no authority');
  if (cert.signatures.length !== 64 * who.length || who.length < quorum(n)) bad(`${who.length} of ${n} signatures`);
  if (cert.block_hash.length !== 32 || cert.round < 0n || cert.round >= 2n ** 32n || cert.height < 0n) bad('a field outside its range');
  const data = voteBytes(PRECOMMIT, chainId, cert.height, cert.round, cert.block_hash);
  who.forEach((index, i) => verify(keys[index], 'wattswap/cons/1\0', data, cert.signatures.subarray(64 * i, 64 * i + 64)) || bad(`signature of authority ${index}`));
}

function checkHeader(header, cert, keys, genesis) {
  if (header.version !== 1n || !same(header.chain_id, genesis.chainId)) fail('a header of another chain', 'wrong_chain');
  if (!same(header.validators_hash, validatorsHash(keys))) fail('a block by other authorities');
  const name = blockHash(header), n = BigInt(keys.length);
  if (!same(cert.block_hash, name) || cert.height !== header.height) fail('a certificate for another block', 'bad_certificate');
  checkCert(cert, keys, genesis.chainId);
  const waited = (((header.proposer_idx - header.height) % n) + n) % n;
  if (header.proposer_idx < 0n || header.proposer_idx >= n || waited > cert.round) fail('it was not this proposer\'s turn');
}

/** Returns the line {interval_start, account, height, values} that a proof proves; throws a Refused otherwise. */
export function checkProof(bytes, genesis) {
  const bundle = decode(BUNDLE, bytes, PROOF_MAX);
  return checkEntry(bundle, checkBatch(bundle.batch, genesis), genesis);
}

/** Returns what a proof of a batch shows: its arguments, {height, block_hash, operators, validators}; throws a Refused otherwise. */
export const checkBatchProof = (bytes, genesis) => checkBatch(decode(BATCH_PROOF, bytes, PROOF_MAX), genesis);

function checkBatch(batch, genesis) {
  if (batch.version !== 5n) fail(`version ${batch.version}`);
  let keys = genesis.authorities, height = 0n;
  for (const change of batch.changes) {
    if (change.header.height <= height || change.header.height >= batch.header.height) fail('changes out of order');
    checkHeader(change.header, change.cert, keys, genesis);
    if (!same(change.header.next_validators_hash, validatorsHash(change.validators))) fail('other authorities were announced');
    keys = change.validators; height = change.header.height;
  }
  checkHeader(batch.header, batch.cert, keys, genesis);
  const operators = batch.operators ? operatorsIn(batch.header.state_root, batch.operators, genesis) : genesis.operators;
  const args = checkTx(batch, genesis, [...operators, ...keys]);
  return { ...args, height: batch.header.height, block_hash: blockHash(batch.header), operators, validators: keys };
}

/** What a validator signs who closes a slot of an interval. */
export const closingSignBytes = (closing) => encode(CLOSING, { ...closing, signature: new Uint8Array(0) });

function checkTx({ tx, tx_index: index, tx_count: count, tx_path: path, header }, genesis, known) {
  const leaf = leafHash(join(Uint8Array.of(LEAF_TX), encode(TX, tx)));
  if (!same(rootFromPath(leaf, index, count, path), header.tx_root)) fail('the transaction is not in the block');
  if (tx.module !== 'settlement' || tx.method !== 'batch' || !same(tx.chain_id, genesis.chainId)) fail('not a settlement of this chain');
  if (!known.some((key) => same(key, tx.sender))) fail('not by an operator or authority');
  if (!verify(tx.sender, 'wattswap/tx/1\0', txSignBytes(tx), tx.signature)) fail('the transaction', 'wrong_signature');
  return decode(BATCH, tx.args, TX_MAX);
}

/** The operators in a state, which a proof of their entry shows. */
function operatorsIn(stateRoot, { bucket, module_roots: roots }, genesis) {
  const modules = [...MODULES, ...genesis.modules].sort();
  if (roots.length !== modules.length) fail('another number of modules');
  const leaves = roots.map((root, i) => leafHash(join(Uint8Array.of(LEAF_MODULE), ascii(modules[i]), root)));
  if (!same(rootOf(leaves), stateRoot)) fail('the modules do not lead to the state root');
  const name = ascii('operators'), place = Buffer.from(sha256(name)).readUInt16BE(0);
  if (!same(bucketRoot(bucket, place), roots[modules.indexOf('governance')])) fail('the bucket does not lead to the module root');
  const found = bucket.entries.find((entry) => same(entry.key, name));
  return found ? decode(KEYS, found.value).keys : fail('no list of operators');
}

function bucketRoot({ entries, filled, siblings }, place) {
  let node = entries.length ? leafHash(join(Uint8Array.of(LEAF_BUCKET), encode({ list: PAIR }, entries))) : EMPTY, at = 0;
  if (filled < 0n || filled >= 2n ** BigInt(DEPTH)) fail('siblings outside the tree');
  for (let level = 0; level < DEPTH; level += 1) {
    let sibling = EMPTY;
    if ((filled >> BigInt(level)) & 1n) {
      sibling = siblings.subarray(at, (at += 32));
      if (sibling.length !== 32 || same(sibling, EMPTY)) fail('a sibling that is cut off, or empty and marked as filled');
    }
    const pair = (place >> level) & 1 ? [sibling, node] : [node, sibling];
    node = pair.every((one) => same(one, EMPTY)) ? EMPTY : sha256(Uint8Array.of(1), ...pair);
  }
  return at === siblings.length ? node : fail('more siblings than are marked');
}

export function rootOf(leaves) {
  if (leaves.length < 2) return leaves[0] ?? sha256();
  let split = 1;
  while (2 * split < leaves.length) split *= 2;
  return sha256(Uint8Array.of(1), rootOf(leaves.slice(0, split)), rootOf(leaves.slice(split)));
}

function checkEntry({ entry, salt, batch_path: path }, args, genesis) {
  if (entry.length < 4 || salt.length !== 16) fail('an entry or salt of another length');
  const view = Buffer.from(entry), account = view.readUInt32BE(0);
  // What one home has fits into 64 bits, sums over all of them have 128.
  const size = BigInt(account) < args.members ? 8 : 16, accounts = args.members + BigInt(genesis.accounts.length) + SYSTEM_ACCOUNTS;
  if (entry.length !== 4 + size * COLUMNS.length) fail('an entry of another length');
  const leaf = leafHash(join(Uint8Array.of(LEAF_ENTRY), salt, entry));
  const root = rootFromPath(leaf, BigInt(account), accounts, path);
  if (!same(root, args.postings_root)) fail('the entry is not in the batch');
  const number = (at) => BigInt.asIntN(8 * size, BigInt(`0x${view.subarray(at, at + size).toString('hex')}`));
  const values = Object.fromEntries(COLUMNS.map((name, i) => [name, number(4 + size * i)]));
  return { interval_start: args.interval_start, account, height: args.height, values };
}

/** The leaf of a household in a slot of a settled interval: behind all rounds, the slot of its reading. */
export function checkOpening(data, settled, account, slot, { members, limits }) {
  const opening = decode(OPENING, data, PROOF_MAX);
  if (opening.salt.length !== 16 || opening.message_id.length !== 32) fail('a salt or message id of a wrong length');
  const nonce = bigEndian(BigInt.asUintN(64, opening.nonce), 8);
  const leaf = leafHash(join(Uint8Array.of(LEAF_INCLUSION), opening.salt, nonce, opening.message_id));
  const index = BigInt(slot) * members + BigInt(account), size = members * (limits.rounds + 1n);
  if (!same(rootFromPath(leaf, index, size, opening.path), settled.inclusion_root)) fail('the leaf is not in the batch');
  return opening;
}
