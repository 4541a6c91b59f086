// Talks to an echo with Node's ws: node client.js URL DEFLATE. Prints each check and how it went.
const crypto = require('crypto');
const WebSocket = require('ws');

const [url, how] = process.argv.slice(2);
const deflate = how === 'deflate';
const sizes = [0, 1, 125, 126, 65535, 65536, 1 << 20];
const text = (size) => '€'.repeat(Math.floor(size / 3)) + 'x'.repeat(size % 3);

const socket = new WebSocket(url, { maxPayload: 64 << 20, perMessageDeflate: deflate && { threshold: 0 } });
const next = () => new Promise((resolve) => socket.once('message', (data, isBinary) => resolve([data, isBinary])));
const same = ([got, isBinary], sent) => {
  if (isBinary !== (typeof sent !== 'string')) throw new Error(isBinary ? 'binary came back' : 'text came back');
  if (got.length !== Buffer.byteLength(sent)) throw new Error(`${got.length} bytes came back`);
  if (!got.equals(Buffer.from(sent))) throw new Error('other content came back');
};
const echo = async (data) => {
  const back = next();
  socket.send(data);
  same(await back, data);
};

const checks = {
  async extension() {
    if (socket.extensions.includes('permessage-deflate') !== deflate) throw new Error(`extensions "${socket.extensions}"`);
  },
  async text() {
    for (const word of ['hello', 'zwei\nZeilen\u0000 ✓ 🦀']) await echo(word);
  },
  async binary() {
    await echo(Buffer.from(Array.from({ length: 256 }, (_, i) => i)));
  },
  async empty() {
    for (let i = 0; i < 3; i += 1) {
      await echo('');
      await echo(Buffer.alloc(0));
    }
  },
  async sizes() {
    for (const size of sizes) {
      await echo(text(size));
      await echo(crypto.randomBytes(size));
    }
  },
  async '50 MB'() {
    await echo(crypto.randomBytes(50_000_000));
  },
  async fragments() {
    const parts = ['one ', '', text(70000), 'two'];
    const back = next();
    parts.forEach((part, i) => {
      socket.send(part, { fin: i === parts.length - 1 });
      if (i === 1) socket.ping('between');
    });
    same(await back, parts.join(''));
  },
  async pings() {
    const pong = new Promise((resolve) => socket.on('pong', (data) => String(data) === 'are you there' && resolve()));
    socket.ping('are you there');
    await echo('between');
    await pong;
  },
  async close() {
    const closed = new Promise((resolve) => socket.on('close', (code, reason) => resolve(`${code} ${reason}`)));
    socket.close(1000, 'done');
    if ((await closed) !== '1000 done') throw new Error(`closed with ${await closed}`);
  },
};

const fail = (error) => {
  console.log(`failed: ${error.message}`);
  process.exit();
};
socket.on('error', fail);
socket.on('open', async () => {
  for (const [name, check] of Object.entries(checks)) {
    const limit = setTimeout(() => fail(new Error(`${name} takes too long`)), 60_000);
    try {
      await check();
      console.log(`${name}: ok`);
    } catch (error) {
      console.log(`${name}: ${error.message}`);
      process.exit();
    }
    clearTimeout(limit);
  }
});
