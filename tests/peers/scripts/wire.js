// A WebSocket client on a raw socket, which shows every frame as it was on the wire.
const crypto = require('crypto');
const net = require('net');

const CONTINUATION = 0;
const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;
const PONG = 10;
const NAMES = { 0: 'continuation', 1: 'text', 2: 'binary', 8: 'close', 9: 'ping', 10: 'pong' };
// After so long without what it waits for a client has failed.
const LIMIT = 20_000;

function encode(opcode, payload, { fin = true, masked = true, rsv = 0 } = {}) {
  const data = Buffer.from(payload);
  const length = data.length;
  const head = length < 126 ? Buffer.alloc(2) : length < 65536 ? Buffer.alloc(4) : Buffer.alloc(10);
  head[0] = (fin ? 0x80 : 0) | rsv | opcode;
  head[1] = (masked ? 0x80 : 0) | (length < 126 ? length : length < 65536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  if (!masked) return Buffer.concat([head, data]);
  const mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);
  return Buffer.concat([head, mask, data.map((byte, i) => byte ^ mask[i & 3])]);
}

const closePayload = (code, reason = '') => Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);

const UPGRADE = {
  Host: 'localhost',
  Upgrade: 'websocket',
  Connection: 'Upgrade',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

// The head of an upgrade request; a header with the value null is left out, one with a list is there several times.
function request(target, headers = {}, method = 'GET') {
  const all = { ...UPGRADE, ...headers };
  const lines = Object.entries(all).flatMap(([name, value]) =>
    value === null ? [] : [].concat(value).map((one) => `${name}: ${one}`));
  return Buffer.from([`${method} ${target} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
}

// Long payloads are shown by length and hash.
function show({ fin, opcode, masked, rsv, payload }) {
  const name = NAMES[opcode] ?? `opcode ${opcode}`;
  const flags = `${fin ? '' : ' unfinished'}${masked ? ' masked' : ''}${rsv ? ` rsv ${rsv}` : ''}`;
  if (payload.length > 200) {
    return `${name}${flags} ${payload.length} bytes ${crypto.createHash('sha256').update(payload).digest('hex')}`;
  }
  if (opcode === CLOSE && payload.length >= 2) {
    return `${name}${flags} ${payload.readUInt16BE()} ${JSON.stringify(payload.subarray(2).toString())}`;
  }
  return `${name}${flags} ${opcode === TEXT ? JSON.stringify(payload.toString()) : payload.toString('hex')}`.trimEnd();
}

class Wire {
  constructor(port, bytes) {
    this.head = null;
    this.body = '';
    this.frames = [];
    // How the server ended the connection: not, in good order, or by a reset.
    this.ending = 'open';
    this.input = Buffer.alloc(0);
    this.waiting = [];
    this.socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    this.socket.setNoDelay(true);
    this.socket.on('data', (data) => {
      this.input = this.input.length === 0 ? data : Buffer.concat([this.input, data]);
      this.parse();
      this.look();
    });
    this.socket.on('end', () => this.over('end'));
    this.socket.on('error', () => this.over('reset'));
    this.socket.write(bytes);
  }

  over(how) {
    if (this.ending === 'open') this.ending = how;
    this.look();
  }

  parse() {
    if (this.head === null) {
      const end = this.input.indexOf('\r\n\r\n');
      if (end < 0) return;
      const [first, ...lines] = this.input.subarray(0, end).toString().split('\r\n');
      this.head = { first, headers: lines.map((line) => line.split(/:\s*/, 2)).map(([a, b]) => [a.toLowerCase(), b]) };
      this.input = this.input.subarray(end + 4);
    }
    if (!this.isOpen()) {
      this.body += this.input.toString();
      this.input = Buffer.alloc(0);
      return;
    }
    for (;;) {
      const input = this.input;
      if (input.length < 2) return;
      const masked = (input[1] & 0x80) !== 0;
      const short = input[1] & 0x7f;
      const start = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (masked ? 4 : 0);
      if (input.length < start) return;
      const length = short === 126 ? input.readUInt16BE(2) : short === 127 ? Number(input.readBigUInt64BE(2)) : short;
      if (input.length < start + length) return;
      const payload = Buffer.from(input.subarray(start, start + length));
      this.frames.push({ fin: (input[0] & 0x80) !== 0, rsv: input[0] & 0x70, opcode: input[0] & 15, masked, payload });
      this.input = input.subarray(start + length);
    }
  }

  isOpen() {
    return this.head !== null && this.head.first.startsWith('HTTP/1.1 101 ');
  }

  look() {
    this.waiting = this.waiting.filter(({ isThere, resolve }) => !isThere(this) || (resolve(), false));
  }

  // Waits until something is so.
  until(what, isThere) {
    return new Promise((resolve, reject) => {
      if (isThere(this)) return resolve();
      const fail = () => reject(new Error(`no ${what}; there were ${this.head?.first}, ${this.ending}, and the frames ` +
        JSON.stringify(this.frames.slice(-5).map(show))));
      const timer = setTimeout(fail, LIMIT);
      this.waiting.push({ isThere, resolve: () => (clearTimeout(timer), resolve()) });
    });
  }

  opened() {
    return this.until('answer', () => this.head !== null);
  }

  ended() {
    return this.until('end', () => this.ending !== 'open');
  }

  answered(payload) {
    return this.until(`pong ${payload}`, () =>
      this.frames.some((frame) => frame.opcode === PONG && frame.payload.equals(Buffer.from(payload))));
  }

  messages(count) {
    return this.until(`${count} messages`, () => this.frames.filter(({ opcode }) => opcode < CLOSE).length >= count);
  }

  write(...bytes) {
    this.socket.write(Buffer.concat(bytes));
  }

  send(opcode, payload = '', options = {}) {
    this.write(encode(opcode, payload, options));
  }

  say(text) {
    this.send(TEXT, text);
  }

  close(code, reason) {
    this.send(CLOSE, code === undefined ? '' : closePayload(code, reason));
  }

  // Ends its own direction of the connection.
  finish() {
    this.socket.end();
  }

  // Lets go without a word.
  vanish() {
    this.socket.resetAndDestroy();
  }
}

module.exports = { BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Wire, closePayload, encode, request, show };
