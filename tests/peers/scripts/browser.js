// Opens a page in headless Chromium: node browser.js URL TASK. Prints the lines that the page's task gives.
const { withBrowser } = require('./chromium');

const [url, task] = process.argv.slice(2);

withBrowser(async (context) => {
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && console.log(`console: ${message.text()}`));
  const response = await page.goto(url);
  console.log(`page ${response.status()} ${response.headers()['content-type']}`);
  for (const line of await page.evaluate((name) => tasks[name](), task)) console.log(line);
});
