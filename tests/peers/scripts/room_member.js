// A member of a room with Node's ws: node room_member.js URL [CA [ADDRESS [FORWARDED]]]. ADDRESS is where it connects from,
// FORWARDED an X-Forwarded-For header of its own; PLAIN in the environment has it offer no compression. Says what it is told
// on standard input, a line each: text JSON, binary HEX, or close; and prints a line for each event, pings included.
const fs = require('fs');
const readline = require('readline');
const WebSocket = require('ws');

const [url, ca, localAddress, forwarded] = process.argv.slice(2);
const print = (line) => process.stdout.write(line + '\n');
const socket = new WebSocket(url, {
  ca: ca && fs.readFileSync(ca),
  localAddress,
  perMessageDeflate: !process.env.PLAIN,
  headers: forwarded ? { 'X-Forwarded-For': forwarded } : {},
});
// Standard input may still be open when the socket has ended.
const end = () => process.exit();
socket.on('open', () => print(`joined ${socket.extensions}`.trim()));
socket.on('message', (data, isBinary) =>
  print(isBinary ? `binary ${data.toString('hex')}` : `text ${JSON.stringify(data.toString())}`));
socket.on('ping', () => print('ping'));
socket.on('unexpected-response', (_, response) => {
  print(`refused ${response.statusCode}`);
  end();
});
socket.on('error', (error) => print(`error ${error.message}`));
socket.on('close', (code, reason) => {
  print(`closed ${code} ${JSON.stringify(reason.toString())}`);
  end();
});

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const [kind, rest] = line.split(/ (.*)/);
  if (kind === 'text') socket.send(JSON.parse(rest));
  if (kind === 'binary') socket.send(Buffer.from(rest, 'hex'));
  if (kind === 'close') socket.close(1000);
});
