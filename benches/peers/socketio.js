// A room server on Socket.IO: emits each message to all clients with the same ?room=, the sender included.
//
//   node socketio.js PORT [REDIS_PORT]
//
// With REDIS_PORT, servers share their rooms through the Redis adapter. NODE_PATH must contain socket.io 4,
// @socket.io/redis-adapter 8 and redis.

"use strict";

const http = require("http");
const { Server } = require("socket.io");

async function main([port, redisPort]) {
  // The load program does not answer pings: none is sent.
  const server = http.createServer();
  const io = new Server(server, { transports: ["websocket"], pingInterval: 3_600_000, serveClient: false });
  if (redisPort) {
    const { createAdapter } = require("@socket.io/redis-adapter");
    const { createClient } = require("redis");
    const publisher = createClient({ url: `redis://127.0.0.1:${redisPort}` });
    const subscriber = publisher.duplicate();
    await Promise.all([publisher.connect(), subscriber.connect()]);
    io.adapter(createAdapter(publisher, subscriber));
  }
  io.on("connection", (socket) => {
    const room = socket.handshake.query.room;
    socket.join(room);
    socket.on("m", (text) => io.to(room).emit("m", text));
  });
  server.listen({ port: Number(port), host: "127.0.0.1", backlog: 1024 });
}

main(process.argv.slice(2));
