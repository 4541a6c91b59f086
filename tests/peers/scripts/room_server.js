// A room server on the package ws 7, as small as people write them: a room is a request target, and every message goes to
// every open member of its room, the sender included. Prints its port.
const WebSocket = require('ws7');

const rooms = new Map();
const server = new WebSocket.Server({ host: '127.0.0.1', port: 0 }, () => console.log(`port ${server.address().port}`));

server.on('connection', (socket, request) => {
  const room = rooms.get(request.url) ?? new Set();
  rooms.set(request.url, room.add(socket));
  // Text is a string here and binary a Buffer, so send() keeps the kind.
  socket.on('message', (data) => {
    for (const member of room) if (member.readyState === WebSocket.OPEN) member.send(data);
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    room.delete(socket);
    if (room.size === 0) rooms.delete(request.url);
  });
});
