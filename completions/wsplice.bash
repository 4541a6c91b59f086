_wsplice() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="wsplice"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        wsplice)
            opts="-s -u -U -E -n -1 -m -t -b -0 -p -P -H -A -L -4 -6 -F -k -X -e -v -q -c -x -w -S -B -h -V --listen --server-mode --dump-spec --explain --unidirectional --unidirectional-reverse --exit-on-eof --no-close --one-message --replies --within --linger --reply-wait --close-timeout --grace --connect-timeout --max-time --text --binary --null-terminated --separator --separator-n --one-line --lengthprefixed-nbytes --lengthprefixed-little-endian --lengthprefixed-skip-read-direction --lengthprefixed-skip-write-direction --lengthprefixed-tag-text --preamble --preamble-reverse --max-messages --max-messages-rev --jsonrpc --jsonrpc-omit-jsonrpc --timestamp-monotonic --foreachmsg-wait-read --byte-to-exit-on --reuser-send-zero-msg-on-disconnect --send --json-in --jsonl --expect --expect-json --filter-json --stats --record --replay-speed --replay-dir --base64 --base64-text --text-prefix --binary-prefix --compress-gzip --compress-zlib --compress-deflate --uncompress-gzip --uncompress-zlib --uncompress-deflate --websocket-ignore-zeromsg --header --subprotocol --protocol --user --auth --basic-auth --basic-auth-file --ws-c-uri --origin --user-agent --ua --websocket-version --cookie --forward-header --location --follow --max-redirs --max-redirects --ipv4 --ipv6 --resolve --proxy --noproxy --socks5-hostname --socks5 --proxy-user --socks5-user-pass --socks5-destination --socks5-bind-script --oneshot --threads --maxforks --conncap --max-per-address --max-lifetime --max-memory --stdout-announce-listening-ports --unlink --chmod --accept-from-fd --server-protocol --server-header --max-url-length --max-header-length --restrict-uri --allow-origin --sameorigin --same-origin --require-basic-auth --require-token --trust-proxy --static-file --staticdir --broadcast --no-echo --slow --backlog --slow-timeout --history --history-ttl --max-rooms --max-per-room --room-prefix --metrics --healthcheck --cluster --cluster-name --cluster-auth --cluster-ca --cluster-wait --cluster-down --ping-interval --ping-timeout --close-status-code --close-reason --max-ws-message-length --max-ws-frame-length --message-timeout --deflate --deflate-level --deflate-window-bits --deflate-no-context-takeover --deflate-threshold --print-ping-rtts --max-sent-pings --inhibit-pongs --cert --key --client-cert --client-key --ca --cacert --insecure --tls-domain --client-ca --self-signed --pkcs12-der --pkcs12-passwd --client-pkcs12-der --client-pkcs12-passwd --passphrase --request-method --request-header --request-uri --udp-broadcast --udp-multicast --udp-multicast-iface-v4 --udp-multicast-iface-v6 --udp-multicast-loop --udp-oneshot --udp-reuseaddr --udp-ttl --udp-server-max-clients --udp-server-timeout --exec-args --dir --set-environment --header-to-env --passenv --pty --exec-exit-on-disconnect --exec-sighup-on-stdin-close --exec-sighup-on-zero-msg --autoreconnect-delay-millis --autoreconnect-max-delay-millis --retry-max --retry --no-tui --no-history --ts --pretty --raw --color --verbose --quiet --log-format --just-generate-key --just-generate-accept --connect --execute --wait --show-ping-pong --slash --no-color --strict --buffer-size --no-line --linemode-strip-newlines --async-stdio --no-async-stdio --no-fixups --queue-len --no-exit-on-zeromsg --help --version"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --server-mode)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --listen)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -s)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --replies)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --within)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --linger)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --reply-wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --close-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --grace)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --connect-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-time)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -m)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --separator)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --separator-n)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --lengthprefixed-nbytes)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --preamble)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -p)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --preamble-reverse)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -P)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-messages)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-messages-rev)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --byte-to-exit-on)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --send)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --expect)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --expect-json)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --filter-json)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --record)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --replay-speed)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --replay-dir)
                    COMPREPLY=($(compgen -W "sent received" -- "${cur}"))
                    return 0
                    ;;
                --text-prefix)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --binary-prefix)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --header)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -H)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --protocol)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --subprotocol)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --basic-auth)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --user)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --auth)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --basic-auth-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ws-c-uri)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --origin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ua)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --user-agent)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -A)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --websocket-version)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cookie)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --forward-header)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-redirects)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-redirs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --resolve)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --proxy)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --noproxy)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --socks5)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --socks5-hostname)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --socks5-user-pass)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --proxy-user)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --socks5-destination)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --socks5-bind-script)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --threads)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --conncap)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --maxforks)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-per-address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-lifetime)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-memory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --chmod)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --server-protocol)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --server-header)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-url-length)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-header-length)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --restrict-uri)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --allow-origin)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --require-basic-auth)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --require-token)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --trust-proxy)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --static-file)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -F)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --staticdir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --slow)
                    COMPREPLY=($(compgen -W "disconnect drop-oldest drop-newest block" -- "${cur}"))
                    return 0
                    ;;
                --backlog)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --slow-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --history)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --history-ttl)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-rooms)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-per-room)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --room-prefix)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --metrics)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --healthcheck)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cluster)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cluster-name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cluster-auth)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cluster-ca)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cluster-wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cluster-down)
                    COMPREPLY=($(compgen -W "close local" -- "${cur}"))
                    return 0
                    ;;
                --ping-interval)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ping-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --close-status-code)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --close-reason)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-ws-message-length)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-ws-frame-length)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --message-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --deflate)
                    COMPREPLY=($(compgen -W "auto off on" -- "${cur}"))
                    return 0
                    ;;
                --deflate-level)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --deflate-window-bits)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --deflate-threshold)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --max-sent-pings)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --inhibit-pongs)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cert)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --client-cert)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --client-key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --cacert)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ca)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --tls-domain)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --client-ca)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pkcs12-der)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --pkcs12-passwd)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --client-pkcs12-der)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --client-pkcs12-passwd)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --passphrase)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --request-method)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -X)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --request-header)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --request-uri)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --udp-multicast)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --udp-multicast-iface-v4)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --udp-multicast-iface-v6)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --udp-ttl)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --udp-server-max-clients)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --udp-server-timeout)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --exec-args)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --dir)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --header-to-env)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --passenv)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --autoreconnect-delay-millis)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --autoreconnect-max-delay-millis)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --retry)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --retry-max)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --ts)
                    COMPREPLY=($(compgen -W "off time rel iso" -- "${cur}"))
                    return 0
                    ;;
                --color)
                    COMPREPLY=($(compgen -W "auto always never" -- "${cur}"))
                    return 0
                    ;;
                --log-format)
                    COMPREPLY=($(compgen -W "text json" -- "${cur}"))
                    return 0
                    ;;
                --just-generate-accept)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --connect)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -c)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --execute)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -x)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --wait)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -w)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --buffer-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -B)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --queue-len)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}


# Addresses. bash splits words at colons unless told otherwise; the whole word decides.
_wsplice_words() {
    local word="${COMP_LINE:0:COMP_POINT}" before
    word="${word##*[[:space:]]}"
    before="${COMP_LINE:0:COMP_POINT}"
    before="${before%"$word"}"
    before="${before%"${before##*[![:space:]]}"}"
    before="${before##*[[:space:]]}"
    if [[ "$word" == -* ]]; then
        _wsplice "$@"
        [[ "$word" == - ]] && COMPREPLY+=(-)
        return
    fi
    case "$before" in
        --replay-dir|--slow|--cluster-down|--deflate|--ts|--color|--log-format)
            # clap's script knows the values.
            _wsplice "$@"
            return
            ;;
        -s|--server-mode|--listen|--replies|--within|--linger|--reply-wait|--close-timeout|--grace|--connect-timeout|-m|--max-time|--separator|--separator-n|--lengthprefixed-nbytes|-p|--preamble|-P|--preamble-reverse|--max-messages|--max-messages-rev|--byte-to-exit-on|--send|--expect|--expect-json|--filter-json|--record|--replay-speed|--text-prefix|--binary-prefix|-H|--header|--protocol|--subprotocol|--basic-auth|--user|--auth|--basic-auth-file|--ws-c-uri|--origin|-A|--ua|--user-agent|--websocket-version|--cookie|--forward-header|--max-redirects|--max-redirs|--resolve|--proxy|--noproxy|--socks5|--socks5-hostname|--socks5-user-pass|--proxy-user|--socks5-destination|--socks5-bind-script|--threads|--conncap|--maxforks|--max-per-address|--max-lifetime|--max-memory|--chmod|--server-protocol|--server-header|--max-url-length|--max-header-length|--restrict-uri|--allow-origin|--require-basic-auth|--require-token|--trust-proxy|-F|--static-file|--staticdir|--backlog|--slow-timeout|--history|--history-ttl|--max-rooms|--max-per-room|--room-prefix|--metrics|--healthcheck|--cluster|--cluster-name|--cluster-auth|--cluster-ca|--cluster-wait|--ping-interval|--ping-timeout|--close-status-code|--close-reason|--max-ws-message-length|--max-ws-frame-length|--message-timeout|--deflate-level|--deflate-window-bits|--deflate-threshold|--max-sent-pings|--inhibit-pongs|--cert|--key|--client-cert|--client-key|--cacert|--ca|--tls-domain|--client-ca|--pkcs12-der|--pkcs12-passwd|--client-pkcs12-der|--client-pkcs12-passwd|--passphrase|-X|--request-method|--request-header|--request-uri|--udp-multicast|--udp-multicast-iface-v4|--udp-multicast-iface-v6|--udp-ttl|--udp-server-max-clients|--udp-server-timeout|--exec-args|--dir|--header-to-env|--passenv|--autoreconnect-delay-millis|--autoreconnect-max-delay-millis|--retry|--retry-max|--just-generate-accept|-c|--connect|-x|--execute|-w|--wait|-B|--buffer-size|--queue-len)
            # The value of an option. Files are what -o default offers.
            COMPREPLY=()
            return
            ;;
    esac
    local rest="$word" prefix=""
    while [[ "$rest" =~ ^(ws-connect|ws-c|c-ws|connect-ws|ws-upgrade|ws-u|u-ws|upgrade-ws|ws-lowlevel-client|ws-ll-client|ws-ll-c|ws-lowlevel-server|ws-ll-server|ws-ll-s|tls|ssl|tls-connect|ssl-connect|tls-c|ssl-c|c-tls|c-ssl|connect-tls|connect-ssl|tls-accept|ssl-accept|tls-a|ssl-a|a-tls|a-ssl|accept-tls|accept-ssl|socks5-connect|socks5-bind|lines|line2msg|msg2line|json|chunks|lengthprefixed|base64|reuse|broadcast|reuse-broadcast|broadcast-reuse|reuse-raw|raw-reuse|autoreconnect|waitfordata|wait-for-data|foreachmsg|drop_on_backpressure|drop-on-backpressure|exit_on_specific_byte|exit-on-specific-byte|jsonrpc|timestamp|log|http-request|http-post-sse): ]]; do
        prefix+="${BASH_REMATCH[0]}"
        rest="${rest#"${BASH_REMATCH[0]}"}"
    done
    # With the colon as a break, what stands before the last one stays as it is.
    [[ "$COMP_WORDBREAKS" == *:* ]] && prefix=""
    if [[ "$rest" =~ ^(ws\+unix|l-ws-unix|unix|unix-connect|connect-unix|unix-c|c-unix|unix-listen|listen-unix|unix-l|l-unix|unix-dgram|seqpacket|seqpacket-connect|connect-seqpacket|seqpacket-c|c-seqpacket|seqpacket-listen|listen-seqpacket|seqpacket-l|l-seqpacket|exec-dir|readfile|writefile|appendfile|open-async): ]]; then
        # A path, which -o default completes where it is a word of its own.
        COMPREPLY=()
        if [[ "$COMP_WORDBREAKS" != *:* ]]; then
            prefix+="${BASH_REMATCH[0]}"
            mapfile -t COMPREPLY < <(compgen -P "$prefix" -f -- "${rest#*:}")
        fi
    elif [[ "$rest" == *:* ]]; then
        COMPREPLY=()
        compopt +o default +o bashdefault
    else
        COMPREPLY=( $(compgen -P "$prefix" -W "- ws: wss: ws+unix: ws-listen: ws-l: l-ws: listen-ws: wss-listen: wss-l: l-wss: listen-wss: l-ws-unix: l-ws-abstract: inetd-ws: ws-inetd: stdio: asyncstdio: threadedstdio: term: inetd: http: http-client: tcp: tcp-connect: connect-tcp: tcp-c: c-tcp: tcp-listen: listen-tcp: tcp-l: l-tcp: tls-listen: ssl-listen: tls-l: ssl-l: l-tls: l-ssl: listen-tls: listen-ssl: udp: udp-connect: connect-udp: udp-c: c-udp: udp-listen: listen-udp: udp-l: l-udp: udp-server: unix: unix-connect: connect-unix: unix-c: c-unix: unix-listen: listen-unix: unix-l: l-unix: abstract: abstract-connect: connect-abstract: abstract-c: c-abstract: abstract-listen: listen-abstract: abstract-l: l-abstract: unix-dgram: abstract-dgram: seqpacket: seqpacket-connect: connect-seqpacket: seqpacket-c: c-seqpacket: seqpacket-listen: listen-seqpacket: seqpacket-l: l-seqpacket: tcp-listen-fd: unix-listen-fd: exec: sh-c: cmd: exec-dir: readfile: writefile: appendfile: replay: open-async: open-fd: async-fd: mirror: literal: literalreply: literal-base64: null: devnull: empty: zero: random: clogged: assert: assert2: ws-connect: ws-c: c-ws: connect-ws: ws-upgrade: ws-u: u-ws: upgrade-ws: ws-lowlevel-client: ws-ll-client: ws-ll-c: ws-lowlevel-server: ws-ll-server: ws-ll-s: tls: ssl: tls-connect: ssl-connect: tls-c: ssl-c: c-tls: c-ssl: connect-tls: connect-ssl: tls-accept: ssl-accept: tls-a: ssl-a: a-tls: a-ssl: accept-tls: accept-ssl: socks5-connect: socks5-bind: lines: line2msg: msg2line: json: chunks: lengthprefixed: base64: reuse: broadcast: reuse-broadcast: broadcast-reuse: reuse-raw: raw-reuse: autoreconnect: waitfordata: wait-for-data: foreachmsg: drop_on_backpressure: drop-on-backpressure: exit_on_specific_byte: exit-on-specific-byte: jsonrpc: timestamp: log: http-request: http-post-sse:" -- "$rest") )
        case "${COMPREPLY[*]}" in
            *inetd-ws:|*ws-inetd:|*stdio:|*asyncstdio:|*threadedstdio:|*term:|*inetd:|*mirror:|*null:|*devnull:|*empty:|*zero:|*random:|*clogged:) ;;
            *) compopt -o nospace +o default +o bashdefault ;;
        esac
    fi
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _wsplice_words -o nosort -o bashdefault -o default wsplice
else
    complete -F _wsplice_words -o bashdefault -o default wsplice
fi
