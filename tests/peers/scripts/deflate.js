// permessage-deflate with Node's ws: node deflate.js client|server OPTIONS [URL]. The server sends everything back. The
// client says many messages, prints what was agreed on, and whether all came back as they were.
const crypto = require('crypto');
const { WebSocket, WebSocketServer } = require('ws');

const [role, options, url] = process.argv.slice(2);
const perMessageDeflate = JSON.parse(options);
const print = (line) => process.stdout.write(line + '\n');
const limit = { perMessageDeflate, maxPayload: 100 << 20 };

if (role === 'server') {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...limit }, () =>
    print(`port ${server.address().port}`));
  server.on('connection', (socket) => {
    print(`agreed ${socket.extensions}`);
    socket.on('error', (error) => print(`error ${error.message}`));
    socket.on('message', (data, binary) => socket.send(data, { binary }));
    socket.on('close', (code) => print(`closed ${code}`));
  });
} else {
  const lengths = [0, 1, 2, 125, 126, 1023, 1024, 1025, 32768, 65535, 65536, 65537, 200000, 1000000, 5000000];
  const kinds = {
    text: (length) => 'all work and no play, zwölf ✓ '.repeat(length / 20 + 1).slice(0, length),
    zeros: (length) => Buffer.alloc(length),
    noise: (length) => crypto.randomBytes(length),
  };
  const socket = new WebSocket(url, limit);
  socket.on('error', (error) => print(`error ${error.message}`));
  socket.on('close', (code) => print(`closed ${code}`));
  const next = () =>
    new Promise((resolve) => socket.once('message', (data, isBinary) => resolve(isBinary ? data : data.toString())));
  socket.on('open', async () => {
    print(`agreed ${socket.extensions}`);
    let same = 0;
    for (const length of lengths) {
      for (const [kind, make] of Object.entries(kinds)) {
        // Twice: the second may refer to the first.
        for (const data of Array(2).fill(make(length))) {
          socket.send(data);
          const back = await next();
          const isSame = typeof data === 'string' ? back === data : Buffer.isBuffer(back) && data.equals(back);
          if (isSame) same += 1;
          else print(`different: ${kind} of ${length}`);
        }
      }
    }
    print(`${same} of ${lengths.length * 6} the same`);
    socket.close(1000);
  });
}
