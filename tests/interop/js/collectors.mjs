// Who takes orders, and the way to them: docs/reference/protocol/messages.md, 2 and 4.
import { multiaddr } from '@multiformats/multiaddr';
import { Refused, join, same } from './codec.mjs';
import * as wire from './wire.mjs';

const REPLY_MS = 10_000;

/** One stream of one protocol, kept open; one request at a time. */
class Channel {
  constructor(stream) {
    this.stream = stream;
    this.chunks = stream[Symbol.asyncIterator]();
    this.rest = new Uint8Array();
    this.id = 0;
    this.last = Promise.resolve();
  }

  request(payload) {
    const reply = this.last.then(() => this.exchange(payload));
    this.last = reply.catch(() => {});
    return reply;
  }

  async exchange(payload) {
    const id = (this.id += 1);
    if (!this.stream.send(wire.packFrame(id, wire.REQUEST, payload))) await this.stream.onDrain();
    for (;;) {
      const frame = await this.frame();
      if (frame.id === 0) this.close();
      else if (frame.id !== id) continue; // answers a request that arrived twice
      if (frame.kind === wire.ERROR) throw new Refused(Buffer.from(frame.payload).toString('ascii'), 'by the peer');
      return frame.payload;
    }
  }

  async frame() {
    for (;;) {
      const [frame, rest] = wire.cutFrame(this.rest);
      this.rest = rest;
      if (frame) return frame;
      const { value, done } = await this.chunks.next();
      if (done) throw new Error('the stream ended before the reply');
      this.rest = join(this.rest, value.subarray());
    }
  }

  get isOpen() { return this.stream.status === 'open'; }

  close() { this.stream.abort(new Error('given up')); }
}

/** The operators and validators as one home sees them, each {key, address}, in the order of the genesis. */
export class Collectors {
  constructor(node, operators, authorities, failoverMs) {
    Object.assign(this, { node, operators, authorities, failoverMs });
    this.current = operators[0];
    [this.height, this.number] = [0n, 0n];
    this.named = null;
    this.failingSince = null;
    this.channels = new Map();
  }

  connect() { return this.node.dial(multiaddr(this.current.address)); }

  /** Follows the newest settled interval: this key collects next. */
  name(key, height, number) {
    if (height <= this.height) return;
    [this.height, this.number] = [height, number];
    const found = [...this.operators, ...this.authorities].find((one) => same(one.key, key));
    this.named = found ?? null;
    if (found && found !== this.current) [this.current, this.failingSince] = [found, null];
  }

  /** Asks the current one. A `Refused` is its answer; any other error says that it does not answer. */
  request(protocol, payload) { return this.requestOf(this.current, protocol, payload); }

  /** Asks one of them, whoever is asked otherwise. */
  async requestOf(one, protocol, payload) {
    const place = `${one.address} ${protocol}`;
    const limit = Math.min(this.failoverMs, REPLY_MS);
    let timer;
    const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error('no reply in time')), limit); });
    try {
      const reply = await Promise.race([this.exchange(place, one, protocol, payload, limit), late]);
      if (one === this.current) this.failingSince = null;
      return reply;
    } catch (error) {
      if (!(error instanceof Refused)) this.fail(one, place);
      throw error;
    } finally { clearTimeout(timer); }
  }

  async exchange(place, one, protocol, payload, limit) {
    if (!this.channels.get(place)?.isOpen) {
      const signal = AbortSignal.timeout(limit);
      this.channels.set(place, new Channel(await this.node.dialProtocol(multiaddr(one.address), protocol, { signal })));
    }
    return this.channels.get(place).request(payload);
  }

  fail(one, place) {
    this.channels.get(place)?.close();
    this.channels.delete(place);
    if (one !== this.current) return;
    this.failingSince ??= Date.now();
    if (Date.now() - this.failingSince >= this.failoverMs) [this.current, this.failingSince] = [this.after(one), null];
  }

  /** Whom the newest result named, operators, and validators from another one in each interval. */
  after(one) {
    const n = this.authorities.length, turn = n ? Number(this.number % BigInt(n)) : 0;
    const all = [...this.operators, ...this.authorities.slice(turn), ...this.authorities.slice(0, turn)];
    const line = [...new Set(this.named ? [this.named, ...all] : all)];
    return line[(line.indexOf(one) + 1) % line.length];
  }
}
