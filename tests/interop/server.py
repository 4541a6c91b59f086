"""server.py LIBRARY DEFLATE: an echo with Python's websockets or aiohttp. Prints its port."""

import asyncio
import sys

library, deflate = sys.argv[1], sys.argv[2] == "deflate"
LIMIT = 64 << 20


async def with_websockets():
    from websockets.asyncio.server import serve

    async def echo(socket):
        async for message in socket:
            await socket.send(message)

    server = await serve(echo, "127.0.0.1", 0, compression="deflate" if deflate else None, max_size=LIMIT)
    return server.sockets[0].getsockname()[1]


async def with_aiohttp():
    from aiohttp import WSMsgType, web

    async def echo(request):
        socket = web.WebSocketResponse(compress=deflate, max_msg_size=LIMIT)
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner.addresses[0][1]


async def main():
    print("port", await {"websockets": with_websockets, "aiohttp": with_aiohttp}[library](), flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
