// A client with Node's ws: node ws_client.js WHAT URL [ARGS]. Prints a line for each event and ends when the socket has.
const crypto = require('crypto');
const WebSocket = require('ws');

const [what, url, ...args] = process.argv.slice(2);
const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');
const show = (data, isBinary) =>
  `${isBinary ? 'binary' : 'text'} ${isBinary ? data.toString('hex') : JSON.stringify(data.toString())}`;
const print = (line) => process.stdout.write(line + '\n');

const protocols = what === 'protocols' ? args : [];
const socket = new WebSocket(url, protocols, { maxPayload: 100 << 20 });
socket.on('unexpected-response', (_, response) => {
  print(`refused ${response.statusCode}`);
  process.exit();
});
socket.on('close', (code, reason) => print(`closed ${code} ${JSON.stringify(reason.toString())}`));
socket.on('error', (error) => print(`error ${error.message}`));

const next = () =>
  new Promise((resolve) => socket.once('message', (data, isBinary) => resolve([data, isBinary])));

const done = {
  // Each kind of message is sent, and what comes back is shown.
  async kinds() {
    for (const data of ['hello', '', 'zwei\nZeilen\u0000 ✓', Buffer.from([0, 255, 10]), Buffer.alloc(0)]) {
      socket.send(data);
      print(show(...(await next())));
    }
    socket.close(1000);
  },
  // A message in three fragments, a ping between them.
  async fragments() {
    socket.on('pong', (data) => print(`pong ${data}`));
    socket.send('one ', { fin: false });
    socket.ping('between');
    socket.send('two ', { fin: false });
    socket.send('three', { fin: true });
    print(show(...(await next())));
    socket.close(1000);
  },
  // One long message comes back as it was.
  async large() {
    const data = crypto.randomBytes(Number(args[0]));
    socket.send(data);
    const [back, isBinary] = await next();
    print(`${isBinary ? 'binary' : 'text'} ${back.length} ${sha256(back) === sha256(data) ? 'same' : 'different'}`);
    socket.close(1000);
  },
  // So many messages are sent without waiting; all come back in order.
  async burst() {
    const count = Number(args[0]);
    let seen = 0;
    const all = new Promise((resolve) =>
      socket.on('message', (data) => {
        if (Number(data) !== seen) print(`${data} instead of ${seen}`);
        seen += 1;
        if (seen === count) resolve();
      }));
    for (let i = 0; i < count; i += 1) socket.send(String(i));
    await all;
    print(`${seen} in order`);
    socket.close(1000);
  },
  async close() {
    socket.close(args[0] ? Number(args[0]) : undefined, args[1]);
  },
  async protocols() {
    print(`protocol ${JSON.stringify(socket.protocol)}`);
    socket.close(1000);
  },
  // Shows what arrives until the server closes.
  async listen() {},
  async vanish() {
    socket.terminate();
  },
};

if (what === 'listen') socket.on('message', (data, isBinary) => print(show(data, isBinary)));
socket.on('open', done[what]);
