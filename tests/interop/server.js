// An echo with Node's ws: node server.js DEFLATE. Prints its port.
const { WebSocketServer } = require('ws');

const options = { host: '127.0.0.1', port: 0, maxPayload: 64 << 20, perMessageDeflate: process.argv[2] === 'deflate' };
const server = new WebSocketServer(options, () => console.log(`port ${server.address().port}`));
server.on('connection', (socket) => socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })));
