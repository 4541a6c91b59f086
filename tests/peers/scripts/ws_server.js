// A server with Node's ws: node ws_server.js WHAT [ARGS]. Prints its port, then a line for each event.
const crypto = require('crypto');
const { WebSocketServer } = require('ws');

const [what, ...args] = process.argv.slice(2);
const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');
// Long messages are shown by length and hash.
const show = (data, isBinary) => {
  const kind = isBinary ? 'binary' : 'text';
  if (data.length > 1000) return `${kind} ${data.length} ${sha256(data)}`;
  return `${kind} ${isBinary ? data.toString('hex') : JSON.stringify(data.toString())}`;
};
const print = (line) => process.stdout.write(line + '\n');

const served = {
  // Sends everything back.
  echo(socket) {
    socket.on('message', (data, isBinary) => {
      print(show(data, isBinary));
      socket.send(data, { binary: isBinary });
    });
  },
  // Says a word and closes.
  close(socket) {
    socket.send('a word');
    socket.close(args[0] ? Number(args[0]) : undefined, args[1]);
  },
  // Ends the connection without a close frame.
  vanish(socket) {
    socket.send('a word');
    setImmediate(() => socket.terminate());
  },
  // Pings and waits for the pong.
  ping(socket) {
    socket.on('pong', (data) => {
      print(`pong ${data}`);
      socket.close(1000, 'enough');
    });
    socket.ping('are you there');
  },
  // Waits for three pings.
  pinged(socket) {
    let pings = 0;
    socket.on('ping', () => {
      pings += 1;
      if (pings === 3) socket.close(1000, 'enough');
    });
  },
  // Sends one message of so many bytes.
  large(socket) {
    const data = Buffer.from(crypto.randomBytes(Number(args[0]) / 2).toString('hex'));
    socket.send(data, { binary: false }, () => {
      print(show(data, false));
      socket.close(1000);
    });
  },
  // Expects the numbers from 1 on, a message each.
  count(socket) {
    let last = 0;
    let isWrong = false;
    socket.on('message', (data) => {
      last += 1;
      if (!isWrong && Number(data) !== last) {
        isWrong = true;
        print(`${data} instead of ${last}`);
      }
    });
    socket.on('close', () => print(`counted to ${last}`));
  },
};

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 100 << 20 }, () =>
  print(`port ${server.address().port}`));
server.on('connection', (socket, request) => {
  socket.on('close', (code, reason) => print(`closed ${code} ${JSON.stringify(reason.toString())}`));
  socket.on('error', (error) => print(`error ${error.message}`));
  if (what === 'echo' && request.url !== '/') print(`asked for ${request.url}`);
  served[what](socket);
});
