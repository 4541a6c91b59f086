// A room server on uWebSockets: sends each message to all clients with the same path, the sender included.
//
//   uwebsockets PORT [--echo] [--deflate] [--cert FILE --key FILE [--low-memory]]
//
// --echo sends each message back to its sender only. --deflate compresses all messages, with the compressor that all connections
// share. --cert and --key add TLS; with --low-memory, OpenSSL keeps no buffers for idle connections, which costs CPU time.

#include "App.h"

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

namespace {

struct Options {
    int port = 0;
    bool echo = false;
    bool deflate = false;
    uWS::SocketContextOptions tls;
};

struct Client {
    std::string room;
};

// What wsplice queues for a member by default.
constexpr unsigned int MAX_BACKLOG = 16 << 20;
constexpr unsigned int MAX_MESSAGE = 128 << 20;

template <bool TLS>
int serve(const Options &options) {
    uWS::TemplatedApp<TLS> app(options.tls);
    typename uWS::TemplatedApp<TLS>::template WebSocketBehavior<Client> behavior;
    behavior.compression = options.deflate ? uWS::CompressOptions(uWS::SHARED_COMPRESSOR | uWS::SHARED_DECOMPRESSOR) : uWS::DISABLED;
    behavior.maxPayloadLength = MAX_MESSAGE;
    // An echo has to hold a whole message.
    behavior.maxBackpressure = options.echo ? 2 * MAX_MESSAGE : MAX_BACKLOG;
    behavior.idleTimeout = 0;
    behavior.sendPingsAutomatically = false;
    behavior.upgrade = [](auto *response, auto *request, auto *context) {
        response->template upgrade<Client>({std::string(request->getUrl())}, request->getHeader("sec-websocket-key"),
            request->getHeader("sec-websocket-protocol"), request->getHeader("sec-websocket-extensions"), context);
    };
    if (!options.echo) {
        behavior.open = [](auto *client) { client->subscribe(client->getUserData()->room); };
    }
    behavior.message = [&app, &options](auto *client, std::string_view message, uWS::OpCode opcode) {
        if (options.echo) {
            client->send(message, opcode, options.deflate);
        } else {
            app.publish(client->getUserData()->room, message, opcode, options.deflate);
        }
    };
    bool listens = false;
    app.template ws<Client>("/*", std::move(behavior));
    app.listen("127.0.0.1", options.port, [&listens](auto *socket) { listens = socket != nullptr; });
    if (!listens) {
        std::cerr << "uwebsockets: cannot listen on port " << options.port << '\n';
        return 1;
    }
    app.run();
    return 0;
}

}

int main(int count, char **arguments) {
    Options options;
    for (int i = 1; i < count; i++) {
        std::string_view argument = arguments[i];
        if (argument == "--echo") {
            options.echo = true;
        } else if (argument == "--deflate") {
            options.deflate = true;
        } else if (argument == "--low-memory") {
            options.tls.ssl_prefer_low_memory_usage = 1;
        } else if (argument == "--cert" && i + 1 < count) {
            options.tls.cert_file_name = arguments[++i];
        } else if (argument == "--key" && i + 1 < count) {
            options.tls.key_file_name = arguments[++i];
        } else {
            options.port = std::atoi(arguments[i]);
        }
    }
    if (!options.port) {
        std::cerr << "usage: uwebsockets PORT [--echo] [--deflate] [--cert FILE --key FILE [--low-memory]]\n";
        return 2;
    }
    return options.tls.key_file_name ? serve<true>(options) : serve<false>(options);
}
