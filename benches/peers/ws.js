// A room server on Node's ws: sends each message to all clients with the same path, the sender included.
//
//   node ws.js PORT [--echo] [--deflate] [--cert FILE --key FILE]
//
// --echo sends each message back to its sender only. --deflate compresses all messages. --cert and --key add TLS. NODE_PATH must
// contain ws 8.

"use strict";

const fs = require("fs");
const http = require("http");
const https = require("https");
const { parseArgs } = require("util");
const { WebSocketServer } = require("ws");

// What wsplice queues for a member by default.
const MAX_BACKLOG = 16 << 20;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { echo: { type: "boolean" }, deflate: { type: "boolean" }, cert: { type: "string" }, key: { type: "string" } },
});

const server = values.cert
  ? https.createServer({ cert: fs.readFileSync(values.cert), key: fs.readFileSync(values.key) })
  : http.createServer();
const perMessageDeflate = values.deflate && {
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
  threshold: 0,
};
const sockets = new WebSocketServer({ server, maxPayload: 128 << 20, perMessageDeflate: perMessageDeflate ?? false });

const rooms = new Map();

sockets.on("connection", (client, request) => {
  if (values.echo) {
    client.on("message", (message, binary) => client.send(message, { binary }));
    return;
  }
  const members = rooms.get(request.url) ?? new Set();
  rooms.set(request.url, members.add(client));
  client.on("message", (message, binary) => {
    for (const member of members) {
      if (member.bufferedAmount < MAX_BACKLOG) {
        member.send(message, { binary });
      }
    }
  });
  client.on("close", () => members.delete(client));
});

server.listen({ port: Number(positionals[0]), host: "127.0.0.1", backlog: 1024 });
