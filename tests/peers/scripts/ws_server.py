"""A server with Python's websockets: ws_server.py WHAT [CERT KEY [CLIENT_CA]]. Prints its port, then events."""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

what, *pem = sys.argv[1:]


def show(message):
    if isinstance(message, str):
        return "text " + json.dumps(message, ensure_ascii=False)
    return "binary " + message.hex()


async def echo(socket):
    print("protocol", json.dumps(socket.subprotocol))
    try:
        while True:
            message = await socket.recv()
            print(show(message))
            await socket.send(message)
    except ConnectionClosed as closed:
        print("closed", closed.rcvd and closed.rcvd.code, json.dumps(closed.rcvd and closed.rcvd.reason))


async def close(socket):
    await socket.send("a word")
    await socket.close(4321, "because of that")


async def fragments(socket):
    """A message in fragments, then a ping that must be answered."""
    await socket.send(["one ", "two ", "three"])
    await (await socket.ping())
    await socket.close()


def context():
    if not pem:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pem[0], pem[1])
    if pem[2:]:
        made.load_verify_locations(pem[2])
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def choose(_, offered):
    return "chat" if "chat" in offered else None


async def main():
    handler = {"echo": echo, "close": close, "fragments": fragments}[what]
    async with serve(handler, "127.0.0.1", 0, ssl=context(), select_subprotocol=choose, max_size=None) as server:
        print("port", server.sockets[0].getsockname()[1])
        await server.serve_forever()


asyncio.run(main())
