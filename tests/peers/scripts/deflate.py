"""permessage-deflate with Python's websockets: deflate.py client|server OPTIONS [URL]. The server sends everything back.
The client says many messages, prints what was agreed on, and whether all came back as they were."""

import asyncio
import json
import os
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory, ServerPerMessageDeflateFactory

role, options, *url = sys.argv[1:]
options = json.loads(options)
LENGTHS = [0, 1, 2, 125, 126, 1023, 1024, 1025, 32768, 65535, 65536, 65537, 200000, 1000000, 5000000]
KINDS = [
    lambda length: ("all work and no play, zwölf ✓ " * (length // 20 + 1))[:length],
    bytes,
    os.urandom,
]


def show_agreed(socket):
    print("agreed", ", ".join(str(extension) for extension in socket.protocol.extensions) or "nothing")


async def echo(socket):
    show_agreed(socket)
    try:
        while True:
            await socket.send(await socket.recv())
    except ConnectionClosed as closed:
        print("closed", closed.rcvd and closed.rcvd.code)


async def say():
    extensions = [ClientPerMessageDeflateFactory(**options)]
    async with connect(url[0], compression=None, extensions=extensions, max_size=None, proxy=None) as socket:
        show_agreed(socket)
        same = 0
        for length in LENGTHS:
            for make in KINDS:
                # Twice: the second may refer to the first.
                for message in [make(length)] * 2:
                    await socket.send(message)
                    if await socket.recv() == message:
                        same += 1
                    else:
                        print("different:", make, length)
        print(same, "of", len(LENGTHS) * 6, "the same")
    print("closed", socket.close_code)


async def main():
    if role == "client":
        return await say()
    extensions = [ServerPerMessageDeflateFactory(**options)]
    async with serve(echo, "127.0.0.1", 0, compression=None, extensions=extensions, max_size=None) as server:
        print("port", server.sockets[0].getsockname()[1])
        await server.serve_forever()


asyncio.run(main())
