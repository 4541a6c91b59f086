"""A member of a room with Python's websockets: room_member.py URL [CA]. Says what it is told on standard input, a line each:
text JSON, binary HEX, or close; and prints a line for each event."""

import asyncio
import json
import ssl
import sys

from websockets.asyncio.client import connect

url, *ca = sys.argv[1:]


async def obey(socket):
    while line := await asyncio.to_thread(sys.stdin.readline):
        kind, _, rest = line.strip().partition(" ")
        if kind == "close":
            return await socket.close()
        await socket.send(json.loads(rest) if kind == "text" else bytes.fromhex(rest))


async def main():
    context = ssl.create_default_context(cafile=ca[0]) if ca else None
    async with connect(url, ssl=context, proxy=None) as socket:
        print("joined", *(extension.name for extension in socket.protocol.extensions))
        obeying = asyncio.create_task(obey(socket))
        async for message in socket:
            if isinstance(message, str):
                print("text", json.dumps(message, ensure_ascii=False))
            else:
                print("binary", message.hex())
        print("closed", socket.close_code, json.dumps(socket.close_reason))
        await obeying


asyncio.run(main())
