// A member of a room in headless Chromium, as a page has it: node room_page.js URL. Says what it is told on standard input, a
// line each: text JSON, binary HEX, or close; and prints a line for each event.
const readline = require('readline');
const { withBrowser } = require('./chromium');

const [url] = process.argv.slice(2);
const print = (line) => process.stdout.write(line + '\n');

// What follows runs in the page.
function join(room) {
  const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const unhex = (text) => new Uint8Array((text.match(/../g) || []).map((pair) => parseInt(pair, 16)));
  const socket = new WebSocket(room);
  socket.binaryType = 'arraybuffer';
  socket.onopen = () => print(`joined ${socket.extensions}`.trim());
  socket.onmessage = ({ data }) =>
    print(typeof data === 'string' ? `text ${JSON.stringify(data)}` : `binary ${hex(data)}`);
  socket.onclose = (event) => print(`closed ${event.code} ${JSON.stringify(event.reason)}`);
  window.obey = (line) => {
    const [kind, rest] = line.split(/ (.*)/);
    if (kind === 'text') socket.send(JSON.parse(rest));
    if (kind === 'binary') socket.send(unhex(rest));
    if (kind === 'close') socket.close(1000);
  };
}

withBrowser(async (context) => {
  const page = await context.newPage();
  await page.exposeFunction('print', print);
  await page.evaluate(join, url);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await page.evaluate((what) => obey(what), line);
  }
});
