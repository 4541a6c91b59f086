//! Requests to JetStream.

use super::subjects::Subjects;
use crate::cluster::EngineError;
use async_nats::{Client, HeaderMap, Message, Request, RequestErrorKind, header};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};

/// The stream with the name of the cluster.
pub struct Stream {
    /// Made of the time at which it was created.
    pub epoch: u64,
    /// The sequence of the oldest message of any room that is kept.
    pub first: u64,
    /// The sequence of the newest message of any room, also if that message is no longer kept.
    pub last: u64,
}

/// A message of a room in the stream.
pub struct Stored {
    pub sequence: u64,
    pub payload: Bytes,
}

/// Where a message of a room is in the stream, and how long it is.
#[derive(Clone, Copy)]
pub struct Listed {
    pub sequence: u64,
    pub bytes: usize,
}

/// Why a request failed.
#[derive(Debug, PartialEq, Eq)]
pub enum ApiError {
    /// Nobody answers to the subject: without JetStream, or while it has no leader.
    NoResponders,
    /// The server's words, with its code.
    Refused(u64, String),
    /// There was no answer, or it is not understood.
    Failed(String),
}

impl From<ApiError> for EngineError {
    fn from(error: ApiError) -> Self {
        let reason = match error {
            ApiError::NoResponders => "JetStream does not answer".to_owned(),
            ApiError::Refused(_, text) | ApiError::Failed(text) => text,
        };
        Self::new(reason)
    }
}

/// Longest life of a consumer that nobody reads from any more.
const CONSUMER_LIFETIME: std::time::Duration = std::time::Duration::from_secs(5);

/// No stream of this name.
pub const STREAM_NOT_FOUND: u64 = 10059;

/// The account of the user has no JetStream.
pub const NO_JETSTREAM: u64 = 10039;

/// The server does not have the room for the stream's `max_bytes`.
pub const NO_SPACE: u64 = 10047;

/// Limits of a stream that is created.
pub struct Limits {
    pub per_room: u64,
    pub bytes: u64,
    pub age: std::time::Duration,
    pub duplicates: std::time::Duration,
}

/// Creates the stream. An equal one may exist.
///
/// # Errors
/// The server refuses.
pub async fn create(client: &Client, subjects: &Subjects, limits: &Limits) -> Result<Stream, ApiError> {
    let name = &subjects.stream;
    let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let config = json!({
        "name": name,
        "description": "wsplice --cluster",
        "subjects": [format!("{name}.stored.>")],
        "republish": { "src": format!("{name}.stored.>"), "dest": format!("{name}.live.>") },
        "allow_direct": true,
        "retention": "limits",
        "discard": "old",
        "storage": "file",
        "num_replicas": 1,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_msgs_per_subject": limits.per_room,
        "max_bytes": limits.bytes,
        "max_age": nanoseconds(limits.age),
        "duplicate_window": nanoseconds(limits.duplicates),
    });
    stream(&ask(client, subjects.api("STREAM.CREATE"), &config).await?)
}

/// The state of the stream, if it is one of ours.
///
/// # Errors
/// There is none, or it lacks what [`create`] sets.
pub async fn info(client: &Client, subjects: &Subjects) -> Result<Stream, ApiError> {
    let answer = ask(client, subjects.api("STREAM.INFO"), &json!({})).await?;
    let name = &subjects.stream;
    let is_ours = answer.pointer("/config/republish/dest").and_then(Value::as_str) == Some(&format!("{name}.live.>"))
        && answer.pointer("/config/allow_direct").and_then(Value::as_bool) == Some(true);
    if !is_ours {
        return Err(ApiError::Refused(
            0,
            format!("the stream `{name}` was not made for this: choose another --cluster-name"),
        ));
    }
    stream(&answer)
}

fn stream(answer: &Value) -> Result<Stream, ApiError> {
    let number = |pointer| answer.pointer(pointer).and_then(Value::as_u64);
    let found = || {
        let created = answer.get("created")?.as_str()?;
        let (first, last) = (number("/state/first_seq")?, number("/state/last_seq")?);
        Some(Stream { epoch: hash(created), first, last })
    };
    found().ok_or_else(unexpected)
}

/// FNV-1a: the same on all nodes.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Stores a payload, unless one with this id is stored already. Gives its sequence.
///
/// # Errors
/// The server refuses, or does not answer.
pub async fn publish(
    client: &Client,
    subjects: &Subjects,
    room: &[u8],
    id: &str,
    payload: Bytes,
) -> Result<u64, ApiError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::NATS_MESSAGE_ID, id);
    headers.insert(header::NATS_EXPECTED_STREAM, subjects.stream.as_str());
    let request = Request::new().payload(payload).headers(headers).timeout(None);
    let message = send(client, subjects.stored(room), request).await?;
    json_answer(&message)?.get("seq").and_then(Value::as_u64).ok_or_else(unexpected)
}

/// The newest message of a room.
///
/// # Errors
/// The server does not answer.
pub async fn last(client: &Client, subjects: &Subjects, room: &[u8]) -> Result<Option<Stored>, ApiError> {
    get(client, subjects, &json!({ "last_by_subj": subjects.stored(room) })).await
}

/// The first message of a room from a sequence on.
///
/// # Errors
/// The server does not answer.
pub async fn next(client: &Client, subjects: &Subjects, room: &[u8], from: u64) -> Result<Option<Stored>, ApiError> {
    get(client, subjects, &json!({ "seq": from, "next_by_subj": subjects.stored(room) })).await
}

/// Messages of a room from a sequence on, in order, at most `limit` of them, and whether these are all. The server sends them together, which
/// it does since 2.9 for a consumer only.
///
/// # Errors
/// The server does not answer.
pub async fn all_next(
    client: &Client,
    subjects: &Subjects,
    room: &[u8],
    from: u64,
    limit: usize,
) -> Result<(Vec<Stored>, bool), ApiError> {
    let stored = |message: Message| Some(Stored { sequence: delivered(&message)?, payload: message.payload });
    consume(client, subjects, room, from, limit, false, stored).await
}

/// The same without the messages themselves.
///
/// # Errors
/// The server does not answer.
pub async fn list(
    client: &Client,
    subjects: &Subjects,
    room: &[u8],
    from: u64,
    limit: usize,
) -> Result<(Vec<Listed>, bool), ApiError> {
    let listed = |message: Message| {
        let bytes = usize::try_from(number(&message, "Nats-Msg-Size")?).ok()?;
        Some(Listed { sequence: delivered(&message)?, bytes })
    };
    consume(client, subjects, room, from, limit, true, listed).await
}

/// Reads with a consumer that pushes to a subject of its own, so that its creation and the messages are one round trip. `read` takes what
/// is wanted from a message, if it is there.
async fn consume<T>(
    client: &Client,
    subjects: &Subjects,
    room: &[u8],
    from: u64,
    limit: usize,
    headers_only: bool,
    read: impl Fn(Message) -> Option<T>,
) -> Result<(Vec<T>, bool), ApiError> {
    let failed = |error: &dyn std::fmt::Display| ApiError::Failed(error.to_string());
    let inbox = client.new_inbox();
    let mut subscriber = client.subscribe(inbox.clone()).await.map_err(|error| failed(&error))?;
    // The server sends no more than that, however much there is.
    subscriber.unsubscribe_after(limit as u64).await.map_err(|error| failed(&error))?;
    let config = json!({
        "stream_name": subjects.stream,
        "config": {
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": from.max(1),
            "filter_subject": subjects.stored(room),
            "ack_policy": "none",
            "replay_policy": "instant",
            "headers_only": headers_only,
            "inactive_threshold": u64::try_from(CONSUMER_LIFETIME.as_nanos()).unwrap_or(u64::MAX),
            "mem_storage": true,
            "num_replicas": 1,
        },
    });
    let created = ask(client, subjects.api("CONSUMER.CREATE"), &config).await?;
    let pending = created.get("num_pending").and_then(Value::as_u64).ok_or_else(unexpected)?;
    let pending = usize::try_from(pending).unwrap_or(usize::MAX);
    let mut messages = Vec::new();
    while messages.len() < pending.min(limit) {
        let message = subscriber.next().await.ok_or_else(unexpected)?;
        messages.push(message);
    }
    if let Some(name) = created.get("name").and_then(Value::as_str) {
        // Otherwise it ends a little later.
        let delete = format!("{}.{name}", subjects.api("CONSUMER.DELETE"));
        let _ = client.publish_with_reply(delete, client.new_inbox(), Bytes::new()).await;
    }
    let all = messages.into_iter().map(read).collect::<Option<_>>().ok_or_else(unexpected)?;
    Ok((all, pending <= limit))
}

/// The sequence in the stream of a message that a consumer has delivered: `$JS.ACK.STREAM.CONSUMER.TIMES.SEQUENCE.…`, with the domain and the
/// account before the stream since 2.10 in some servers.
fn delivered(message: &Message) -> Option<u64> {
    let parts: Vec<_> = message.reply.as_ref()?.split('.').collect();
    let place = if parts.len() > 9 { 7 } else { 5 };
    parts.get(place)?.parse().ok()
}

async fn get(client: &Client, subjects: &Subjects, which: &Value) -> Result<Option<Stored>, ApiError> {
    let request = Request::new().payload(which.to_string().into()).timeout(None);
    let message = send(client, subjects.api("DIRECT.GET"), request).await?;
    match message.status.map(|status| status.as_u16()) {
        None => {}
        Some(404) => return Ok(None),
        Some(status) => {
            let words = message.description.map(|words| words.to_string()).unwrap_or_default();
            return Err(ApiError::Refused(status.into(), words));
        }
    }
    let sequence = number(&message, "Nats-Sequence").ok_or_else(unexpected)?;
    Ok(Some(Stored { sequence, payload: message.payload }))
}

/// A number in a header.
pub fn number(message: &Message, name: &'static str) -> Option<u64> {
    message.headers.as_ref()?.get(name)?.as_str().parse().ok()
}

async fn ask(client: &Client, subject: String, question: &Value) -> Result<Value, ApiError> {
    let request = Request::new().payload(question.to_string().into()).timeout(None);
    json_answer(&send(client, subject, request).await?)
}

async fn send(client: &Client, subject: String, request: Request) -> Result<Message, ApiError> {
    client.send_request(subject, request).await.map_err(|error| match error.kind() {
        RequestErrorKind::NoResponders => ApiError::NoResponders,
        _ => ApiError::Failed(error.to_string()),
    })
}

fn json_answer(message: &Message) -> Result<Value, ApiError> {
    let answer = serde_json::from_slice::<Value>(&message.payload).map_err(|_| unexpected())?;
    match answer.get("error") {
        None => Ok(answer),
        Some(error) => {
            let code = error.get("err_code").or_else(|| error.get("code")).and_then(Value::as_u64).unwrap_or(0);
            let words = error.get("description").and_then(Value::as_str).unwrap_or("it refused");
            Err(ApiError::Refused(code, words.to_owned()))
        }
    }
}

fn unexpected() -> ApiError {
    ApiError::Failed("an unexpected answer".into())
}
