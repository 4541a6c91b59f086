// Chromium as the scripts here start it.
const { execSync } = require('child_process');
const { chromium } = require('playwright-core');

// It looks for hosts of its maker at each start unless it is told not to.
const quiet = ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

// Runs a task with a context of its own, and tells if it fails. `args` are further options.
exports.withBrowser = async (task, args = []) => {
  const browser = await chromium.launch({
    executablePath: execSync('command -v chromium').toString().trim(),
    // Its sandbox does not start for root.
    chromiumSandbox: process.getuid() !== 0,
    args: [...quiet, ...args],
  });
  try {
    await task(await browser.newContext({ ignoreHTTPSErrors: true }));
  } catch (error) {
    console.log(`failed: ${error.message}`);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
};
