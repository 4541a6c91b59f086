// A HAR file as Chromium's network panel exports it: node har.js PAGE FILE. The page does its task `kinds` while the developer tools that
// Chromium brings are attached to it, and their exporter writes the file.
const fs = require('fs');
const { createServer } = require('net');
const { withBrowser } = require('./chromium');

const [url, file] = process.argv.slice(2);

// What follows runs in the page of the developer tools.
const seen = async (number) => {
  const Logs = await import('/devtools/models/logs/logs.js');
  return Logs.NetworkLog.NetworkLog.instance().requests().some((request) => request.frames().length === number);
};
const exportHar = async () => {
  const [HAR, Logs] = await Promise.all(['har/har.js', 'logs/logs.js'].map((name) => import(`/devtools/models/${name}`)));
  const requests = Logs.NetworkLog.NetworkLog.instance().requests();
  return JSON.stringify({ log: await HAR.Log.Log.build(requests, { sanitize: false }) }, null, 2);
};

const freePort = () => new Promise((resolve) => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});

freePort().then((port) => withBrowser(async (context) => {
  const page = await context.newPage();
  const session = await context.newCDPSession(page);
  const { targetInfo } = await session.send('Target.getTargetInfo');
  const tools = await context.newPage();
  await tools.goto(`http://127.0.0.1:${port}/devtools/inspector.html?ws=127.0.0.1:${port}/devtools/page/${targetInfo.targetId}`);
  // They see no page that was there before.
  do await page.goto(url);
  while (!(await tools.evaluate(seen, 0)));
  await page.evaluate(() => tasks.kinds());
  // Five messages and their echoes.
  await tools.waitForFunction(seen, 10);
  const har = await tools.evaluate(exportHar);
  fs.writeFileSync(file, har);
}, [`--remote-debugging-port=${port}`, '--remote-allow-origins=*']));
