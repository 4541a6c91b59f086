complete -c wsplice -s s -l server-mode -l listen -d 'Listen for WebSocket connections on this port (on 127.0.0.1 if ADDR is omitted); same as ws-l: as ADDR1, or as wss-l: with --cert, --pkcs12-der or --self-signed' -r
complete -c wsplice -l replies -d 'End as soon as N messages have arrived from ADDR2; exit 9 if the session ends earlier' -r
complete -c wsplice -l within -d 'With -1 and --replies, the maximum silence after the last message was sent, and with --expect the maximum wait after it (exit 9); 0 sets no limit. Default: 30' -r
complete -c wsplice -l linger -d 'After the end of standard input, close when nothing has arrived for this long' -r
complete -c wsplice -l reply-wait -d 'After the end of standard input, wait this long for a first message if none has come since the last one was sent; 0 waits only for --linger, and -u for none' -r
complete -c wsplice -l close-timeout -d 'Maximum silence in one direction of a WebSocket session after the other direction has ended' -r
complete -c wsplice -l grace -d 'Maximum time for sessions to end after SIGINT or SIGTERM, and for child processes after their session; a second signal ends them at once' -r
complete -c wsplice -l connect-timeout -d 'Maximum time to open a connection, from the name lookup to the end of the opening handshake, or from the request of http: to the head of its response (exit 124); listeners also apply it to a client\'s TLS handshake, and to its request' -r
complete -c wsplice -s m -l max-time -d 'Maximum time for the whole run (exit 124)' -r
complete -c wsplice -l separator -d 'Terminate lines with this byte, a number from 0 to 255, instead of a newline' -r
complete -c wsplice -l separator-n -d 'Terminate lines with this number of newlines, or of the byte of -0 or --separator' -r
complete -c wsplice -l lengthprefixed-nbytes -d 'Number of bytes of a length of lengthprefixed:, 1 to 8' -r
complete -c wsplice -s p -l preamble -d 'Send TEXT to ADDR2 as the first message of each connection, also of each one that autoreconnect: opens; may be repeated' -r
complete -c wsplice -s P -l preamble-reverse -d 'The same for ADDR1' -r
complete -c wsplice -l max-messages -d 'Copy at most N messages from ADDR1 to ADDR2, as if the input ended then. A connection is read further, to the end, and what comes is dropped' -r
complete -c wsplice -l max-messages-rev -d 'The same from ADDR2 to ADDR1. The session ends when nothing is copied in the other direction either' -r
complete -c wsplice -l byte-to-exit-on -d 'The byte at which exit_on_specific_byte: ends the input, a number from 0 to 255. Default: 28, which is Ctrl and backslash' -r
complete -c wsplice -l send -d 'Send MSG to ADDR2 before the input; @FILE sends the content of a file as one message, binary with -b or if it is not UTF-8, and @@MSG sends @MSG. May be repeated' -r
complete -c wsplice -l expect -d 'Wait for a message from ADDR2 that matches a regular expression, print only that, and end; exit 9 if none comes within --within after the last message was sent. May be repeated: each must match a message' -r
complete -c wsplice -l expect-json -d 'The same with a program in the language of jq, which matches if a result is neither false nor null' -r
complete -c wsplice -l filter-json -d 'In place of each message from ADDR2, print the results of a program in the language of jq, such as \'select(.id == 7)\'. Messages that are not JSON are left out; one that takes the program more than a second or 1 GiB of memory ends the session (exit 1). jq\'s functions for dates, mathematics, formats such as @csv, and regular expressions except test are missing' -r
complete -c wsplice -l record -d 'Record the session to FILE, replacing its content: a JSON line for each frame, as --jsonl prints them, control frames too. Those of a listener have the number of the client\'s session ("session"). FILE may be a FIFO that is read, but not one to which another run records (exit 2). If it cannot be written any more, a warning says so and the session goes on' -r -F
complete -c wsplice -l replay-speed -d 'Play replay: at a multiple of its speed, such as 2x or 0.5x, or without pauses (max)' -r
complete -c wsplice -l replay-dir -d 'Play what was sent, or what was received. Default: sent, or to clients of a WebSocket listener received' -r -f -a "sent\t''
received\t''"
complete -c wsplice -l text-prefix -d 'Put TEXT in front of each received text message; a message that starts with it is sent as text, without it' -r
complete -c wsplice -l binary-prefix -d 'Put TEXT in front of each received binary message; a message that starts with it is sent as binary, without it' -r
complete -c wsplice -s H -l header -d 'Add an HTTP header to the opening handshake, or replace a default one; @FILE reads a header a line. May be repeated' -r
complete -c wsplice -l protocol -l subprotocol -d 'Offer this subprotocol; may be repeated, or a list separated by commas, in order of preference' -r
complete -c wsplice -l basic-auth -l user -l auth -d 'Send an Authorization header for Basic authentication' -r
complete -c wsplice -l basic-auth-file -d 'As --basic-auth, with the USER:PASSWORD in FILE. Without both options, wsplice uses the environment variable WEBSOCAT_BASIC_AUTH' -r -F
complete -c wsplice -l ws-c-uri -d 'URL that the ws-c: overlay requests. Default: ws://localhost/' -r
complete -c wsplice -l origin -d 'Send this Origin header' -r
complete -c wsplice -s A -l ua -l user-agent -d 'Send this User-Agent header' -r
complete -c wsplice -l websocket-version -d 'Send this Sec-WebSocket-Version header instead of 13, to test a server' -r
complete -c wsplice -l cookie -d 'Send a cookie; may be repeated' -r
complete -c wsplice -l forward-header -d 'Between two WebSockets, send this header of the client\'s request to the server, too, such as Cookie, Authorization or Origin; may be repeated' -r
complete -c wsplice -l max-redirects -l max-redirs -d 'Maximum number of redirects to follow (exit 5)' -r
complete -c wsplice -l resolve -d 'Use these addresses for HOST and PORT instead of looking the name up; * is every host. May be repeated' -r
complete -c wsplice -l proxy -d 'Connect through a proxy: http://, https://, socks5:// (wsplice looks names up) or socks5h:// (the proxy does), with USER:PASSWORD@ to log in; \'\' connects without one. Default, for URLs: the environment, see PROXIES in the manual' -r
complete -c wsplice -l noproxy -d 'Hosts to reach without a proxy, separated by commas: names with their subdomains, addresses, networks, or * for all. Default: NO_PROXY' -r
complete -c wsplice -l socks5 -l socks5-hostname -d 'Connect through this SOCKS5 proxy, which looks names up; same as --proxy socks5h://HOST:PORT' -r
complete -c wsplice -l socks5-user-pass -l proxy-user -d 'Log in to the proxy' -r
complete -c wsplice -l socks5-destination -d 'Where socks5-connect: connects to, or from where socks5-bind: accepts a connection' -r
complete -c wsplice -l socks5-bind-script -d 'Run this program when socks5-bind: listens, with the port as its argument' -r -F
complete -c wsplice -l threads -d 'Serve connections with N threads. Default: one for each core that wsplice may use' -r
complete -c wsplice -l conncap -l maxforks -d 'Serve at most N connections at once; others wait in the kernel\'s listen backlog' -r
complete -c wsplice -l max-per-address -d 'Maximum number of connections per client address (IPv6: per /64 network); further ones are closed, with --broadcast further members get 503. --trust-proxy exempts proxies' -r
complete -c wsplice -l max-lifetime -d 'Close each connection when it has lasted for SECONDS, or up to a tenth earlier so that clients do not come back together: a WebSocket with code 1001. Default: 0, no limit' -r
complete -c wsplice -l max-memory -d 'Maximum memory that is held for clients; beyond it the client with the most is closed with code 1013, and new ones get 503. Default: half of the memory of the machine or its cgroup' -r
complete -c wsplice -l chmod -d 'Permissions of the unix socket of a listener, such as 660. Default: those that the umask leaves' -r
complete -c wsplice -l server-protocol -d 'Select this subprotocol if the client offers it. Default: the one that a WebSocket server on the other side selected, or, if the other side is not a WebSocket, the client\'s first' -r
complete -c wsplice -l server-header -d 'Add an HTTP header to every response; may be repeated' -r
complete -c wsplice -l max-url-length -d 'Maximum length of a request\'s path and query; longer ones get 414' -r
complete -c wsplice -l max-header-length -d 'Maximum length of a request\'s head, at least 8k; longer ones get 431' -r
complete -c wsplice -l restrict-uri -d 'Accept WebSockets at this path only; opening handshakes for other paths get 404' -r
complete -c wsplice -l allow-origin -d 'Accept browsers with this Origin header only; others get 403; may be repeated' -r
complete -c wsplice -l require-basic-auth -d 'Require Basic authentication, also for static files; FILE lists USER:PASSWORD pairs, one per line; otherwise 401' -r -F
complete -c wsplice -l require-token -d 'Require a token, as `Authorization: Bearer TOKEN` or ?access_token=TOKEN, also for static files; FILE lists tokens, one per line; otherwise 401' -r -F
complete -c wsplice -l trust-proxy -d 'Trust the X-Forwarded-For header of proxies in this network; may be repeated' -r
complete -c wsplice -s F -l static-file -d 'Serve a file in response to plain GET requests, such as /index.html:text/html:./page.html; may be repeated' -r
complete -c wsplice -l staticdir -d 'Serve the files in a directory in response to other plain GET requests; / is its index.html. Files and directories whose names start with a dot, and what is not a regular file, are not served. Symbolic links are followed, also to files outside the directory' -r -F
complete -c wsplice -l slow -d 'What to do with a member whose backlog is full' -r -f -a "disconnect\t'Close it with code 1013'
drop-oldest\t'Drop the oldest messages in its backlog'
drop-newest\t'Drop new messages'
block\t'Pause its room until the backlog has shrunk'"
complete -c wsplice -l backlog -d 'Maximum number of bytes that are queued for one member, or for one client of reuse: or -s. Default: 16m, for reuse: 1m' -r
complete -c wsplice -l slow-timeout -d 'With --slow disconnect and block, close a member with code 1013 that takes nothing from its backlog for SECONDS, whatever it sends; also a client of reuse: or -s for which others wait, or which waits for the shared end. 0 sets no limit' -r
complete -c wsplice -l history -d 'Send the last N messages of a room to whoever joins it, before newer ones; at most a quarter of --backlog is kept of a room, and a quarter of --max-memory of all rooms. Clients that offer the subprotocol wsplice.resume.v1 can resume after a reconnect' -r
complete -c wsplice -l history-ttl -d 'Forget the messages of --history when nothing has been sent to a room for SECONDS, whether or not it has members' -r
complete -c wsplice -l max-rooms -d 'Maximum number of rooms; handshakes for more get 503' -r
complete -c wsplice -l max-per-room -d 'Maximum number of members per room; further ones get 503' -r
complete -c wsplice -l room-prefix -d 'Serve rooms only at this path and below it; other paths get 404' -r
complete -c wsplice -l metrics -d 'Serve Prometheus metrics at http://ADDR/metrics' -r
complete -c wsplice -l healthcheck -d 'Check the health of the room server at URL, or without URL of process 1, as in a container; exit 0 if it is healthy' -r
complete -c wsplice -l cluster -d 'Share the rooms with all room servers that have the same URL, by way of Redis, redis://HOST[:PORT][/DATABASE], or of NATS with JetStream, nats://HOST[:PORT]; rediss:// and tls:// with TLS. If the server cannot be used, exit 3' -r
complete -c wsplice -l cluster-name -d 'Name of the cluster; servers with another name have other rooms' -r
complete -c wsplice -l cluster-auth -d 'File with PASSWORD or USER:PASSWORD, or a token of NATS, for --cluster; better than in the URL, which other users of this machine can see' -r -F
complete -c wsplice -l cluster-ca -d 'CA certificates to trust for --cluster with TLS (PEM). Default: those of the system' -r -F
complete -c wsplice -l cluster-wait -d 'When the server of --cluster does not answer, keep members connected for SECONDS; reading from them pauses' -r
complete -c wsplice -l cluster-down -d 'What to do after that' -r -f -a "close\t'Close members with code 1013; handshakes and the health check get 503'
local\t'Serve the members of this server alone; close them with code 1012 when the others are back'"
complete -c wsplice -l ping-interval -d 'Interval between pings; 0 disables them. Default: 0, with --broadcast 30' -r
complete -c wsplice -l ping-timeout -d 'Close the connection if no pong arrives within SECONDS (exit 7); other data from the peer counts as well. Default with --broadcast: 60' -r
complete -c wsplice -l close-status-code -d 'Close code to send: 1000 to 1003, 1007 to 1014 or 3000 to 4999. Default: 1000' -r
complete -c wsplice -l close-reason -d 'Close reason to send, at most 123 bytes' -r
complete -c wsplice -l max-ws-message-length -d 'Maximum length of a received message (longer: close code 1009, exit 6) and of an input line (longer: exit 1). Default: 64m, with --broadcast a quarter of --backlog' -r
complete -c wsplice -l max-ws-frame-length -d 'Maximum length of a received frame (longer: close code 1009, exit 6). Default: 64m' -r
complete -c wsplice -l message-timeout -d 'Maximum time for a message to arrive, plus 1 second for every 16 KiB of it (longer: close code 1008, exit 6); 0 disables the limit' -r
complete -c wsplice -l deflate -d 'When to compress messages (permessage-deflate)' -r -f -a "auto\t'Clients offer compression; listeners accept it, but not with --broadcast'
off\t'Clients do not offer compression; listeners do not accept it'
on\t'Clients require compression (otherwise exit 5); listeners accept it, also with --broadcast'"
complete -c wsplice -l deflate-level -d 'Compression level, 1 to 9; 0 sends all messages uncompressed. Level 3 compresses within 10% of level 6 (zlib\'s default) in half the time' -r
complete -c wsplice -l deflate-window-bits -d 'Maximum compression window, 2^N bytes, to request and to use, for both directions' -r
complete -c wsplice -l deflate-threshold -d 'Send messages shorter than this uncompressed; a message that fits into one packet anyway gains little' -r
complete -c wsplice -l max-sent-pings -d 'Stop sending pings after N of them' -r
complete -c wsplice -l inhibit-pongs -d 'Stop answering pings after N pongs, to test what the peer does then' -r
complete -c wsplice -l cert -d 'Server certificate chain (PEM, leaf first). SIGHUP makes listeners read all files of certificates, keys and CAs again' -r -F
complete -c wsplice -l key -d 'Private key of --cert (PEM)' -r -F
complete -c wsplice -l client-cert -d 'Client certificate chain for servers that request one (PEM, leaf first). Default: --cert, or --pkcs12-der' -r -F
complete -c wsplice -l client-key -d 'Private key of --client-cert (PEM)' -r -F
complete -c wsplice -l cacert -l ca -d 'CA certificates to trust (PEM), instead of the system\'s' -r -F
complete -c wsplice -l tls-domain -d 'Server name to request (SNI) and to verify in the certificate, instead of the host in the address' -r
complete -c wsplice -l client-ca -d 'Require client certificates that are signed by a CA in FILE (PEM)' -r -F
complete -c wsplice -l pkcs12-der -d 'Server certificate chain and private key, as a PKCS #12 archive' -r -F
complete -c wsplice -l pkcs12-passwd -d 'Password of --pkcs12-der' -r
complete -c wsplice -l client-pkcs12-der -d 'Client certificate chain and private key, as a PKCS #12 archive' -r -F
complete -c wsplice -l client-pkcs12-passwd -d 'Password of --client-pkcs12-der' -r
complete -c wsplice -l passphrase -d 'Passphrase of --key and --client-key, if they are encrypted' -r
complete -c wsplice -s X -l request-method -d 'Method of http: and http-request:; with POST, PUT and PATCH the other side of the session is the body' -r
complete -c wsplice -l request-header -d 'Add a header to the request of http: or http-request:, or replace a default one; may be repeated' -r
complete -c wsplice -l request-uri -d 'URL that http-request: requests' -r
complete -c wsplice -l udp-multicast -d 'Join this multicast group; may be repeated' -r
complete -c wsplice -l udp-multicast-iface-v4 -d 'Address of the interface for multicast over IPv4; if repeated, one for each IPv4 group' -r
complete -c wsplice -l udp-multicast-iface-v6 -d 'Index of the interface for multicast over IPv6; if repeated, one for each IPv6 group' -r
complete -c wsplice -l udp-ttl -d 'Time to live (IPv6: hop limit) of datagrams' -r
complete -c wsplice -l udp-server-max-clients -d 'Maximum number of clients of udp-server: at a time; datagrams of others are dropped' -r
complete -c wsplice -l udp-server-timeout -d 'End the session of a client of udp-server: when no datagram has been sent or received for SECONDS' -r
complete -c wsplice -l exec-args -d 'Arguments of exec:; must be the last option, since it takes the rest of the command line' -r
complete -c wsplice -l dir -d 'Run the program in DIR that the URL names, for each client; same as exec-dir:DIR as ADDR2' -r
complete -c wsplice -l header-to-env -d 'Set the environment variable H_NAME for programs to this header of the request; may be repeated. Most headers are in HTTP_NAME anyway, but not Authorization' -r
complete -c wsplice -l passenv -d 'Pass only these environment variables of wsplice on to programs, separated by commas, and PATH; those of the request are set anyway. Default: all' -r
complete -c wsplice -l autoreconnect-delay-millis -d 'Initial reconnect delay of autoreconnect:, at least 10; the delay doubles with each attempt' -r
complete -c wsplice -l autoreconnect-max-delay-millis -d 'Maximum reconnect delay of autoreconnect:' -r
complete -c wsplice -l retry -l retry-max -d 'Give up after N further attempts of autoreconnect: in a row that fail. Default: no limit' -r
complete -c wsplice -l ts -d 'Show the time of each message' -r -f -a "off\t'None'
time\t'The time of day in UTC'
rel\t'Seconds since the session began'
iso\t'Date and time in UTC, as in ISO 8601'"
complete -c wsplice -l color -d 'When to use colours' -r -f -a "auto\t'Unless the environment variable NO_COLOR is set'
always\t'Also with NO_COLOR'
never\t'Never'"
complete -c wsplice -l log-format -d 'Format of lines on standard error' -r -f -a "text\t'Plain text'
json\t'One JSON object per line'"
complete -c wsplice -l just-generate-accept -d 'Print the Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key, and exit' -r
complete -c wsplice -s c -l connect -d 'Connect to this URL; same as the URL as an address' -r
complete -c wsplice -s x -l execute -d 'Send this message in place of standard input; may be repeated' -r
complete -c wsplice -s w -l wait -d 'After -x, receive for this long, then close; -1: go on with standard input. Default: as after the end of standard input' -r
complete -c wsplice -s B -l buffer-size -d 'No effect: messages are never split or cut; --max-ws-message-length limits their length' -r
complete -c wsplice -l queue-len -d 'No effect: clients of reuse: have a backlog in bytes, which --backlog sets' -r
complete -c wsplice -l explain -l dump-spec -d 'Print what would be connected, including the overlays that wsplice inserts, and exit'
complete -c wsplice -s u -l unidirectional -d 'Copy from ADDR1 to ADDR2 only'
complete -c wsplice -s U -l unidirectional-reverse -d 'Copy from ADDR2 to ADDR1 only; with -u, copy nothing: connect, then close'
complete -c wsplice -s E -l exit-on-eof -d 'End the session as soon as either end has ended, without waiting for replies'
complete -c wsplice -s n -l no-close -d 'Send no close frame after the end of the input; receive until the peer closes. With -u, as -E'
complete -c wsplice -s 1 -l one-message -d 'Send at most one message to ADDR2, and end as soon as one reply has arrived'
complete -c wsplice -s t -l text -d 'Treat each line of a byte stream as one text message'
complete -c wsplice -s b -l binary -d 'Treat each read from a byte stream as one binary message, and write messages without a trailing newline'
complete -c wsplice -s 0 -l null-terminated -d 'Terminate lines with a zero byte instead of a newline'
complete -c wsplice -l one-line -d 'When messages are written as lines, replace the newlines inside them (zero bytes with -0) with spaces'
complete -c wsplice -l lengthprefixed-little-endian -d 'lengthprefixed: writes the least significant byte of a length first'
complete -c wsplice -l lengthprefixed-skip-read-direction -d 'lengthprefixed: expects no lengths in what it reads; each read is a message'
complete -c wsplice -l lengthprefixed-skip-write-direction -d 'lengthprefixed: writes no lengths'
complete -c wsplice -l lengthprefixed-tag-text -d 'lengthprefixed: marks text messages with the most significant bit of the length'
complete -c wsplice -l jsonrpc -d 'Turn each message from ADDR1 into a JSON-RPC 2.0 request: the first word is the method, the rest its parameters; same as jsonrpc: in front of ADDR1'
complete -c wsplice -l jsonrpc-omit-jsonrpc -d 'Leave the field "jsonrpc" out of requests of --jsonrpc and jsonrpc:, as Chromium\'s DevTools want it'
complete -c wsplice -l timestamp-monotonic -d 'timestamp: counts from the start of the session instead of 1970'
complete -c wsplice -l foreachmsg-wait-read -d 'foreachmsg: waits for replies to a message until the connection for it ends, however long that takes'
complete -c wsplice -l reuser-send-zero-msg-on-disconnect -d 'reuse-raw: sends an empty message when one of its sessions ends'
complete -c wsplice -l json-in -d 'Read one JSON value a message from standard input, however many lines it has (exit 1 if it is not JSON)'
complete -c wsplice -l jsonl -d 'Print each message that is sent or received as a JSON line with its time, direction, kind and length; with --show-ping-pong control frames, too'
complete -c wsplice -l stats -d 'At the end of a session, print its messages, bytes and rates, and the round trips of its pings, to standard error'
complete -c wsplice -l base64 -d 'Encode received binary messages in base64, and decode binary messages before they are sent: with -b each line of a byte stream is the base64 of one message, without it those lines that start with --binary-prefix'
complete -c wsplice -l base64-text -d 'The same for text messages'
complete -c wsplice -l compress-gzip -d 'Compress the payloads of binary messages before they are sent. Not permessage-deflate, which is --deflate'
complete -c wsplice -l compress-zlib -d 'As --compress-gzip, in the format of zlib'
complete -c wsplice -l compress-deflate -d 'As --compress-gzip, without a header'
complete -c wsplice -l uncompress-gzip -d 'Uncompress the payloads of received binary messages, up to --max-ws-message-length'
complete -c wsplice -l uncompress-zlib -d 'As --uncompress-gzip, in the format of zlib'
complete -c wsplice -l uncompress-deflate -d 'As --uncompress-gzip, without a header'
complete -c wsplice -l websocket-ignore-zeromsg -d 'Drop received messages that are empty'
complete -c wsplice -s L -l follow -l location -d 'Follow redirects. Another host, port or scheme gets no Authorization header and no cookies'
complete -c wsplice -s 4 -l ipv4 -d 'Use IPv4 addresses only'
complete -c wsplice -s 6 -l ipv6 -d 'Use IPv6 addresses only'
complete -c wsplice -l oneshot -d 'Serve one connection, then exit'
complete -c wsplice -l stdout-announce-listening-ports -d 'When a listener is ready, print its address on standard output, as LISTEN proto=tcp,ip=127.0.0.1,port=8080'
complete -c wsplice -l unlink -d 'Remove an existing socket at the path of a unix socket listener before listening'
complete -c wsplice -l accept-from-fd -d 'Take the argument of unix-listen: and l-ws-unix: for the number of a descriptor that listens already'
complete -c wsplice -l same-origin -l sameorigin -d 'Accept browsers only if the Origin header has the host and port of the Host header; others get 403'
complete -c wsplice -l broadcast -d 'Run a room server: send each client\'s messages to all clients with the same path and query'
complete -c wsplice -l no-echo -d 'Do not send a message back to its sender'
complete -c wsplice -l deflate-no-context-takeover -d 'Compress each message independently, as --broadcast always does, and ask the peer to do the same; uses less memory, compresses less'
complete -c wsplice -l print-ping-rtts -d 'Log the time between each ping and its pong'
complete -c wsplice -s k -l insecure -d 'Accept any server certificate; an attacker on the path can then read and alter the connection'
complete -c wsplice -l self-signed -d 'Generate a server certificate for localhost, 127.0.0.1 and ::1 at start, and print its fingerprint'
complete -c wsplice -l udp-broadcast -d 'Allow datagrams to broadcast addresses'
complete -c wsplice -l udp-multicast-loop -d 'Receive also what this machine sends to a group, which is the default of most systems'
complete -c wsplice -l udp-oneshot -d 'Send only one datagram to each client of udp-listen:, then wait for the next client'
complete -c wsplice -l udp-reuseaddr -d 'Allow other sockets to be bound to the same address'
complete -c wsplice -s e -l set-environment -d 'Set the environment variables of websocat for programs: WEBSOCAT_URI is the path and query that the client requests, WEBSOCAT_CLIENT its address'
complete -c wsplice -l pty -d 'Run programs on a terminal of their own instead of pipes; their output is sent as it is read'
complete -c wsplice -l exec-exit-on-disconnect -d 'End a program as soon as the other side of its session has ended, without waiting for more output'
complete -c wsplice -l exec-sighup-on-stdin-close -d 'Send SIGHUP to a program when its input ends'
complete -c wsplice -l exec-sighup-on-zero-msg -d 'Send SIGHUP to a program for each empty message, in its place'
complete -c wsplice -l no-tui -d 'Read lines and write messages on a terminal as on a pipe, without the prompt of term:'
complete -c wsplice -l no-history -d 'Neither read nor write the history of what is typed, $XDG_STATE_HOME/wsplice/history'
complete -c wsplice -l pretty -d 'Lay out every JSON message over several lines. Default: those that do not fit into one'
complete -c wsplice -l raw -d 'Write what arrives to the terminal as it is: control characters too, which may do anything to the terminal'
complete -c wsplice -s v -l verbose -d 'Log opening handshakes to standard error, with --broadcast also members that join and leave; -vv also logs frames, except those of rooms'
complete -c wsplice -s q -l quiet -d 'Log nothing to standard error except the error that ends the run'
complete -c wsplice -l just-generate-key -d 'Print a random Sec-WebSocket-Key, and exit'
complete -c wsplice -l show-ping-pong -d 'Log pings, pongs and close frames to standard error'
complete -c wsplice -l slash -d 'Lines of the form /ping [TEXT], /pong [TEXT] and /close [CODE [REASON]] send control frames'
complete -c wsplice -l no-color -d 'Same as --color never'
complete -c wsplice -s S -l strict -d 'No effect: lines and messages are never split'
complete -c wsplice -l no-line -d 'No effect: -b sends data as it was read, not by lines'
complete -c wsplice -l linemode-strip-newlines -d 'No effect: messages that are made of lines never contain the newline'
complete -c wsplice -l async-stdio -d 'No effect: standard input and output are read and written without a thread where the system allows it'
complete -c wsplice -l no-async-stdio -d 'No effect: the mode of standard input and output is never changed'
complete -c wsplice -l no-fixups -d 'No effect: --explain prints the overlays that are inserted'
complete -c wsplice -l no-exit-on-zeromsg -d 'No effect: an empty message never ends a session'
complete -c wsplice -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wsplice -s V -l version -d 'Print version'

# Addresses, behind overlays or not; a path where the address takes one.
function __wsplice_addresses
    set -l word (commandline -ct)
    set -l prefix (string match -r '^(?:(?:ws-connect|ws-c|c-ws|connect-ws|ws-upgrade|ws-u|u-ws|upgrade-ws|ws-lowlevel-client|ws-ll-client|ws-ll-c|ws-lowlevel-server|ws-ll-server|ws-ll-s|tls|ssl|tls-connect|ssl-connect|tls-c|ssl-c|c-tls|c-ssl|connect-tls|connect-ssl|tls-accept|ssl-accept|tls-a|ssl-a|a-tls|a-ssl|accept-tls|accept-ssl|socks5-connect|socks5-bind|lines|line2msg|msg2line|json|chunks|lengthprefixed|base64|reuse|broadcast|reuse-broadcast|broadcast-reuse|reuse-raw|raw-reuse|autoreconnect|waitfordata|wait-for-data|foreachmsg|drop_on_backpressure|drop-on-backpressure|exit_on_specific_byte|exit-on-specific-byte|jsonrpc|timestamp|log|http-request|http-post-sse):)*' -- $word)
    set -l rest (string replace -- "$prefix" '' $word)
    if set -l kind (string match -r '^(?:ws\+unix|l-ws-unix|unix|unix-connect|connect-unix|unix-c|c-unix|unix-listen|listen-unix|unix-l|l-unix|unix-dgram|seqpacket|seqpacket-connect|connect-seqpacket|seqpacket-c|c-seqpacket|seqpacket-listen|listen-seqpacket|seqpacket-l|l-seqpacket|exec-dir|readfile|writefile|appendfile|open-async):' -- $rest)
        __fish_complete_path (string replace -- $kind '' $rest) | string replace -r '^' -- "$prefix$kind"
        return
    end
    printf "$prefix%s\t%s\n" \
        'ws:' 'Connect to a WebSocket server' \
        'wss:' 'Connect to a WebSocket server over TLS' \
        'ws+unix:' 'Connect to a WebSocket server on a unix socket' \
        'ws-listen:' 'Accept WebSocket connections' \
        'ws-l:' 'Accept WebSocket connections' \
        'l-ws:' 'Accept WebSocket connections' \
        'listen-ws:' 'Accept WebSocket connections' \
        'wss-listen:' 'Accept WebSocket connections over TLS' \
        'wss-l:' 'Accept WebSocket connections over TLS' \
        'l-wss:' 'Accept WebSocket connections over TLS' \
        'listen-wss:' 'Accept WebSocket connections over TLS' \
        'l-ws-unix:' 'Accept WebSocket connections on a unix socket' \
        'l-ws-abstract:' 'Accept WebSocket connections on a unix socket in the abstract namespace of Linux' \
        'inetd-ws:' 'A WebSocket connection that inetd(8) or systemd passes' \
        'ws-inetd:' 'A WebSocket connection that inetd(8) or systemd passes' \
        'stdio:' 'Standard input and output' \
        '-' 'Standard input and output' \
        'asyncstdio:' 'Standard input and output' \
        'threadedstdio:' 'Standard input and output' \
        'term:' 'The terminal, with a prompt' \
        'inetd:' 'A connection that inetd(8) or systemd passes as standard input and output' \
        'http:' 'Send an HTTP request, and read the body of its response' \
        'http-client:' 'Send an HTTP request, and read the body of its response' \
        'tcp:' 'Connect to a TCP server' \
        'tcp-connect:' 'Connect to a TCP server' \
        'connect-tcp:' 'Connect to a TCP server' \
        'tcp-c:' 'Connect to a TCP server' \
        'c-tcp:' 'Connect to a TCP server' \
        'tcp-listen:' 'Accept TCP connections' \
        'listen-tcp:' 'Accept TCP connections' \
        'tcp-l:' 'Accept TCP connections' \
        'l-tcp:' 'Accept TCP connections' \
        'tls-listen:' 'Accept TLS connections' \
        'ssl-listen:' 'Accept TLS connections' \
        'tls-l:' 'Accept TLS connections' \
        'ssl-l:' 'Accept TLS connections' \
        'l-tls:' 'Accept TLS connections' \
        'l-ssl:' 'Accept TLS connections' \
        'listen-tls:' 'Accept TLS connections' \
        'listen-ssl:' 'Accept TLS connections' \
        'udp:' 'Send and receive UDP datagrams' \
        'udp-connect:' 'Send and receive UDP datagrams' \
        'connect-udp:' 'Send and receive UDP datagrams' \
        'udp-c:' 'Send and receive UDP datagrams' \
        'c-udp:' 'Send and receive UDP datagrams' \
        'udp-listen:' 'Receive UDP datagrams from anybody, and reply to the last sender' \
        'listen-udp:' 'Receive UDP datagrams from anybody, and reply to the last sender' \
        'udp-l:' 'Receive UDP datagrams from anybody, and reply to the last sender' \
        'l-udp:' 'Receive UDP datagrams from anybody, and reply to the last sender' \
        'udp-server:' 'Receive UDP datagrams, with a session for each client' \
        'unix:' 'Connect to a unix socket' \
        'unix-connect:' 'Connect to a unix socket' \
        'connect-unix:' 'Connect to a unix socket' \
        'unix-c:' 'Connect to a unix socket' \
        'c-unix:' 'Connect to a unix socket' \
        'unix-listen:' 'Accept connections on a unix socket' \
        'listen-unix:' 'Accept connections on a unix socket' \
        'unix-l:' 'Accept connections on a unix socket' \
        'l-unix:' 'Accept connections on a unix socket' \
        'abstract:' 'Connect to a unix socket in the abstract namespace of Linux' \
        'abstract-connect:' 'Connect to a unix socket in the abstract namespace of Linux' \
        'connect-abstract:' 'Connect to a unix socket in the abstract namespace of Linux' \
        'abstract-c:' 'Connect to a unix socket in the abstract namespace of Linux' \
        'c-abstract:' 'Connect to a unix socket in the abstract namespace of Linux' \
        'abstract-listen:' 'Accept connections on a unix socket in the abstract namespace of Linux' \
        'listen-abstract:' 'Accept connections on a unix socket in the abstract namespace of Linux' \
        'abstract-l:' 'Accept connections on a unix socket in the abstract namespace of Linux' \
        'l-abstract:' 'Accept connections on a unix socket in the abstract namespace of Linux' \
        'unix-dgram:' 'Receive datagrams at one unix socket, and send to another' \
        'abstract-dgram:' 'The same with names in the abstract namespace of Linux' \
        'seqpacket:' 'Connect to a unix socket of packets' \
        'seqpacket-connect:' 'Connect to a unix socket of packets' \
        'connect-seqpacket:' 'Connect to a unix socket of packets' \
        'seqpacket-c:' 'Connect to a unix socket of packets' \
        'c-seqpacket:' 'Connect to a unix socket of packets' \
        'seqpacket-listen:' 'Accept connections on a unix socket of packets' \
        'listen-seqpacket:' 'Accept connections on a unix socket of packets' \
        'seqpacket-l:' 'Accept connections on a unix socket of packets' \
        'l-seqpacket:' 'Accept connections on a unix socket of packets' \
        'tcp-listen-fd:' 'Accept TCP connections on a socket from the service manager' \
        'unix-listen-fd:' 'Accept connections on a unix socket from the service manager' \
        'exec:' 'Run a program' \
        'sh-c:' 'Run a shell command line' \
        'cmd:' 'Run a shell command line' \
        'exec-dir:' 'Run the program in a directory that the URL names' \
        'readfile:' 'Read a file' \
        'writefile:' 'Write to a file, replacing its content' \
        'appendfile:' 'Append to a file' \
        'replay:' 'Play a recorded session' \
        'open-async:' 'Read and write a device or a named pipe' \
        'open-fd:' 'Read and write an open file descriptor' \
        'async-fd:' 'Read and write an open file descriptor' \
        'mirror:' 'Send each message back' \
        'literal:' 'Send this text, then end' \
        'literalreply:' 'Reply to each message with this text' \
        'literal-base64:' 'Send these bytes, then end' \
        'null:' 'Discard all data' \
        'devnull:' 'Discard all data' \
        'empty:' 'Discard all data, and end at once' \
        'zero:' 'Send zero bytes without end' \
        'random:' 'Send random bytes without end' \
        'clogged:' 'Neither take nor send data' \
        'assert:' 'Check that exactly this text is received' \
        'assert2:' 'Check that exactly this text is received' \
        'ws-connect:' 'WebSocket, client side' \
        'ws-c:' 'WebSocket, client side' \
        'c-ws:' 'WebSocket, client side' \
        'connect-ws:' 'WebSocket, client side' \
        'ws-upgrade:' 'WebSocket, server side' \
        'ws-u:' 'WebSocket, server side' \
        'u-ws:' 'WebSocket, server side' \
        'upgrade-ws:' 'WebSocket, server side' \
        'ws-lowlevel-client:' 'WebSocket frames without the opening handshake, client side' \
        'ws-ll-client:' 'WebSocket frames without the opening handshake, client side' \
        'ws-ll-c:' 'WebSocket frames without the opening handshake, client side' \
        'ws-lowlevel-server:' 'WebSocket frames without the opening handshake, server side' \
        'ws-ll-server:' 'WebSocket frames without the opening handshake, server side' \
        'ws-ll-s:' 'WebSocket frames without the opening handshake, server side' \
        'tls:' 'TLS, client side' \
        'ssl:' 'TLS, client side' \
        'tls-connect:' 'TLS, client side' \
        'ssl-connect:' 'TLS, client side' \
        'tls-c:' 'TLS, client side' \
        'ssl-c:' 'TLS, client side' \
        'c-tls:' 'TLS, client side' \
        'c-ssl:' 'TLS, client side' \
        'connect-tls:' 'TLS, client side' \
        'connect-ssl:' 'TLS, client side' \
        'tls-accept:' 'TLS, server side' \
        'ssl-accept:' 'TLS, server side' \
        'tls-a:' 'TLS, server side' \
        'ssl-a:' 'TLS, server side' \
        'a-tls:' 'TLS, server side' \
        'a-ssl:' 'TLS, server side' \
        'accept-tls:' 'TLS, server side' \
        'accept-ssl:' 'TLS, server side' \
        'socks5-connect:' 'Connect through a SOCKS5 proxy' \
        'socks5-bind:' 'Accept one connection through a SOCKS5 proxy' \
        'lines:' 'Each line becomes one message' \
        'line2msg:' 'Each line becomes one message' \
        'msg2line:' 'Each line becomes one message' \
        'json:' 'Each JSON value becomes one message' \
        'chunks:' 'Each read becomes one message' \
        'lengthprefixed:' 'Each message has its length in front of it' \
        'base64:' 'Encode messages in base64' \
        'reuse:' 'Share one connection between all sessions' \
        'broadcast:' 'Share one connection between all sessions' \
        'reuse-broadcast:' 'Share one connection between all sessions' \
        'broadcast-reuse:' 'Share one connection between all sessions' \
        'reuse-raw:' 'Share one connection, each reply to one session' \
        'raw-reuse:' 'Share one connection, each reply to one session' \
        'autoreconnect:' 'Reconnect when the connection ends' \
        'waitfordata:' 'Connect when there is data to send' \
        'wait-for-data:' 'Connect when there is data to send' \
        'foreachmsg:' 'Open an address for each message' \
        'drop_on_backpressure:' 'Drop messages that the peer does not take at once' \
        'drop-on-backpressure:' 'Drop messages that the peer does not take at once' \
        'exit_on_specific_byte:' 'End the input at a certain byte' \
        'exit-on-specific-byte:' 'End the input at a certain byte' \
        'jsonrpc:' 'Turn words into JSON-RPC requests' \
        'timestamp:' 'Put the time in front of each message' \
        'log:' 'Log traffic to standard error' \
        'http-request:' 'HTTP request' \
        'http-post-sse:' 'Messages by HTTP: GET receives server-sent events, POST sends its body' \
        | string match -v '\t'
end
complete -c wsplice -f -a '(__wsplice_addresses)'
