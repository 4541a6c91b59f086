// Drives two room servers through the same scenes with the same clients and compares all that each client got, frame by
// frame as they were on the wire: node side_by_side.js PORT_OF_THE_MODEL PORT_OF_OURS. Prints what differs, then how much
// was compared.
const { BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Wire, closePayload, encode, request, show } = require('./wire');

const [model, ours] = process.argv.slice(2).map(Number);

// What is meant to differ, each with its reason: in which scenes, for which clients, and whether a line in which a client's
// two records differ is this. Unless it is all, what follows in the records is not compared.
const status = (line) => line.split(';')[0];
const DELIBERATE = [
  {
    reason: 'who broke the protocol is told how; the code is the same',
    scene: /^what may not be sent$/,
    isIt: (wanted, got) => /^close 10\d\d ""$/.test(wanted) && got.startsWith(wanted.slice(0, -1)),
    isAll: true,
  },
  {
    reason: 'a refusal says in a sentence what is missing, and names the version (RFC 6455 section 4.4); same status',
    scene: /^refusals$/,
    isIt: (wanted, got) => status(wanted) === status(got),
  },
  {
    reason: 'no version, an unknown one, or another protocol than websocket: 426 says what would do (RFC 6455 section 4.2.2)',
    scene: /^refusals$/,
    client: /^(no version|version 12|another protocol)$/,
    isIt: (wanted, got) => status(wanted).includes(' 400 ') && status(got).includes(' 426 '),
  },
  {
    reason: 'version 8 is a draft of 2011 that no browser in use speaks',
    scene: /^refusals$/,
    client: /^version 8$/,
    isIt: (wanted, got) => status(wanted).includes(' 101 ') && status(got).includes(' 426 '),
  },
  {
    reason: 'a target in bytes beyond ASCII is taken as it is; Node refuses the request before it gets to ws',
    scene: /^target [ -~]*[^ -~]/,
    isIt: (wanted, got) => status(wanted).includes(' 400 ') && status(got).includes(' 101 '),
  },
  {
    reason: 'these characters are not allowed in a target (RFC 3986), and clients encode them',
    scene: /^target ([^?]*[`<>]|.*["<>])/,
    isIt: (wanted, got) => status(wanted).includes(' 101 ') && status(got).includes(' 400 '),
  },
  {
    reason: 'a target in absolute form is the same room as its path (RFC 9112 section 3.2.2)',
    scene: /^a target in absolute form$/,
    client: /^origin$/,
    isIt: (wanted, got) => wanted.startsWith('pong ') && got === 'text "from absolute"',
  },
];

// Our answers have the time (RFC 9110 section 6.6.1).
const isCompared = ([name]) => name !== 'date';

const long = 'zwei Wörter ✓ '.repeat(8000).slice(0, 100_000);
const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 31) >> 3 & 255));

// A scene is played on one server: `stage.client()` adds a client, whose record is compared.
class Stage {
  constructor(port) {
    this.port = port;
    this.clients = [];
    this.rounds = 0;
  }

  async client(name, target, headers, { method, early = [] } = {}) {
    const wire = new Wire(this.port, Buffer.concat([request(target, headers, method), ...early]));
    this.clients.push([name, wire]);
    await wire.opened();
    return wire;
  }

  member(name, target) {
    return this.client(name, target, {});
  }

  // Returns when everything that was said has arrived everywhere: first the one that spoke gets a pong, so that its words
  // have been passed on, then all others get theirs.
  async settled(speaker, ...others) {
    this.rounds += 1;
    const payload = `round ${this.rounds}`;
    const all = [[speaker], others.filter((wire) => wire !== speaker)];
    for (const wires of all) {
      wires.forEach((wire) => wire.send(PING, payload));
      await Promise.all(wires.map((wire) => wire.answered(payload)));
    }
  }

  // What each client got, a line for the answer, each frame and the end.
  record() {
    return new Map(this.clients.map(([name, wire]) => [name, [
      `${wire.head?.first}; ${(wire.head?.headers ?? []).filter(isCompared).map(([key, value]) => `${key}: ${value};`).sort().join(' ')}`,
      ...wire.frames.map(show),
      wire.ending,
    ]]));
  }

  strike() {
    this.clients.forEach(([, wire]) => wire.socket.destroy());
  }
}

const scenes = {
  async 'each kind of message'(stage) {
    const all = [];
    for (const name of ['a', 'b', 'c']) all.push(await stage.member(name, '/kinds'));
    const [a, b, c] = all;
    a.say('hello');
    await stage.settled(a, ...all);
    b.send(BINARY, [0, 255, 10, 13]);
    await stage.settled(b, ...all);
    c.say('');
    c.send(BINARY, '');
    await stage.settled(c, ...all);
    // No character is dropped or altered: a zero, a newline, a byte order mark, one beyond the first plane.
    a.say('zwei\nZeilen\0 \ufeff✓ 🦀');
    a.say('\ufeffat the start');
    await stage.settled(a, ...all);
    b.say(long);
    await stage.settled(b, ...all);
    c.send(BINARY, bytes);
    await stage.settled(c, ...all);
  },
  async 'lengths at which the header changes'(stage) {
    const [a, b] = [await stage.member('a', '/lengths'), await stage.member('b', '/lengths')];
    for (const length of [1, 125, 126, 127, 128, 65535, 65536, 65537, 1_000_000]) {
      a.say('x'.repeat(length));
      a.send(BINARY, Buffer.alloc(length, 7));
      await stage.settled(a, b);
    }
  },
  async 'fragments'(stage) {
    const [a, b] = [await stage.member('a', '/fragments'), await stage.member('b', '/fragments')];
    a.send(TEXT, 'one ', { fin: false });
    a.send(CONTINUATION, 'two ', { fin: false });
    a.send(CONTINUATION, 'three');
    await stage.settled(a, b);
    // Cut within a character, with a ping in between.
    const crab = Buffer.from('🦀');
    a.send(TEXT, crab.subarray(0, 2), { fin: false });
    await stage.settled(a, b);
    a.send(CONTINUATION, crab.subarray(2));
    await stage.settled(a, b);
    a.send(BINARY, '', { fin: false });
    a.send(CONTINUATION, '', { fin: false });
    a.send(CONTINUATION, '');
    await stage.settled(a, b);
    for (let i = 0; i < 100; i += 1) {
      a.send(i === 0 ? BINARY : CONTINUATION, bytes.subarray(i * 1000, i * 1000 + 1000), { fin: i === 99 });
    }
    await stage.settled(a, b);
    // A frame that comes byte by byte.
    for (const byte of encode(TEXT, 'piecemeal')) a.write(Buffer.from([byte]));
    await stage.settled(a, b);
  },
  async 'many in one packet'(stage) {
    const [a, b] = [await stage.member('a', '/packet'), await stage.member('b', '/packet')];
    const many = Array.from({ length: 500 }, (_, i) => encode(i % 2 ? TEXT : BINARY, `message ${i}`));
    a.write(...many);
    await Promise.all([a.messages(500), b.messages(500)]);
    await stage.settled(a, b);
  },
  async 'a message and a ping in one packet'(stage) {
    const [a, b] = [await stage.member('a', '/both'), await stage.member('b', '/both')];
    a.write(encode(TEXT, 'before'), encode(PING, 'one'), encode(TEXT, 'between'), encode(PING, 'two'));
    await a.answered('two');
    await stage.settled(a, b);
  },
  async 'many rooms'(stage) {
    const all = [];
    for (let room = 0; room < 40; room += 1) {
      for (const name of ['a', 'b', 'c']) all.push(await stage.member(`${name}${room}`, `/many/${room}`));
    }
    for (const [i, wire] of all.entries()) wire.send(i % 2 ? BINARY : TEXT, `from ${i}`);
    // Three speak in each room at once, in an order of their own: how they are interleaved is the server's choice.
    await Promise.all(all.map((wire) => wire.messages(3)));
    await stage.settled(...all);
    all.forEach((wire) => sortMessages(wire));
  },
  async 'targets'(stage) {
    const targets = ['/', '/a', '/a/', '/A', '//a', '/a?', '/a?x', '/a?x=1&y=2', '/a?y=2&x=1', '/a?x?', '/a%20b', '/a+b',
      '/%61', '/a/../a', '/a/./', '/a;v=1', '/a?x=%zz', '/*', '/a?q={"k":[1]}'.replaceAll('"', '%22'), '/a?b|c^d`e',
      '/broadcast/realm-a', '/broadcast/realm-a?x', '/a:b@c', "/it's(1)!$,", `/${'long/'.repeat(800)}`];
    const all = [];
    for (const target of targets) all.push(await stage.member(`at ${target}`, target));
    for (const target of targets) all.push(await stage.member(`also at ${target}`, target));
    for (const [i, wire] of all.entries()) {
      wire.say(`from ${i}`);
      await stage.settled(wire);
    }
    await stage.settled(...all);
  },
  ...Object.fromEntries(['/zwei-wörter', '/a?ö', '/a{b}', '/a|b', '/a"b', '/a^b', '/a`b', '/a<b>', '/a\\b', '/a?"b"', '/a?<b>',
    '/a#b'].map((target) => [`target ${target}`, async (stage) => {
    const [a, b] = [await stage.member('a', target), await stage.member('b', target)];
    if (!a.isOpen()) return;
    a.say('hello');
    await stage.settled(a, b);
  }])),
  async 'a target in absolute form'(stage) {
    const [a, b] = [await stage.member('absolute', 'http://localhost/form?x'), await stage.member('origin', '/form?x')];
    a.say('from absolute');
    await stage.settled(a, b);
  },
  async 'pings and pongs'(stage) {
    const [a, b] = [await stage.member('a', '/pings'), await stage.member('b', '/pings')];
    a.send(PING, '');
    await a.answered('');
    a.send(PING, 'x'.repeat(125));
    await a.answered('x'.repeat(125));
    // Nobody asked for them, and others see neither.
    a.send(PONG, 'unasked');
    a.send(PONG, '');
    await stage.settled(a, b);
    a.write(...Array.from({ length: 50 }, (_, i) => encode(PING, `ping ${i}`)));
    await a.answered('ping 49');
    await stage.settled(a, b);
  },
  async 'closes with codes and reasons'(stage) {
    const codes = [undefined, 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4000, 4999];
    const witness = await stage.member('witness', '/closes');
    for (const code of codes) {
      for (const reason of code === undefined ? [''] : ['', 'das wär’s', 'r'.repeat(123)]) {
        const a = await stage.member(`${code} ${reason}`, '/closes');
        a.say(`bye ${code}`);
        a.close(code, reason);
        await a.ended();
        a.finish();
        await stage.settled(witness);
      }
    }
  },
  async 'nothing counts behind a close'(stage) {
    const [a, b] = [await stage.member('a', '/behind'), await stage.member('b', '/behind')];
    a.write(encode(TEXT, 'before'), encode(CLOSE, closePayload(1000)), encode(TEXT, 'behind'), encode(PING, 'behind'));
    await a.ended();
    await stage.settled(b);
  },
  async 'what may not be sent'(stage) {
    const witness = await stage.member('witness', '/wrong');
    const wrong = {
      ...Object.fromEntries([0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535].map((code) =>
        [`close ${code}`, encode(CLOSE, closePayload(code))])),
      'close of one byte': encode(CLOSE, [3]),
      'close with a reason that is not UTF-8': encode(CLOSE, [3, 232, 255]),
      'text that is not UTF-8': encode(TEXT, [0xff, 0xfe]),
      'half a character': encode(TEXT, [0xf0, 0x9f]),
      'not masked': encode(TEXT, 'bare', { masked: false }),
      'opcode 3': encode(3, 'x'),
      'opcode 11': encode(11, 'x'),
      'rsv 1': encode(TEXT, 'x', { rsv: 0x40 }),
      'rsv 2': encode(TEXT, 'x', { rsv: 0x20 }),
      'continuation of nothing': encode(CONTINUATION, 'x'),
      'text within text': Buffer.concat([encode(TEXT, 'x', { fin: false }), encode(TEXT, 'y')]),
      'a ping in fragments': encode(PING, 'x', { fin: false }),
      'a long ping': encode(PING, 'x'.repeat(126)),
      'a length beyond all': Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]),
    };
    for (const [name, frame] of Object.entries(wrong)) {
      const a = await stage.member(name, '/wrong');
      a.write(encode(TEXT, `before ${name}`), frame);
      await a.ended();
      a.finish();
      await stage.settled(witness);
    }
  },
  async 'joins and leaves in the middle'(stage) {
    const a = await stage.member('a', '/visits');
    a.say('alone');
    await stage.settled(a);
    const b = await stage.member('b', '/visits');
    a.say('two');
    await stage.settled(a, b);
    const c = await stage.member('c', '/visits');
    b.say('three');
    await stage.settled(b, a, c);
    b.close(1001, 'off');
    await b.ended();
    b.finish();
    a.say('two again');
    await stage.settled(a, c);
    c.finish();
    await c.ended();
    a.say('alone again');
    await stage.settled(a);
    a.close();
    await a.ended();
    // The room is gone; the next one of its name is new.
    const d = await stage.member('d', '/visits');
    d.say('anew');
    await stage.settled(d);
    d.vanish();
    const e = await stage.member('e', '/visits');
    e.say('after d');
    await stage.settled(e);
  },
  async 'half a message of somebody who leaves'(stage) {
    const [a, b] = [await stage.member('a', '/half'), await stage.member('b', '/half')];
    a.write(encode(TEXT, 'whole'), encode(TEXT, 'first', { fin: false }), encode(CONTINUATION, 'cut').subarray(0, 5));
    await b.messages(1);
    a.finish();
    await a.ended();
    await stage.settled(b);
  },
  async 'frames that come with the request'(stage) {
    const b = await stage.member('b', '/early');
    const early = [encode(TEXT, 'early'), encode(BINARY, bytes), encode(PING, 'early')];
    const a = await stage.client('a', '/early', {}, { early });
    await a.answered('early');
    await stage.settled(a, b);
  },
  async 'handshakes'(stage) {
    const offers = {
      'one subprotocol': 'chat',
      'two subprotocols': 'chat, superchat',
      'subprotocols without spaces': 'b,a',
      'two headers of subprotocols': ['b', 'a'],
    };
    for (const [name, offer] of Object.entries(offers)) {
      await stage.client(name, '/handshakes', { 'Sec-WebSocket-Protocol': offer });
    }
    await stage.client('deflate', '/handshakes', { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' });
    await stage.client('another extension', '/handshakes', { 'Sec-WebSocket-Extensions': 'foo; bar=1' });
    await stage.client('any origin', '/handshakes', { Origin: 'https://elsewhere.example' });
    await stage.client('no origin', '/handshakes', { Origin: 'null' });
    await stage.client('Firefox', '/handshakes', { Connection: 'keep-alive, Upgrade', Pragma: 'no-cache', 'User-Agent': 'Mozilla/5.0' });
    await stage.client('other case', '/handshakes', { Upgrade: 'WebSocket', Connection: 'upgrade' });
    await stage.client('cookies', '/handshakes', { Cookie: `session=${'x'.repeat(5000)}`, Authorization: 'Basic bWU6cGFzcw==' });
  },
  async 'refusals'(stage) {
    const plain = { Upgrade: null, Connection: null, 'Sec-WebSocket-Version': null, 'Sec-WebSocket-Key': null };
    await stage.client('plain GET', '/refusals', plain);
    await stage.client('plain GET of /', '/', plain);
    await stage.client('plain HEAD', '/refusals', plain, { method: 'HEAD' });
    await stage.client('plain POST', '/refusals', { ...plain, 'Content-Length': '0' }, { method: 'POST' });
    await stage.client('plain OPTIONS', '/refusals', plain, { method: 'OPTIONS' });
    await stage.client('POST', '/refusals', {}, { method: 'POST' });
    await stage.client('no key', '/refusals', { 'Sec-WebSocket-Key': null });
    await stage.client('short key', '/refusals', { 'Sec-WebSocket-Key': 'c2hvcnQ=' });
    await stage.client('no version', '/refusals', { 'Sec-WebSocket-Version': null });
    await stage.client('version 12', '/refusals', { 'Sec-WebSocket-Version': '12' });
    await stage.client('version 8', '/refusals', { 'Sec-WebSocket-Version': '8' });
    await stage.client('another protocol', '/refusals', { Upgrade: 'h2c' });
  },
};

// Messages of several senders at once, by their bytes.
function sortMessages(wire) {
  const order = wire.frames.filter(({ opcode }) => opcode < CLOSE).sort((a, b) => Buffer.compare(a.payload, b.payload));
  wire.frames = wire.frames.map((frame) => (frame.opcode < CLOSE ? order.shift() : frame));
}

async function play(scene, port) {
  const stage = new Stage(port);
  try {
    await scene(stage);
    return stage.record();
  } catch (error) {
    return stage.record().set('the scene', [`failed: ${error.message}`]);
  } finally {
    stage.strike();
  }
}

(async () => {
  const count = { clients: 0, lines: 0, different: 0 };
  const met = new Set();
  for (const [scene, script] of Object.entries(scenes)) {
    const [wanted, got] = await Promise.all([play(script, model), play(script, ours)]);
    for (const client of new Set([...wanted.keys(), ...got.keys()])) {
      const [left, right] = [wanted, got].map((record) => record.get(client) ?? []);
      count.clients += 1;
      count.lines += left.length;
      for (let i = 0; i < Math.max(left.length, right.length); i += 1) {
        if (left[i] === right[i] && !left[i].startsWith('failed')) continue;
        const known = DELIBERATE.find((one) =>
          one.scene.test(scene) && (one.client ?? /./).test(client) && one.isIt(left[i] ?? '', right[i] ?? ''));
        if (known) {
          met.add(known);
          if (known.isAll) continue;
        } else {
          count.different += 1;
          console.log(`different in "${scene}" for ${client}:\n  wanted ${left[i]}\n  got    ${right[i]}`);
        }
        break;
      }
    }
  }
  // A list with what is no longer so would hide what comes.
  for (const one of DELIBERATE) if (!met.has(one)) console.log(`no longer different: ${one.reason}`);
  console.log(`compared ${count.clients} clients, ${count.lines} lines`);
  console.log(`${count.different} differ`);
})();
