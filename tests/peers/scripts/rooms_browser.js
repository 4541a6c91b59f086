// Three pages in headless Chromium, two in one room and one in another: node rooms_browser.js URL. Prints what each hears.
const { withBrowser } = require('./chromium');

const [url] = process.argv.slice(2);

withBrowser(async (context) => {
  const [a, b, c] = await Promise.all(['red', 'red', 'blue?x=1'].map(async (room) => {
    const page = await context.newPage();
    page.on('console', (message) => message.type() === 'error' && console.log(`console: ${message.text()}`));
    await page.goto(url);
    await page.evaluate((name) => join(name), room);
    return page;
  }));
  const hear = (page, number) => page.evaluate((many) => hear(many), number);
  for (const [page, name, listeners] of [[a, 'a', { a, b }], [b, 'b', { a, b }], [c, 'c', { c }]]) {
    await page.evaluate((who) => speak(who), name);
    for (const [listener, its] of Object.entries(listeners)) {
      console.log(`${listener} of ${name}: ${(await hear(its, 8)).join(', ')}`);
    }
  }
  // All at once.
  const many = 2000;
  await Promise.all([[a, 'a'], [b, 'b'], [c, 'c']].map(([page, name]) =>
    page.evaluate(([who, upTo]) => count(who, upTo), [name, many])));
  const [red, alsoRed, blue] = await Promise.all([hear(a, 2 * many), hear(b, 2 * many), hear(c, many)]);
  const of = (name, lines) => lines.filter((line) => line.startsWith(`text "${name} `));
  const inOrder = (name, lines) => of(name, lines).every((line, i) => line === `text "${name} ${i + 1}"`);
  console.log(`red ${red.length}, the same for both ${red.join() === alsoRed.join()}, ` +
    `in order ${inOrder('a', red) && inOrder('b', red)}, of a ${of('a', red).length}`);
  console.log(`blue ${blue.length}, in order ${inOrder('c', blue)}`);
  for (const page of [a, b, c]) console.log(await page.evaluate(() => leave()));
});
