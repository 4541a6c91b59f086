// Opens a page in headless Chromium: node browser.js URL TASK. Prints the lines that the page's task gives.
const { execSync } = require('child_process');
const { chromium } = require('playwright-core');

const [url, task] = process.argv.slice(2);

// Chromium looks for hosts of its maker at each start unless it is told not to.
const quiet = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

(async () => {
  const browser = await chromium.launch({
    executablePath: execSync('command -v chromium').toString().trim(),
    // Its sandbox does not start for root.
    chromiumSandbox: process.getuid() !== 0,
    args: quiet,
  });
  try {
    const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
    page.on('console', (message) => message.type() === 'error' && console.log(`console: ${message.text()}`));
    const response = await page.goto(url);
    console.log(`page ${response.status()} ${response.headers()['content-type']}`);
    for (const line of await page.evaluate((name) => tasks[name](), task)) console.log(line);
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.log(`failed: ${error.message}`);
  process.exitCode = 1;
});
