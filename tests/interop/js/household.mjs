// One home of a wattswap neighbourhood, written from docs/protocol.md alone.
//
//     node --import ./polyfill.mjs household.mjs WORK.json
//
// WORK.json: seed (hex), genesis (file), household, minutes, collectors [{key (hex), address}], hostile (true to
// try what must be refused), and intervals [{start, order {side, energy_wh, limit_micro_per_kwh} or null,
// reading {import_wh, export_wh}}]. It prints what happens as JSON lines and ends after the last interval.
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Refused, encode } from './codec.mjs';
import { Link, openNode } from './peer.mjs';
import { checkProof, openGenesis } from './proof.mjs';
import {
  IntervalQuery, Kind, PROTOCOLS, Receipt, VERSION, hex, identity, messageId, openMessage, resultTopic, signMessage,
} from './wire.mjs';

const PATIENCE_MS = 60_000, GOSSIP_PATIENCE_MS = 5_000, PAUSE_MS = 100;
const say = (what, facts = {}) => process.stdout.write(`${JSON.stringify({ what, ...facts })}\n`);

class Household {
  constructor(work, node) {
    this.work = work;
    this.node = node;
    this.key = identity(Buffer.from(work.seed, 'hex'));
    this.genesis = openGenesis(readFileSync(work.genesis));
    this.chainId = this.genesis.chainId;
    this.collectors = work.collectors.map(({ key, address }) => ({ key: Buffer.from(key, 'hex'), address }));
    this.links = Object.fromEntries(
      Object.entries(PROTOCOLS).map(([name, protocol]) => [name, new Link(node, this.collectors[0].address, protocol)]),
    );
    this.heard = new Map();
    this.news = Promise.withResolvers();
  }

  /** Listen to results and connect. */
  async join() {
    const { pubsub } = this.node.services;
    const topic = resultTopic(this.chainId);
    pubsub.subscribe(topic);
    pubsub.addEventListener('message', ({ detail }) => {
      if (detail.topic === topic) this.hear(detail.data);
    });
    await this.persist(() => this.node.dial(this.links.bid.address));
    say('joined', { peer: this.node.peerId.toString(), chain_id: hex(this.chainId), key: hex(this.key.publicKey) });
  }

  hear(data) {
    try {
      const result = this.readResult(data);
      this.heard.set(result.interval_start, result);
      this.news.resolve();
      this.news = Promise.withResolvers();
    } catch (error) {
      say('gossip refused', { code: error.code, detail: String(error) });
    }
  }

  readResult(data) {
    const signers = this.collectors.map(({ key }) => key);
    return openMessage(data, { chainId: this.chainId, kinds: [Kind.RESULT], signers });
  }

  /** The head that every message for an interval begins with. */
  head(start) {
    const { minutes, household } = this.work;
    // Nonces must grow within an interval only; its own start grows without anything stored.
    return { version: VERSION, chain_id: this.chainId, interval_start: start, minutes, household, nonce: start };
  }

  orderOf({ start, order }) {
    return order ? [Kind.ORDER, { ...this.head(start), node: 0, ...order }] : [Kind.NOTHING, this.head(start)];
  }

  /** Hand in a message until there is a receipt for it; EARLY means: come again. */
  async handIn(protocol, kind, message) {
    const signed = signMessage(this.key, kind, message);
    const name = messageId(kind, message);
    const receipt = await this.persist(async () => {
      const found = openMessage(await this.links[protocol].request(signed), {
        chainId: this.chainId, kinds: [Kind.RECEIPT], signers: this.collectors.map(({ key }) => key),
      });
      if (!found.message_id.equals(name) || found.household !== this.work.household) {
        throw new Refused('wrong_kind', 'a receipt for another message');
      }
      return found.code === Receipt.EARLY ? null : found;
    });
    say('receipt', { kind, interval_start: message.interval_start, message_id: hex(name), code: receipt.code });
    return receipt;
  }

  async result(start) {
    const end = Date.now() + GOSSIP_PATIENCE_MS;
    while (!this.heard.has(start) && Date.now() < end) {
      await Promise.race([this.news.promise, sleep(end - Date.now())]);
    }
    if (this.heard.has(start)) return ['gossip', this.heard.get(start)];
    return ['request', this.readResult(await this.ask('result', start))];
  }

  /** Ask for something of an interval until it is there. */
  ask(protocol, start) {
    const query = encode(IntervalQuery, { version: VERSION, chain_id: this.chainId, interval_start: start });
    return this.persist(async () => {
      const answer = await this.links[protocol].request(query);
      return answer.length ? answer : null;
    });
  }

  /** Repeat an attempt while the way to the peer fails or the answer is "not yet" (null). */
  async persist(attempt) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        const answer = await attempt();
        if (answer !== null) return answer;
      } catch (error) {
        if (error instanceof Refused || Date.now() > end) throw error;
      }
      if (Date.now() > end) throw new Error('no answer in time');
      await sleep(PAUSE_MS);
    }
  }

  async live(interval) {
    const { start, reading } = interval;
    await this.handIn('bid', ...this.orderOf(interval));
    await this.handIn('reading', Kind.READING, { ...this.head(start), quality: 0, ...reading });
    const [by, result] = await this.result(start);
    say('result', { by, interval_start: start, height: result.height, traded_wh: Number(result.traded_wh),
      block_hash: hex(result.block_hash), next_collector: hex(result.next_collector) });
    const proof = await this.ask('line', start);
    const line = checkProof(proof, this.genesis);
    const agrees = line.block_hash === hex(result.block_hash) && line.interval_start === start
      && line.values.import_wh === String(reading.import_wh) && line.values.export_wh === String(reading.export_wh);
    say('proof', { ...line, agrees, bytes: proof.length });
    return proof;
  }

  /** An order with a wrong signature: refused, and the same stream goes on. */
  async forge(interval) {
    const [kind, message] = this.orderOf(interval);
    const forged = Buffer.from(signMessage(this.key, kind, message));
    forged[forged.length - 1] ^= 1;
    const code = await this.links.bid.request(forged).then(() => 'taken', (error) => error.code ?? String(error));
    say('forged order', { code, connections: this.node.getConnections().length });
  }

  /** Every byte of a proof counts: change each in turn, and the check must refuse. */
  tamper(proof) {
    const codes = {};
    for (let i = 0; i < proof.length; i++) {
      const changed = Buffer.from(proof);
      changed[i] ^= 1;
      let code = 'accepted';
      try {
        checkProof(changed, this.genesis);
      } catch (error) {
        code = error instanceof Refused ? error.code : String(error);
      }
      codes[code] = (codes[code] ?? 0) + 1;
    }
    say('tampered', { bytes: proof.length, codes });
  }
}

const work = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const node = await openNode(Buffer.from(work.seed, 'hex'));
try {
  const home = new Household(work, node);
  await home.join();
  if (work.hostile) await home.forge(work.intervals[0]);
  let proof;
  for (const interval of work.intervals) proof = await home.live(interval);
  if (work.hostile) home.tamper(proof);
  const streams = Object.fromEntries(Object.entries(home.links).map(([name, link]) => [name, link.opened]));
  say('done', { streams, connections: node.getConnections().length });
} finally {
  await node.stop();
}
