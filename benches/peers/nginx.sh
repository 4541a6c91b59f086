#!/bin/sh
# nginx with TLS in front of a WebSocket server on another port: nginx.sh PORT TO CERT KEY FOLDER. FOLDER is for its files.
set -eu
common="$(realpath "$(dirname "$0")")/nginx-http.conf"
cat >"$5/nginx-$1.conf" <<EOF
daemon off;
master_process off;
pid nginx-$1.pid;
worker_rlimit_nofile 65536;
events { worker_connections 32768; }
http {
    include "$common";
    server {
        listen 127.0.0.1:$1 ssl backlog=4096;
        ssl_certificate $3;
        ssl_certificate_key $4;
        ssl_protocols TLSv1.2 TLSv1.3;
        location / {
            proxy_pass http://127.0.0.1:$2;
            proxy_http_version 1.1;
            proxy_set_header Upgrade \$http_upgrade;
            proxy_set_header Connection upgrade;
            # Reads of a whole TLS record instead of a page.
            proxy_buffer_size 16k;
            proxy_buffers 4 16k;
            proxy_read_timeout 1h;
        }
    }
}
EOF
exec nginx -p "$5" -c "$5/nginx-$1.conf" -e /dev/null
