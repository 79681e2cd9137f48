// A household as a foreign peer: hands in orders and readings, receives results, checks its own proofs.
// Its settings come as one JSON line on stdin, its events go out as JSON lines; it ends when stdin does.
import { createInterface } from 'node:readline';
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { gossipsub } from '@libp2p/gossipsub';
import { identify } from '@libp2p/identify';
import { ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { createLibp2p } from 'libp2p';
import { Refused, decode, hex, unhex } from './codec.mjs';
import { Collectors } from './collectors.mjs';
import { publicKeyOf } from './crypto.mjs';
import { checkBatchProof, checkOpening, checkProof, openGenesis } from './proof.mjs';
import * as wire from './wire.mjs';

const PAUSE_MS = 50, PATIENCE_MS = 30_000, GOSSIP_TRIES = 100, FAILOVER_MS = 3_000;
const pause = () => new Promise((done) => setTimeout(done, PAUSE_MS));
const say = (event, fields = {}) =>
  console.log(JSON.stringify({ event, ...fields }, (_, value) => (typeof value === 'bigint' ? Number(value) : value)));

class Household {
  constructor(settings) {
    this.seed = unhex(settings.seed);
    this.id = settings.household;
    this.genesis = openGenesis(unhex(settings.genesis));
    this.account = settings.account;
    [this.validators, this.height] = [this.genesis.authorities, 0n];
    this.said = new Map();
    this.saidFor = -1n;
    this.receipts = new Map();
    this.results = new Map();
    this.context = {
      chainId: this.genesis.chainId,
      households: new Map([[this.id, publicKeyOf(this.seed)]]),
      collectors: [...this.genesis.operators, ...this.genesis.authorities],
      limits: this.genesis.limits,
    };
  }

  async join(settings) {
    const topic = wire.resultTopic(this.genesis.chainId);
    this.node = await createLibp2p({
      privateKey: await generateKeyPairFromSeed('Ed25519', this.seed),
      transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()],
      services: {
        identify: identify(), ping: ping(),
        pubsub: gossipsub({ allowPublishToZeroTopicPeers: true, heartbeatInterval: 1000, globalSignaturePolicy: 'StrictSign' }),
      },
    });
    const { pubsub } = this.node.services;
    pubsub.addEventListener('message', ({ detail }) => detail.topic === topic && this.receive(detail.data));
    pubsub.subscribe(topic);
    // No wait for a mesh: a collector joins the topic with its first result, and what is missed is asked for.
    const found = (keys) => keys.flatMap((key) => settings.collectors.filter((one) => one.key === hex(key)))
      .map(({ key, address }) => ({ key: unhex(key), address }));
    const { operators, authorities } = this.genesis;
    this.collectors = new Collectors(this.node, found(operators), found(authorities), settings.failover_ms ?? FAILOVER_MS);
    this.connection = await until(() => this.collectors.connect());
  }

  receive(data) {
    try {
      const result = this.readResult(data);
      this.results.set(result.interval_start, result);
    } catch (error) { say('gossip_refused', { code: error.code ?? String(error) }); }
  }

  readResult(data) {
    const result = checkBatchProof(data, this.genesis);
    const step = this.genesis.params.minutes * 60n;
    if (result.height > this.height) [this.validators, this.height] = [result.validators, result.height];
    this.collectors.name(result.next_collector, result.height, result.interval_start / step + 1n);
    return result;
  }

  /** What goes out in the place of an order, on a chain whose homes seal theirs; else the message itself. */
  sealed(name, message) {
    const { limits } = this.genesis;
    if (!limits.sealed || name !== 'order') return [name, message];
    return ['sealed', wire.sealMessage(this.seed, message, this.validators, limits.sealed)];
  }

  async handIn(...said) {
    const [name, message] = this.sealed(...said);
    const id = hex(wire.messageId(name, message)), signed = wire.signMessage(this.seed, name, message);
    if (message.interval_start !== this.saidFor) {
      this.saidFor = message.interval_start;
      this.said.clear();
      this.receipts.clear();
    }
    this.said.set(id, { signed, protocol: name === 'reading' ? '/wattswap/reading/1' : '/wattswap/bid/1' });
    const witnesses = this.witness(id);
    const answer = await until(async () => {
      const { key } = this.collectors.current;
      if (!await this.sayAll()) return null;
      const code = this.receipts.get(`${hex(key)} ${id}`);
      return code ? { code, signed: hex(signed), collector: hex(key) } : null;
    });
    return { ...answer, witnesses: await witnesses };
  }

  /** Gives a message to f + 1 validators, whose promise binds whoever settles the interval; returns their keys. */
  async witness(id) {
    const { authorities } = this.collectors, promised = new Set(), refused = new Set();
    const wanted = Math.min(Math.floor((this.genesis.authorities.length - 1) / 3) + 1, authorities.length);
    for (const end = Date.now() + PATIENCE_MS; promised.size < wanted && Date.now() < end; await pause()) {
      for (const one of authorities) {
        const key = hex(one.key);
        if (promised.size === wanted || promised.has(key) || refused.has(key)) continue;
        try {
          const { signed, protocol } = this.said.get(id);
          const context = { ...this.context, collectors: [one.key] };
          const code = this.codeOf(await this.collectors.requestOf(one, protocol, signed), id, context);
          if (code === 'accepted' || code === 'replaced') promised.add(key);
          else if (code !== 'early') refused.add(key);
        } catch (error) { if (error instanceof Refused) refused.add(key); }
      }
    }
    return [...promised];
  }

  /** The code of a receipt for a message of this home. */
  codeOf(data, id, context) {
    const receipt = wire.openMessage(data, ['receipt'], context);
    if (hex(receipt.message_id) !== id) throw new Refused('wrong_kind', 'a receipt for another message');
    return wire.RECEIPT_CODES[Number(receipt.code)];
  }

  /** Hands in to the current collector what it has not got of this interval; false while it is too early. */
  async sayAll() {
    const { key } = this.collectors.current;
    for (const [id, { signed, protocol }] of this.said) {
      if (this.receipts.has(`${hex(key)} ${id}`)) continue;
      const code = this.codeOf(await this.collectors.request(protocol, signed), id, this.context);
      if (code === 'early') return false;
      this.receipts.set(`${hex(key)} ${id}`, code);
    }
    return true;
  }

  /** The result of an interval by gossip, or asked for where gossip does not bring it. */
  async result(start) {
    for (let i = 0; i < GOSSIP_TRIES && !this.results.has(start); i += 1) await pause();
    if (this.results.has(start)) return { by: 'gossip', result: this.results.get(start) };
    return { by: 'request', result: await this.askResult(start) };
  }

  async askResult(start) {
    return this.readResult(await this.ask('/wattswap/result/2', start));
  }

  /** Asks for something of an interval until it is there: 0 bytes mean "not yet". */
  ask(protocol, start, slot = null) {
    const { chainId } = this.genesis;
    const question = slot === null ? wire.ask(chainId, start) : wire.askSlot(chainId, start, slot);
    return until(async () => {
      if (start === this.saidFor) await this.sayAll();
      const bytes = await this.collectors.request(protocol, question);
      return bytes.length ? bytes : null;
    });
  }

  /** Hands in an order with one bit of its signature turned over; returns the code of the refusal. */
  async forge(order) {
    const signed = wire.signMessage(this.seed, ...this.sealed('order', order));
    signed[signed.length - 40] ^= 1;
    return refusal(() => this.collectors.request('/wattswap/bid/1', signed));
  }

  /** The own leaf of a slot in the batch of an interval, and whether it has the message that was said. */
  async inclusion(start, slot, result) {
    const opening = checkOpening(await this.ask('/wattswap/inclusion/3', start, slot), result, this.account, slot, this.genesis);
    return { slot, nonce: opening.nonce, kept: this.said.has(hex(opening.message_id)) };
  }

  /** What was bought less what was sold up to a round, or the code of the refusal where the market has no rounds. */
  async position(start, round) {
    const about = decode(wire.POSITION, await this.ask('/wattswap/position/3', start, round), 4096);
    if (about.interval_start !== start || about.round !== BigInt(round)) throw new Refused('out_of_range', 'another round');
    return about.bought_wh - about.sold_wh;
  }

  async prove(start) {
    const proof = await this.ask('/wattswap/line/1', start);
    const line = checkProof(proof, this.genesis);
    if (line.account !== this.account) throw new Error(`the line of account ${line.account}`);
    return { line, proof };
  }
}

/** Repeats an attempt while it gives null or the way to the peer fails; what is idempotent may be repeated. */
async function until(attempt) {
  for (const end = Date.now() + PATIENCE_MS; ;) {
    try {
      const answer = await attempt();
      if (answer !== null) return answer;
    } catch (error) { if (error instanceof Refused || Date.now() > end) throw error; }
    if (Date.now() > end) throw new Error('no answer in time');
    await pause();
  }
}

async function refusal(action) {
  try { await action(); } catch (error) { if (error instanceof Refused) return error.code; throw error; }
  return 'taken';
}

/** Turns over one bit in each of `count` places of a proof; returns how many of these were refused. */
async function tamper(proof, genesis, count) {
  let refused = 0;
  for (let i = 0; i < count; i += 1) {
    const changed = Uint8Array.from(proof);
    changed[Math.floor((i * proof.length) / count)] ^= 1 << i % 8;
    if (await refusal(() => checkProof(changed, genesis)) !== 'taken') refused += 1;
  }
  return refused;
}

async function live(settings) {
  const home = new Household(settings);
  await home.join(settings);
  say('joined', { peer: home.node.peerId.toString(), chain: hex(home.genesis.chainId) });
  const { minutes } = home.genesis.params;
  for (let i = 0; i < settings.intervals; i += 1) {
    const start = BigInt(settings.first) + BigInt(i) * minutes * 60n;
    const about = { version: 4, chain_id: home.genesis.chainId, interval_start: start, minutes, household: home.id, nonce: i };
    const order = { ...about, round: 0, orders: [{ side: 1, energy_wh: 300 + i, limit_micro_per_kwh: 250_000 - i, node: 0, kind: 0, terms: [] }] };
    if (i === 0) say('forged', { code: await home.forge(order), connection: home.connection.status });
    say('order', { number: i, ...await home.handIn('order', order) });
    say('reading', { number: i, ...await home.handIn('reading', { ...about, import_wh: 310 + i, export_wh: 0, quality: 0 }) });
    const { by, result } = await home.result(start);
    const asked = hex((await home.askResult(start)).block_hash);
    say('result', { number: i, by, asked, height: result.height, block_hash: hex(result.block_hash), next_collector: hex(result.next_collector) });
    for (const slot of [0, Number(home.genesis.limits.rounds)]) say('inclusion', { number: i, ...await home.inclusion(start, slot, result) });
    if (settings.positions) say('position', { number: i, wh: await home.position(start, 0) });
    const { line, proof } = await home.prove(start);
    say('line', { number: i, ...line, tampered: settings.tampered, refused: await tamper(proof, home.genesis, settings.tampered) });
  }
  say('done', { connection: home.connection.status });
  return home;
}

let home;
for await (const text of createInterface({ input: process.stdin })) home ??= await live(JSON.parse(text));
await home?.node.stop();
process.exit(0);
