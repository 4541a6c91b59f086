complete -c wsplice -s s -l server-mode -d 'Serve WebSockets on this port, of 127.0.0.1 unless ADDR is given; the same as ws-l: as ADDR1' -r
complete -c wsplice -l replies -d 'End as soon as N messages have come from ADDR2; exit 9 when the session ends before that' -r
complete -c wsplice -l linger -d 'After the end of standard input, close once nothing has arrived for this long' -r
complete -c wsplice -l close-timeout -d 'After one direction of a WebSocket session has ended, how long the other may be silent' -r
complete -c wsplice -l grace -d 'After SIGINT or SIGTERM, how long sessions may take to end; a second signal ends them at once' -r
complete -c wsplice -l connect-timeout -d 'How long opening a connection may take, from the name look-up to the finished upgrade (exit 124); listeners give clients as long for the TLS handshake and for the request' -r
complete -c wsplice -s m -l max-time -d 'How long the whole run may take (exit 124)' -r
complete -c wsplice -s H -l header -d 'Add a header to the upgrade request, or replace one of ours; one for each -H' -r
complete -c wsplice -l origin -d 'Send this Origin header' -r
complete -c wsplice -l protocol -d 'Offer these subprotocols, separated by commas, the preferred one first' -r
complete -c wsplice -l ua -d 'Send this User-Agent header' -r
complete -c wsplice -l basic-auth -d 'Send a Basic Authorization header' -r
complete -c wsplice -l ws-c-uri -d 'The URL that the ws-c: overlay asks for' -r
complete -c wsplice -l conncap -d 'Serve at most N connections at once; others wait in the system\'s queue' -r
complete -c wsplice -l server-protocol -d 'Choose this subprotocol when the client offers it; without this option it is the one that a WebSocket on the other side chose, else the client\'s first' -r
complete -c wsplice -l server-header -d 'Add a header to every HTTP answer; may be repeated' -r
complete -c wsplice -l restrict-uri -d 'Accept WebSockets at this path only; upgrade requests for others get 404' -r
complete -c wsplice -l allow-origin -d 'Accept browsers from this origin only (others get 403); may be repeated' -r
complete -c wsplice -l require-basic-auth -d 'Let only those in (others get 401) who show one of the USER:PASSWORD lines of this file' -r -F
complete -c wsplice -l require-token -d 'Let only those in who show one of the tokens in this file, a line each, as `Authorization: Bearer TOKEN` or as ?access_token=TOKEN' -r -F
complete -c wsplice -l trust-proxy -d 'Believe the X-Forwarded-For header of proxies in this network; may be repeated' -r
complete -c wsplice -s F -l static-file -d 'Serve a file to plain GET requests, such as /index.html:text/html:./page.html; may be repeated' -r
complete -c wsplice -l slow -d 'What to do with a member that does not take its messages fast enough' -r -f -a "disconnect\t'It is closed with code 1013'
drop-oldest\t'It misses the oldest messages'
drop-newest\t'It misses the newest messages'
block\t'Its room waits for it'"
complete -c wsplice -l backlog -d 'How many bytes may wait for a member before it is too slow' -r
complete -c wsplice -l max-rooms -d 'Refuse to open more rooms than this at once (HTTP 503)' -r
complete -c wsplice -l max-per-room -d 'Refuse more members of a room than this (HTTP 503)' -r
complete -c wsplice -l max-per-address -d 'Refuse more members from one address than this (HTTP 503)' -r
complete -c wsplice -l room-prefix -d 'Serve rooms at this path and below it only; others get 404' -r
complete -c wsplice -l metrics -d 'Serve Prometheus metrics at http://ADDR/metrics' -r
complete -c wsplice -l healthcheck -d 'Ask a running server whether it is well, and exit 0 if it is: the room server at URL, or what runs as process 1, as in a container' -r
complete -c wsplice -l ping-interval -d 'Send a ping this often; 0 for none, which is the default, except with --broadcast: 30' -r
complete -c wsplice -l ping-timeout -d 'Give the connection up when a ping is not answered for this long (exit 7); with --broadcast 60 by default' -r
complete -c wsplice -l close-status-code -d 'Close with this code instead of 1000: 1001, 1003, 1007 to 1014 or 3000 to 4999' -r
complete -c wsplice -l close-reason -d 'Close with this reason, at most 123 bytes' -r
complete -c wsplice -l max-ws-message-length -d 'The longest message that is accepted, or line that is read; longer messages get close code 1009 (exit 6)' -r
complete -c wsplice -l max-ws-frame-length -d 'The longest frame that is accepted; longer ones get close code 1009 (exit 6)' -r
complete -c wsplice -l deflate -d 'Compress messages (permessage-deflate)' -r -f -a "auto\t'Clients offer it and can do without; listeners accept it, but not with --broadcast'
off\t'Never'
on\t'Clients insist on it (exit 5); listeners accept it, with --broadcast too'"
complete -c wsplice -l deflate-level -d 'How hard to compress, 1 to 9; 0 sends everything plain. 3 comes within a tenth of 6, zlib\'s default, in half of its time' -r
complete -c wsplice -l deflate-window-bits -d 'The largest window, 2^N bytes, that is asked for and used in both directions' -r
complete -c wsplice -l deflate-threshold -d 'Send shorter messages plain: what fits into one packet all the same is not worth the time' -r
complete -c wsplice -l cert -d 'The certificate chain that listeners show, PEM, their own certificate first' -r -F
complete -c wsplice -l key -d 'The private key of --cert, PEM, not encrypted' -r -F
complete -c wsplice -l client-cert -d 'The certificate chain to show to servers that ask for one, PEM; --cert where this is not given' -r -F
complete -c wsplice -l client-key -d 'The private key of --client-cert, PEM, not encrypted' -r -F
complete -c wsplice -l cacert -d 'Trust the authorities in this file instead of the system\'s, PEM' -r -F
complete -c wsplice -l tls-domain -d 'Expect this name in the server\'s certificate, and ask for it (SNI), instead of the host that is connected to' -r
complete -c wsplice -l client-ca -d 'Listeners demand a client certificate that an authority in this file has signed, PEM' -r -F
complete -c wsplice -l exec-args -d 'The arguments of exec:, to the end of the command line: it comes last' -r
complete -c wsplice -l autoreconnect-delay-millis -d 'The first pause of autoreconnect:, which doubles up to 30 s' -r
complete -c wsplice -l log-format -d 'How lines on standard error are written' -r -f -a "text\t'For people'
json\t'A JSON object a line, for machines'"
complete -c wsplice -l explain -l dump-spec -d 'Print what would be connected and what was inserted, and exit'
complete -c wsplice -s u -l unidirectional -d 'Copy from ADDR1 to ADDR2 only'
complete -c wsplice -s U -l unidirectional-reverse -d 'Copy from ADDR2 to ADDR1 only'
complete -c wsplice -s E -l exit-on-eof -d 'End the session as soon as either end has ended, without waiting for answers'
complete -c wsplice -s n -l no-close -d 'After the end of the input send no close frame; receive until the peer closes'
complete -c wsplice -s 1 -l one-message -d 'Send at most one message to ADDR2, and end as soon as one has come back'
complete -c wsplice -s t -l text -d 'Read every byte end by lines, each a text message'
complete -c wsplice -s b -l binary -d 'Send what is read from a byte end as binary messages, and write messages with nothing behind them'
complete -c wsplice -s 0 -l null-terminated -d 'Lines end with a zero byte instead of a newline'
complete -c wsplice -l one-line -d 'Where messages are written as lines, turn newlines inside them into spaces'
complete -c wsplice -l oneshot -d 'Serve one connection and end'
complete -c wsplice -l stdout-announce-listening-ports -d 'Print LISTEN and the address on standard output when a listener is ready: LISTEN proto=tcp,ip=127.0.0.1,port=8080'
complete -c wsplice -l unlink -d 'Remove a socket that is left at the path before listening there'
complete -c wsplice -l same-origin -d 'Accept browsers from pages of the same host and port only'
complete -c wsplice -l broadcast -d 'Serve rooms: what a client sends goes to all clients of the same path and query'
complete -c wsplice -l no-echo -d 'Do not send a message back to its sender'
complete -c wsplice -l deflate-no-context-takeover -d 'Compress each message on its own, as --broadcast always does, and ask the peer to: less memory there, and less is saved'
complete -c wsplice -s k -l insecure -d 'Accept any certificate: the connection is not protected against an attacker in between'
complete -c wsplice -l self-signed -d 'Listeners show a certificate made for this run, for localhost, 127.0.0.1 and ::1; its fingerprint is printed'
complete -c wsplice -s v -l verbose -d 'Show the handshake on standard error; -vv shows every frame too, but not those of rooms'
complete -c wsplice -s q -l quiet -d 'Show nothing on standard error but the error that ends the run'
complete -c wsplice -s h -l help -d 'Print help (see more with \'--help\')'
complete -c wsplice -s V -l version -d 'Print version'

# Addresses, behind overlays or not; a path where the address takes one.
function __wsplice_addresses
    set -l word (commandline -ct)
    set -l prefix (string match -r '^(?:(?:ws-connect|ws-c|c-ws|connect-ws|ws-upgrade|ws-u|u-ws|upgrade-ws|tls|ssl|tls-connect|ssl-connect|tls-c|ssl-c|c-tls|c-ssl|connect-tls|connect-ssl|tls-accept|ssl-accept|tls-a|ssl-a|a-tls|a-ssl|accept-tls|accept-ssl|lines|line2msg|msg2line|chunks|reuse|broadcast|reuse-broadcast|broadcast-reuse|autoreconnect|log):)*' -- $word)
    set -l rest (string replace -- "$prefix" '' $word)
    if set -l kind (string match -r '^(?:ws\+unix|l-ws-unix|unix|unix-connect|connect-unix|unix-c|c-unix|unix-listen|listen-unix|unix-l|l-unix|readfile|writefile|appendfile):' -- $rest)
        __fish_complete_path (string replace -- $kind '' $rest) | string replace -r '^' -- "$prefix$kind"
        return
    end
    printf "$prefix%s\t%s\n" \
        'ws:' 'Connect to a WebSocket' \
        'wss:' 'Connect to a WebSocket over TLS' \
        'ws+unix:' 'Connect to a WebSocket on a unix socket' \
        'ws-listen:' 'Serve WebSockets' \
        'ws-l:' 'Serve WebSockets' \
        'l-ws:' 'Serve WebSockets' \
        'listen-ws:' 'Serve WebSockets' \
        'wss-listen:' 'Serve WebSockets over TLS' \
        'wss-l:' 'Serve WebSockets over TLS' \
        'l-wss:' 'Serve WebSockets over TLS' \
        'listen-wss:' 'Serve WebSockets over TLS' \
        'l-ws-unix:' 'Serve WebSockets on a unix socket' \
        'stdio:' 'Standard input and output' \
        '-' 'Standard input and output' \
        'asyncstdio:' 'Standard input and output' \
        'threadedstdio:' 'Standard input and output' \
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
        'unix:' 'Connect to a unix socket' \
        'unix-connect:' 'Connect to a unix socket' \
        'connect-unix:' 'Connect to a unix socket' \
        'unix-c:' 'Connect to a unix socket' \
        'c-unix:' 'Connect to a unix socket' \
        'unix-listen:' 'Accept connections on a unix socket' \
        'listen-unix:' 'Accept connections on a unix socket' \
        'unix-l:' 'Accept connections on a unix socket' \
        'l-unix:' 'Accept connections on a unix socket' \
        'tcp-listen-fd:' 'Accept TCP connections on a socket of the service manager' \
        'unix-listen-fd:' 'Accept connections on a unix socket of the service manager' \
        'exec:' 'Run a program' \
        'sh-c:' 'Run a shell command line' \
        'cmd:' 'Run a shell command line' \
        'readfile:' 'Read a file' \
        'writefile:' 'Write a file, from its beginning' \
        'appendfile:' 'Write at the end of a file' \
        'mirror:' 'Send everything back' \
        'literal:' 'Say this text, then end' \
        'literalreply:' 'Answer each message with this text' \
        'ws-connect:' 'Speak WebSocket as the client' \
        'ws-c:' 'Speak WebSocket as the client' \
        'c-ws:' 'Speak WebSocket as the client' \
        'connect-ws:' 'Speak WebSocket as the client' \
        'ws-upgrade:' 'Speak WebSocket as the server' \
        'ws-u:' 'Speak WebSocket as the server' \
        'u-ws:' 'Speak WebSocket as the server' \
        'upgrade-ws:' 'Speak WebSocket as the server' \
        'tls:' 'Speak TLS as the client' \
        'ssl:' 'Speak TLS as the client' \
        'tls-connect:' 'Speak TLS as the client' \
        'ssl-connect:' 'Speak TLS as the client' \
        'tls-c:' 'Speak TLS as the client' \
        'ssl-c:' 'Speak TLS as the client' \
        'c-tls:' 'Speak TLS as the client' \
        'c-ssl:' 'Speak TLS as the client' \
        'connect-tls:' 'Speak TLS as the client' \
        'connect-ssl:' 'Speak TLS as the client' \
        'tls-accept:' 'Speak TLS as the server' \
        'ssl-accept:' 'Speak TLS as the server' \
        'tls-a:' 'Speak TLS as the server' \
        'ssl-a:' 'Speak TLS as the server' \
        'a-tls:' 'Speak TLS as the server' \
        'a-ssl:' 'Speak TLS as the server' \
        'accept-tls:' 'Speak TLS as the server' \
        'accept-ssl:' 'Speak TLS as the server' \
        'lines:' 'A line is a message' \
        'line2msg:' 'A line is a message' \
        'msg2line:' 'A line is a message' \
        'chunks:' 'What was read is a message' \
        'reuse:' 'Share one connection between all sessions' \
        'broadcast:' 'Share one connection between all sessions' \
        'reuse-broadcast:' 'Share one connection between all sessions' \
        'broadcast-reuse:' 'Share one connection between all sessions' \
        'autoreconnect:' 'Connect again whenever the connection ends' \
        'log:' 'Show what passes on standard error' \
        | string match -v '\t'
end
complete -c wsplice -f -a '(__wsplice_addresses)'
