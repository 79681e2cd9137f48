// Node 20 lacks what the libp2p packages use of Node 22: `node --import ./polyfill.mjs ...`
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new Promise((yes, no) => ([resolve, reject] = [yes, no]));
  return { promise, resolve, reject };
};
