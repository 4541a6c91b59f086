#!/bin/sh
# A room server on nginx with Nchan: nchan.sh PORT REDIS_PORT FOLDER. REDIS_PORT is the Redis through which servers share their rooms, or
# `none`; FOLDER is for its files.
set -eu
common="$(realpath "$(dirname "$0")")/nginx-http.conf"
if [ "$2" = none ]; then
    upstream='' redis=''
else
    upstream="upstream redis { nchan_redis_server redis://127.0.0.1:$2; }"
    redis='nchan_redis_pass redis;'
fi
mkdir -p "$3/nchan-$1"
cat >"$3/nchan-$1/nginx.conf" <<EOF
daemon off;
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
worker_processes 1;
pid nginx.pid;
worker_rlimit_nofile 65536;
events { worker_connections 32768; }
http {
    include "$common";
    $upstream
    server {
        listen 127.0.0.1:$1 backlog=4096;
        location ~ ^/(.+)\$ {
            nchan_pubsub websocket;
            nchan_channel_id \$1;
            nchan_subscriber_first_message newest;
            nchan_message_buffer_length 1000;
            $redis
        }
    }
}
EOF
exec nginx -p "$3/nchan-$1" -c nginx.conf -e stderr
