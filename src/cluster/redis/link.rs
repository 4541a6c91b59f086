//! One connection to Redis: opened, checked, with the scripts loaded. It carries the requests and what is published.

use super::{
    keys::Keys,
    reply,
    scripts::{Script, Scripts},
    stream,
};
use crate::{
    cluster::{ClusterOptions, EngineError, Inbox, loss::Loss, task::Task, transport},
    error::Error,
    net, report,
};
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisConnectionInfo, RedisError, Value,
    aio::{MultiplexedConnection, SendError},
    cmd, pipe,
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

/// For connecting, the handshakes and the scripts.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Between probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// Longest silence after a probe.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Commands that are sent at once, so that 100,000 rooms do not need as many round trips, nor one reply of many megabytes.
const COMMANDS_AT_ONCE: usize = 256;

/// A connection.
pub struct Link {
    connection: MultiplexedConnection,
    scripts: Scripts,
    /// Identifies the process of the server; empty if it does not tell.
    pub run: String,
    /// The value of the key that tells whether the data is still there.
    epoch: String,
    epoch_key: String,
    /// Counts what was pushed.
    pushes: Arc<AtomicU64>,
    end: End,
    /// Reads from the connection and writes to it.
    _driver: Task,
}

/// Why a connection has ended, once it has.
#[derive(Clone)]
struct End(Arc<watch::Sender<Option<String>>>);

impl End {
    /// Ends it. The first reason counts.
    fn because(&self, reason: impl Into<String>) {
        self.0.send_if_modified(|end| {
            let first = end.is_none();
            if first {
                *end = Some(reason.into());
            }
            first
        });
    }

    async fn reason(&self) -> String {
        let mut end = self.0.subscribe();
        match end.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => String::new(),
        }
    }
}

impl Link {
    /// Connects, and checks that this is a Redis that gives one order. What is published goes to `inbox`.
    ///
    /// # Errors
    /// [`Error::Resolve`], [`Error::Connect`], those of [`stream::open`], and [`Error::Engine`] if the server cannot be used, or if it does
    /// not answer within 5 s.
    pub async fn open(options: &ClusterOptions, keys: &Arc<Keys>, inbox: &Inbox) -> Result<Self, Error> {
        let engine = &options.engine;
        let mut is_connected = false;
        let opening = async {
            let socket = net::connect(&engine.at, net::resolve(&engine.at).await?).await?;
            is_connected = true;
            Self::log_in(options, keys, inbox, socket).await
        };
        match timeout(OPEN_TIMEOUT, opening).await {
            Ok(result) => result,
            Err(_) if is_connected => Err(refused(options, "it does not answer", &*transport::what_it_must_be(engine))),
            Err(_) => Err(Error::Connect { to: engine.to_string(), source: io::ErrorKind::TimedOut.into() }),
        }
    }

    async fn log_in(
        options: &ClusterOptions,
        keys: &Arc<Keys>,
        inbox: &Inbox,
        socket: TcpStream,
    ) -> Result<Self, Error> {
        let stream = stream::open(options, socket).await?;
        let failed = |error| unusable(options, &error);
        let end = End(Arc::new(watch::Sender::new(None)));
        let pushes = Arc::new(AtomicU64::new(0));
        let push = publications(keys.clone(), inbox.clone(), end.clone(), pushes.clone());
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_push_sender(push);
        let (mut connection, driver) =
            MultiplexedConnection::new_with_config(&login(options), stream, config).await.map_err(failed)?;
        let closed = end.clone();
        let driver = Task::spawn(async move {
            driver.await;
            closed.because("the connection was closed");
        });
        let run = check(options, &mut connection).await?;
        let scripts = Scripts::default();
        scripts.load(&mut connection).await.map_err(failed)?;
        let epoch = claim_epoch(&keys.epoch(), &mut connection).await.map_err(failed)?;
        Ok(Self { connection, scripts, run, epoch, epoch_key: keys.epoch(), pushes, end, _driver: driver })
    }

    /// Sends a command, and gives its reply.
    ///
    /// # Errors
    /// The connection is lost, or the server refuses.
    pub async fn call(&self, command: &Cmd) -> Result<Value, EngineError> {
        let mut connection = self.connection.clone();
        tokio::select! {
            biased;
            reply = command.query_async(&mut connection) => reply.map_err(|error| self.failure(&error)),
            reason = self.end.reason() => Err(EngineError::lost(reason)),
        }
    }

    /// Runs a script; `arguments` adds its keys and arguments.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn run(&self, script: Script, arguments: impl Fn(&mut Cmd)) -> Result<Value, EngineError> {
        let attempt = async || {
            let mut command = cmd("EVALSHA");
            command.arg(self.scripts.sha(script));
            arguments(&mut command);
            let mut connection = self.connection.clone();
            tokio::select! {
                biased;
                reply = command.query_async::<Value>(&mut connection) => Ok(reply),
                reason = self.end.reason() => Err(EngineError::lost(reason)),
            }
        };
        match attempt().await? {
            // Somebody has flushed the scripts.
            Err(error) if error.code() == Some("NOSCRIPT") => {
                let loaded = self.scripts.load(&mut self.connection.clone()).await;
                loaded.map_err(|error| self.failure(&error))?;
                attempt().await?.map_err(|error| self.failure(&error))
            }
            reply => reply.map_err(|error| self.failure(&error)),
        }
    }

    /// Sends the same command for each of `arguments`.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn for_each(
        &self,
        arguments: &[Vec<u8>],
        command: impl Fn(&mut redis::Pipeline, &[u8]),
    ) -> Result<(), EngineError> {
        for chunk in arguments.chunks(COMMANDS_AT_ONCE) {
            let mut commands = pipe();
            for argument in chunk {
                command(&mut commands, argument);
            }
            let mut connection = self.connection.clone();
            tokio::select! {
                biased;
                reply = commands.query_async::<Value>(&mut connection) => {
                    reply.map_err(|error| self.failure(&error))?;
                }
                reason = self.end.reason() => return Err(EngineError::lost(reason)),
            }
        }
        Ok(())
    }

    /// Ready when the connection is lost. Probes it.
    pub async fn lost(&self) -> Loss {
        tokio::select! {
            reason = self.end.reason() => Loss::now(reason),
            loss = self.probe() => {
                self.end.because(loss.reason.clone());
                loss
            }
        }
    }

    async fn probe(&self) -> Loss {
        let mut ask = cmd("GET");
        ask.arg(&self.epoch_key);
        loop {
            sleep(PROBE_INTERVAL).await;
            let mut since = Instant::now();
            let mut answer = std::pin::pin!(self.call(&ask));
            loop {
                let pushes = self.pushes.load(Relaxed);
                match timeout(PROBE_TIMEOUT, &mut answer).await {
                    Ok(Ok(Value::BulkString(epoch))) if epoch == self.epoch.as_bytes() => break,
                    Ok(Ok(_)) => return Loss::now("its data was deleted"),
                    Ok(Err(error)) => return Loss::now(error.reason),
                    // The answer waits behind publications.
                    Err(_) if pushes != self.pushes.load(Relaxed) => since = Instant::now(),
                    Err(_) => {
                        return Loss { reason: format!("no answer for {} s", PROBE_TIMEOUT.as_secs_f64()), since };
                    }
                }
            }
        }
    }

    fn failure(&self, error: &RedisError) -> EngineError {
        let reason = text(error);
        // After a failover the old primary is a replica, and the new one has to be looked for.
        let is_elsewhere =
            matches!(error.code(), Some("READONLY" | "MOVED" | "MASTERDOWN" | "CLUSTERDOWN" | "LOADING"));
        if is_elsewhere || error.is_unrecoverable_error() {
            self.end.because(reason.clone());
            return EngineError::lost(reason);
        }
        EngineError::new(reason)
    }
}

fn login(options: &ClusterOptions) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP3)
        .set_db(options.engine.database.unwrap_or(0).into())
        .set_lib_name("wsplice", env!("CARGO_PKG_VERSION"));
    if let Some(credentials) = &options.engine.credentials {
        login = login.set_password(&credentials.password);
        if let Some(user) = &credentials.user {
            login = login.set_username(user);
        }
    }
    login
}

/// Takes what the server pushes. It cannot wait, so a node that is too slow loses the connection, as it would by Redis's own limit on
/// what it holds for a subscriber.
fn publications(
    keys: Arc<Keys>,
    inbox: Inbox,
    end: End,
    pushes: Arc<AtomicU64>,
) -> impl Fn(PushInfo) -> Result<(), SendError> + Send + Sync {
    move |PushInfo { kind, data }| {
        pushes.fetch_add(1, Relaxed);
        if kind != PushKind::Message {
            return Ok(());
        }
        let Ok([Value::BulkString(channel), Value::BulkString(text)]) = <[Value; 2]>::try_from(data) else {
            return Ok(());
        };
        let Some(room) = keys.room(channel) else { return Ok(()) };
        let Some(publication) = reply::message(text) else {
            inbox.stranger(room);
            return Ok(());
        };
        if inbox.publication(room, publication).is_err() {
            end.because("this node is too slow: too much waits to be delivered");
        }
        Ok(())
    }
}

/// Checks the server, and gives the id of its process.
async fn check(options: &ClusterOptions, connection: &mut MultiplexedConnection) -> Result<String, Error> {
    let info = cmd("INFO").query_async::<String>(connection).await.map_err(|error| unusable(options, &error))?;
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    match field("redis_mode") {
        Some("cluster") => {
            let reason = "it is a Redis Cluster, where publications of several nodes have no common order";
            return Err(refused(options, reason, "use a single Redis, or NATS"));
        }
        Some("sentinel") => return Err(refused(options, "it is a Redis Sentinel", "give the address of the primary")),
        _ => {}
    }
    if field("role") == Some("slave") {
        return Err(refused(options, "it is a replica, which takes no writes", "give the address of the primary"));
    }
    if let Some(policy) = field("maxmemory_policy")
        && policy != "noeviction"
        && field("maxmemory") != Some("0")
    {
        report::warn(format_args!(
            "cluster: {} deletes data when it is full (maxmemory-policy {policy}), and members are closed then. \
             With noeviction it refuses to store more",
            options.engine
        ));
    }
    Ok(field("run_id").unwrap_or_default().to_owned())
}

/// Sets the epoch of the data unless there is one, and gives it.
async fn claim_epoch(key: &str, connection: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let own = rand::random::<u64>();
    cmd("SETNX").arg(key).arg(own).query_async::<Value>(connection).await?;
    cmd("GET").arg(key).query_async(connection).await
}

/// The error of a server that cannot be used.
fn unusable(options: &ClusterOptions, error: &RedisError) -> Error {
    match (error.kind(), error.code()) {
        (ErrorKind::RESP3NotSupported, _) => refused(options, "it is too old: Redis 6.0 or newer is required", None),
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH")) => {
            let hint = "--cluster-auth FILE gives a file with USER:PASSWORD, or with the password alone";
            let why = if error.code() == Some("NOAUTH") { "it wants a password".to_owned() } else { text(error) };
            refused(options, format!("it refused the login: {why}"), hint)
        }
        (ErrorKind::Io, _) => {
            let hint = transport::what_it_must_be(&options.engine);
            let hint = format!("{hint}. Its log may tell more, such as protected-mode or maxclients");
            refused(options, "it closes the connection", &*hint)
        }
        (ErrorKind::Parse, _) => {
            refused(options, "it does not speak Redis's protocol", &*transport::what_it_must_be(&options.engine))
        }
        (_, Some("OOM")) => refused(options, text(error), "it is full: raise its maxmemory"),
        _ => refused(options, text(error), None),
    }
}

fn refused<'a>(options: &ClusterOptions, reason: impl Into<String>, hint: impl Into<Option<&'a str>>) -> Error {
    let (engine, hint) = (options.engine.to_string(), hint.into().map(str::to_owned));
    Error::Engine { engine, reason: reason.into(), hint }
}

/// The server's words, with their code, which says more than the library's own.
fn text(error: &RedisError) -> String {
    // Redis 7 adds the script and its line.
    let detail = error.detail().map(|detail| detail.split(" script: ").next().unwrap_or_default());
    match (error.code(), detail) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (None, Some(detail)) => detail.to_owned(),
        _ => error.to_string(),
    }
}
