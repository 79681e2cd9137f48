// A libp2p node as wattswap's nodes expect it: TCP, Noise, Yamux, GossipSub, and persistent request streams.
import { noise } from '@chainsafe/libp2p-noise';
import { yamux } from '@chainsafe/libp2p-yamux';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { gossipsub } from '@libp2p/gossipsub';
import { identify } from '@libp2p/identify';
import { ping } from '@libp2p/ping';
import { tcp } from '@libp2p/tcp';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { Refused } from './codec.mjs';
import { ERROR, FrameCutter, REPLY, REQUEST, packFrame } from './wire.mjs';

const REQUEST_TIMEOUT_MS = 10_000; // longer than the 5 s that the other side gives its handlers

/** A running node; its peer id follows from the household's own key. */
export async function openNode(seed) {
  return createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', seed),
    addresses: { listen: [] }, // a home dials in, nobody needs its address
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      ping: ping(),
      pubsub: gossipsub({
        allowPublishToZeroTopicPeers: true, heartbeatInterval: 1000, globalSignaturePolicy: 'StrictSign',
      }),
    },
  });
}

/** A persistent stream to one peer and protocol, with one request on it at a time. */
export class Link {
  #stream = null;
  #waiting = null;
  #lastId = 0;
  #queue = Promise.resolve();

  constructor(node, address, protocol) {
    Object.assign(this, { node, address: multiaddr(address), protocol });
    this.opened = 0;
  }

  /** Send a payload and return the reply's; an error frame is thrown as `Refused` with its code. */
  request(payload) {
    const reply = this.#queue.then(() => this.#exchange(payload));
    this.#queue = reply.catch(() => {});
    return reply;
  }

  async #exchange(payload) {
    if (this.#stream?.status !== 'open') await this.#open();
    this.#lastId = (this.#lastId % (2 ** 32 - 1)) + 1;
    const { promise, resolve, reject } = Promise.withResolvers();
    const timer = setTimeout(() => reject(new Error(`no reply on ${this.protocol}`)), REQUEST_TIMEOUT_MS);
    this.#waiting = { id: this.#lastId, resolve, reject };
    try {
      this.#stream.send(packFrame(this.#lastId, REQUEST, payload));
      return await promise;
    } catch (error) {
      // Only a refusal leaves the stream at the beginning of a frame.
      if (!(error instanceof Refused) || error.streamIsOver) this.#drop();
      throw error;
    } finally {
      clearTimeout(timer);
      this.#waiting = null;
    }
  }

  async #open() {
    const stream = await this.node.dialProtocol(this.address, this.protocol);
    const cutter = new FrameCutter();
    stream.addEventListener('message', ({ data }) => {
      try {
        for (const frame of cutter.push(data.subarray())) this.#take(frame);
      } catch (error) {
        this.#waiting?.reject(Object.assign(error, { streamIsOver: true }));
      }
    });
    stream.addEventListener('close', () => this.#waiting?.reject(new Error(`${this.protocol}: the stream ended`)));
    this.#stream = stream;
    this.opened += 1;
  }

  #take({ id, kind, payload }) {
    if (kind === REQUEST) throw new Refused('malformed', 'a request where a reply was due');
    if (id !== 0 && id !== this.#waiting?.id) return; // answers a request that was given up
    if (kind === REPLY) this.#waiting?.resolve(payload);
    else if (kind === ERROR) {
      // Id 0: the peer could not read us any more.
      this.#waiting?.reject(Object.assign(new Refused(payload.toString('ascii'), this.protocol), { streamIsOver: id === 0 }));
    }
  }

  #drop() {
    this.#stream?.abort(new Error('given up'));
    this.#stream = null;
  }
}
