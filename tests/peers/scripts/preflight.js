// What a browser asks before a request of another site: node preflight.js URL CA. Prints the status and the headers.
const fs = require('fs');
const https = require('https');

const [url, ca] = process.argv.slice(2);
const headers = { Origin: 'https://elsewhere.example', 'Access-Control-Request-Method': 'GET' };
https.request(url, { method: 'OPTIONS', ca: fs.readFileSync(ca), headers }, (response) => {
  console.log(response.statusCode);
  const asked = Object.entries(response.headers).filter(([name]) => name.startsWith('access-control-'));
  for (const [name, value] of asked.sort()) console.log(`${name}: ${value}`);
  response.resume();
}).on('error', (error) => console.log(`error ${error.message}`)).end();
