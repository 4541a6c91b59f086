//! The real binary against programs that other people wrote. `tests/with-peers.sh` installs them and runs these tests.

mod bash;
mod browser;
mod deflate;
mod handed_over;
mod large;
mod nc;
mod nginx;
mod node;
mod openssl;
mod peer;
mod pem;
mod python;
#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "../suite/raw.rs"]
mod raw;
mod rooms_browser;
mod rooms_deflate;
mod rooms_load;
mod rooms_metrics;
mod rooms_nginx;
mod side_by_side;
mod socat;
#[allow(dead_code, reason = "the other tests use the rest")]
#[path = "../suite/support.rs"]
mod support;
