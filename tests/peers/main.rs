//! The real binary against programs that other people wrote. `tests/with-peers.sh` installs them and runs these tests.

mod bash;
mod browser;
mod clock;
mod cluster;
mod cluster_faults;
mod cluster_history;
mod cluster_refusals;
#[allow(dead_code, reason = "the other test binaries use the rest")]
#[path = "../common/mod.rs"]
mod common;
mod deflate;
mod large;
mod nc;
mod network;
mod nginx;
mod node;
mod openssl;
mod peer;
mod pem;
mod proxies;
mod python;
mod rooms_browser;
mod rooms_deflate;
mod rooms_load;
mod rooms_metrics;
mod rooms_nginx;
mod rooms_soak;
mod scripting;
mod side_by_side;
mod socat;
mod socket_activation;
mod terminal_scenes;
mod tmux;
mod zsh;

use common::{http, raw, resuming, support};
