// The offline check of a settlement proof: nothing is trusted but the bytes of the genesis.
import { BIN, INT, Refused, STR, decode, encode, list, optional, record } from './codec.mjs';
import { PriceLine, hex, sha256, verify } from './wire.mjs';

const MAX_PROOF_BYTES = 128 * 1024, MAX_GENESIS_BYTES = 1024 * 1024, MAX_TX_BYTES = 64 * 1024;
const GENESIS_VERSION = 2, BLOCK_VERSION = 1, PROOF_VERSION = 2;
const PRECOMMIT = 2, LEAF_TX = 8, LEAF_ENTRY = 7;
const SIGN_TX = Buffer.from('wattswap/tx/1\0'), SIGN_CONSENSUS = Buffer.from('wattswap/cons/1\0');
const SYSTEM_ACCOUNTS = 3;
export const COLUMNS = [
  'import_wh', 'export_wh', 'bought_wh', 'sold_wh', 'local_wh', 'retail_import_wh', 'retail_export_wh',
  'trade_nano', 'imbalance_nano', 'retail_nano', 'grid_fee_nano',
];
const ENTRY_BYTES = 12 + 8 * COLUMNS.length;

const Governed = record('Governed', {
  tx_quota: INT, quota_window: INT, proposal_heights: INT, evidence_heights: INT, certificate_days: INT,
});
const Params = record('Params', {
  currency: STR, minutes: INT, max_energy_wh: INT, max_price_micro_per_kwh: INT, max_node: INT, rules_hash: BIN,
  full_entries: INT, governed: Governed,
});
export const Genesis = record('Genesis', {
  version: INT, name: STR, time_ms: INT, params: Params, authorities: list(BIN), operators: list(BIN),
  roster_root: BIN, members: INT, household_keys: list(BIN),
});
const TX_CONTENT = {
  version: INT, chain_id: BIN, sender: BIN, nonce: INT, valid_until_height: INT, module: STR, method: STR, args: BIN,
};
const TxContent = record('TxContent', TX_CONTENT);
export const Tx = record('Tx', { ...TX_CONTENT, signature: BIN });
export const Header = record('Header', {
  version: INT, chain_id: BIN, height: INT, time_ms: INT, parent_hash: BIN, proposer_idx: INT, validators_hash: BIN,
  next_validators_hash: BIN, params_hash: BIN, tx_root: BIN, evidence_root: BIN, state_root: BIN, receipts_root: BIN,
});
export const CommitCert = record('CommitCert', {
  height: INT, round: INT, block_hash: BIN, bitmap: BIN, signatures: BIN,
});
const SetChange = record('SetChange', { header: Header, cert: CommitCert, validators: list(BIN) });
export const ProofBundle = record('ProofBundle', {
  version: INT, entry: BIN, salt: BIN, batch_path: BIN, tx: Tx, tx_index: INT, tx_count: INT, tx_path: BIN,
  header: Header, cert: CommitCert, changes: list(SetChange),
});
export const BatchArgs = record('BatchArgs', {
  interval_start: INT, orders: INT, members: INT, book_root: BIN, clearing_root: BIN, postings_root: BIN,
  price: optional(PriceLine), traded_wh: INT, totals: list(list(INT)), blob_hash: BIN, inclusion_root: BIN,
  entries: BIN,
});

/** A genesis and the chain id, which is the hash of its bytes. */
export function openGenesis(data) {
  const genesis = decode(Genesis, data, MAX_GENESIS_BYTES);
  if (genesis.version !== GENESIS_VERSION) throw new Refused('wrong_version', `genesis ${genesis.version}`);
  return { ...genesis, chainId: sha256(data) };
}

/** Check a proof and return the line it proves. */
export function checkProof(data, genesis) {
  const bundle = decode(ProofBundle, data, MAX_PROOF_BYTES);
  if (bundle.version !== PROOF_VERSION) throw bad(`version ${bundle.version}`);
  let validators = genesis.authorities, below = 0;
  for (const change of bundle.changes) {
    const { height, next_validators_hash: next } = change.header;
    if (!(below < height && height < bundle.header.height)) throw bad('changes that do not ascend');
    checkHeader(change.header, change.cert, validators, genesis);
    if (!next.equals(validatorsHash(change.validators))) throw bad(`block ${height} announces others`);
    [validators, below] = [change.validators, height];
  }
  const blockHash = checkHeader(bundle.header, bundle.cert, validators, genesis);
  const [batch, sender] = checkTx(bundle, genesis, validators);
  return { ...checkEntry(bundle, batch), height: bundle.header.height, block_hash: hex(blockHash), sender };
}

function checkHeader(header, cert, validators, genesis) {
  if (header.version !== BLOCK_VERSION || !header.chain_id.equals(genesis.chainId)) {
    throw new Refused('wrong_chain', hex(header.chain_id));
  }
  if (!header.validators_hash.equals(validatorsHash(validators))) throw bad('made by other authorities');
  const name = blockHash(header);
  if (!cert.block_hash.equals(name) || cert.height !== header.height) throw badCert('for another block');
  checkCert(cert, validators, genesis.chainId);
  const turn = (((header.proposer_idx - header.height) % validators.length) + validators.length) % validators.length;
  if (header.proposer_idx < 0 || header.proposer_idx >= validators.length || turn > cert.round) throw bad('not its turn');
  return name;
}

/** Check that a quorum of these authorities signed. */
export function checkCert(cert, validators, chainId) {
  const n = validators.length;
  const who = signers(cert.bitmap);
  if (cert.bitmap.length !== Math.ceil(n / 8) || who.at(-1) >= n) throw badCert('a bitmap of another length');
  if (cert.signatures.length !== 64 * who.length) throw badCert('another number of signatures');
  if (who.length < Math.floor((2 * n) / 3) + 1) throw badCert(`${who.length} of ${n} authorities signed`);
  if (cert.block_hash.length !== 32 || cert.round < 0 || cert.round >= 2 ** 32 || cert.height < 0) {
    throw badCert('a field outside its range');
  }
  const data = voteBytes(PRECOMMIT, chainId, cert.height, cert.round, cert.block_hash);
  who.forEach((index, i) => {
    const signature = cert.signatures.subarray(64 * i, 64 * i + 64);
    if (!verify(validators[index], SIGN_CONSENSUS, data, signature)) throw badCert(`authority ${index} did not sign`);
  });
}

/** What a vote signs: fixed width, no codec. */
export function voteBytes(kind, chainId, height, round, votedHash) {
  const where = Buffer.alloc(12);
  where.writeBigUInt64BE(BigInt(height), 0);
  where.writeUInt32BE(round, 8);
  return Buffer.concat([
    Buffer.of(kind), chainId, where, Buffer.of(votedHash ? 1 : 0), votedHash ?? Buffer.alloc(32),
  ]);
}

/** What a proposal signs: a vote's bytes of kind 0x20 and the valid round. */
export function proposalBytes(chainId, height, round, votedHash, validRound) {
  const last = Buffer.alloc(4);
  last.writeInt32BE(validRound);
  return Buffer.concat([voteBytes(0x20, chainId, height, round, votedHash), last]);
}

/** Indices of the authorities whose bit is set. */
export const signers = (bitmap) =>
  Array.from({ length: 8 * bitmap.length }, (_, i) => i).filter((i) => (bitmap[i >> 3] >> (i & 7)) & 1);

export const blockHash = (header) => sha256('blk', encode(Header, header));
export const validatorsHash = (keys) => sha256('val', encode(list(BIN), keys));
export const txId = (tx) => sha256(encode(Tx, tx));
export const txLeaf = (tx) => leafHash(Buffer.concat([Buffer.of(LEAF_TX), encode(Tx, tx)]));
export const txSignBytes = (tx) => Buffer.concat([SIGN_TX, encode(TxContent, tx)]);

function checkTx(bundle, genesis, validators) {
  const { tx } = bundle;
  const root = rootFromPath(txLeaf(tx), bundle.tx_index, bundle.tx_count, steps(bundle.tx_path));
  if (!root.equals(bundle.header.tx_root)) throw bad('the transaction is not in the block');
  if (tx.module !== 'settlement' || tx.method !== 'batch' || !tx.chain_id.equals(genesis.chainId)) {
    throw bad('not a settlement of this chain');
  }
  const place = (keys) => keys.findIndex((key) => key.equals(tx.sender));
  const [operator, authority] = [place(genesis.operators), place(validators)];
  if (operator < 0 && authority < 0) throw bad('not by an operator or an authority');
  if (!verify(tx.sender, SIGN_TX, encode(TxContent, tx), tx.signature)) {
    throw new Refused('wrong_signature', 'the transaction');
  }
  return [decode(BatchArgs, tx.args, MAX_TX_BYTES), operator >= 0 ? `operator ${operator}` : `authority ${authority}`];
}

function checkEntry(bundle, batch) {
  const { entry, salt } = bundle;
  if (entry.length !== ENTRY_BYTES || salt.length !== 16) throw bad('an entry or salt of another length');
  const start = entry.readBigInt64BE(0), account = entry.readUInt32BE(8);
  if (start !== BigInt(batch.interval_start)) throw bad('an entry of another interval');
  // The index stands in the entry: a leaf proves its own position, so nobody gets another's line.
  const leaf = leafHash(Buffer.concat([Buffer.of(LEAF_ENTRY), salt, entry]));
  const root = rootFromPath(leaf, account, batch.members + SYSTEM_ACCOUNTS, steps(bundle.batch_path));
  if (!root.equals(batch.postings_root)) throw bad('the entry is not in the batch');
  const values = Object.fromEntries(COLUMNS.map((name, i) => [name, entry.readBigInt64BE(12 + 8 * i).toString()]));
  return { interval_start: Number(start), account, values };
}

// --- Merkle trees of RFC 9162 -----------------------------------------------------------------------------

export const leafHash = (data) => sha256(Buffer.of(0), data);
const nodeHash = (left, right) => sha256(Buffer.of(1), left, right);

/** Root over leaf hashes. */
export function merkleRoot(leaves) {
  if (leaves.length === 0) return sha256('');
  let level = leaves;
  while (level.length > 1) {
    const pairs = Array.from({ length: level.length >> 1 }, (_, i) => nodeHash(level[2 * i], level[2 * i + 1]));
    level = level.length & 1 ? [...pairs, level.at(-1)] : pairs;
  }
  return level[0];
}

/** Root that an inclusion path leads to; all of the path must be used up. */
export function rootFromPath(leaf, index, size, path) {
  if (!(index >= 0 && index < size)) throw bad(`leaf ${index} of a tree of ${size}`);
  let node = leaf, at = index, last = size - 1;
  for (const step of path) {
    if (step.length !== 32) throw bad(`a step of ${step.length} bytes`);
    if (last === 0) throw bad('a path that is too long');
    if (at % 2 === 1 || at === last) {
      node = nodeHash(step, node);
      while (at % 2 === 0 && at > 0) [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
    } else {
      node = nodeHash(node, step);
    }
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  if (last !== 0) throw bad('a path that is too short');
  return node;
}

const steps = (joined) =>
  Array.from({ length: Math.ceil(joined.length / 32) }, (_, i) => joined.subarray(32 * i, 32 * i + 32));

const bad = (detail) => new Refused('bad_proof', detail);
const badCert = (detail) => new Refused('bad_certificate', detail);
