//! Messages to the service manager that started us, as systemd understands them (sd_notify(3)). Without one, nothing is sent.

#[cfg_attr(windows, path = "service_manager/notify_socket_windows.rs")]
mod notify_socket;

use crate::visible::visible;
use notify_socket::NotifySocket;
use std::{convert::Infallible, env, fmt::Display, future::pending, process, sync::LazyLock, time::Duration};
use tokio::{runtime::Handle, time::interval};

/// The variables that are for this process alone, not for its children.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

static MANAGER: LazyLock<Option<NotifySocket>> = LazyLock::new(NotifySocket::from_env);

fn send(lines: impl Display) {
    if let Some(manager) = &*MANAGER {
        manager.send(lines.to_string().as_bytes());
    }
}

/// A line for people, which may contain names of files.
fn status(text: impl Display) -> String {
    format!("STATUS={}", visible(&text.to_string()))
}

/// We serve, or serve again after [`reloading`]. `text` is for people.
pub fn ready(text: impl Display) {
    send(format_args!("READY=1\n{}", status(text)));
}

/// We read our files again; [`ready`] follows.
pub fn reloading() {
    // systemd tells by the time whether this answers its own request.
    send(format_args!("RELOADING=1\nMONOTONIC_USEC={}", notify_socket::now()));
}

/// We shut down. `text` is for people.
pub fn stopping(text: impl Display) {
    send(format_args!("STOPPING=1\n{}", status(text)));
}

/// Tells the watchdog of the service manager that we are alive, if it wants to know that, as long as all of these runtimes are.
pub async fn feed_watchdog(runtimes: impl Iterator<Item = &Handle>) -> Infallible {
    let Some(period) = watchdog_period().filter(|_| MANAGER.is_some()) else { return pending().await };
    let runtimes: Vec<_> = runtimes.collect();
    let mut ticks = interval(period);
    loop {
        ticks.tick().await;
        all_are_alive(&runtimes).await;
        send("WATCHDOG=1");
    }
}

/// Waits until each of the runtimes has run a task.
async fn all_are_alive(runtimes: &[&Handle]) {
    for runtime in runtimes {
        let _ = runtime.spawn(async {}).await;
    }
}

/// Half of the time after which the service manager ends a service that is silent.
fn watchdog_period() -> Option<Duration> {
    let number = |name: &str| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let is_ours = env::var_os("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(process::id().into());
    let limit = number("WATCHDOG_USEC").filter(|limit| *limit > 1 && is_ours)?;
    // A shorter one is a mistake, and would only cost time.
    const SHORTEST: Duration = Duration::from_millis(10);
    Some(Duration::from_micros(limit / 2).max(SHORTEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{runtime::Builder, time::timeout};

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_runs_no_tasks_is_not_alive() {
        let hung = Builder::new_current_thread().build().expect("a runtime");
        let ours = Handle::current();
        let limit = Duration::from_secs(1);
        assert!(timeout(limit, all_are_alive(&[&ours])).await.is_ok());
        assert!(timeout(limit, all_are_alive(&[&ours, hung.handle()])).await.is_err());
        hung.shutdown_background();
    }
}
