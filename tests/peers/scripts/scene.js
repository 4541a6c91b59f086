// A page in headless Chromium that is in a room: node scene.js URL ROOM. Says each line of standard input, prints what it hears.
const readline = require('readline');
const { withBrowser } = require('./chromium');

const [url, room] = process.argv.slice(2);

withBrowser(async (context) => {
  const page = await context.newPage();
  await page.exposeFunction('heard', (text) => console.log(`heard ${text}`));
  await page.goto(url);
  await page.evaluate((name) => join(name), room);
  console.log('joined');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    await page.evaluate((text) => socket.send(text), line);
  }
});
