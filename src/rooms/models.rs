//! Models of the hand-over between a room's flusher and its members' tasks: loom runs them in every order in which their threads can
//! take turns, and fails if one waits for ever. `tests/loom.sh` runs them.

use super::{
    broker::Broker,
    hub::{Hub, Membership},
    member_task::MemberTask,
    node::Node,
    resume::{PROTOCOL, Resume},
    room::Batch,
    sync::Mutex,
};
use crate::{
    cluster::{Body, Position, Recent},
    config::{HistoryOptions, RoomOptions, SlowPolicy},
    flow::ByteEnd,
    message::{Kind, Message},
    ws::{Upgraded, WebSocketOptions},
};
use bytes::Bytes;
use hyper::header::HeaderValue;
use loom::{future::block_on, thread};
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection whose client reads everything at once or nothing, and sends nothing.
#[derive(Default)]
struct Wire {
    is_open: bool,
    written: Vec<u8>,
    /// Waits for the client to read.
    writing: Option<Waker>,
    /// So many bytes are all that the client expects, and who waits for them.
    expected: usize,
    complete: Option<Waker>,
}

#[derive(Clone)]
struct Connection(Arc<Mutex<Wire>>);

impl Connection {
    fn new(is_open: bool, expected: usize) -> Self {
        Self(Arc::new(Mutex::new(Wire { is_open, expected, ..Wire::default() })))
    }

    /// The client reads.
    fn open(&self) {
        let mut wire = self.0.lock().unwrap();
        wire.is_open = true;
        wire.writing.take().into_iter().for_each(Waker::wake);
    }

    fn written(&self) -> Vec<u8> {
        self.0.lock().unwrap().written.clone()
    }

    /// Ready when the client has all that it expects.
    fn poll_complete(&self, cx: &Context<'_>) -> Poll<()> {
        let mut wire = self.0.lock().unwrap();
        wire.complete = Some(cx.waker().clone());
        if wire.written.len() >= wire.expected { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.0.lock().unwrap();
        if !wire.is_open {
            wire.writing = Some(cx.waker().clone());
            return Poll::Pending;
        }
        wire.written.extend_from_slice(bytes);
        if wire.written.len() >= wire.expected {
            wire.complete.take().into_iter().for_each(Waker::wake);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The stack of a thread in words: loom's default is too small for a server.
const STACK: usize = 1 << 17;

fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().stack_size(STACK).spawn(run).expect("a thread")
}

/// Runs a model with at most so many turns that a thread takes from another which could go on.
fn model(preemptions: usize, run: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || spawn(run).join().unwrap());
}

fn hub(slow: SlowPolicy, backlog: usize) -> Arc<Hub> {
    let options = RoomOptions { slow, backlog, slow_timeout: None, ..RoomOptions::default() };
    Arc::new(Hub::new(options, WebSocketOptions::default(), Broker::Memory))
}

/// A hub that keeps what was sent for members that join.
fn hub_with_history(broker: Broker) -> Arc<Hub> {
    let history = HistoryOptions { messages: 10, bytes: 10_000, lifetime: Duration::from_secs(600) };
    let options = RoomOptions { history: Some(history), slow_timeout: None, ..RoomOptions::default() };
    Arc::new(Hub::new(options, WebSocketOptions::default(), broker))
}

fn join(hub: &Arc<Hub>, connection: &Connection) -> Membership {
    let membership = hub.join("/", "member", None).expect("there is no limit");
    membership.member.connect(ByteEnd::peer(connection.clone(), "member"), None);
    membership
}

/// Publishes a message as a member's task does: flushes whether or not there was room for it, and waits until there is.
fn send(hub: &Arc<Hub>, membership: &Membership, byte: u8) {
    let message = Message { kind: Kind::Binary, payload: Bytes::from(vec![byte]) };
    block_on(poll_fn(|cx| {
        let room = &membership.room;
        let is_published =
            !room.is_held_up(cx) && room.publish(membership.member.id, &message, None, &hub.delivery, cx).is_ready();
        hub.flush(room);
        if is_published { Poll::Ready(()) } else { Poll::Pending }
    }));
}

/// Runs a member's task until its client has all that it expects. Returns the task, since the hub is no part of the models: only one
/// thread may use it, which also drops the members.
fn serve(membership: Membership, connection: &Connection) -> MemberTask {
    let end = ByteEnd::peer(connection.clone(), "member");
    let mut task = MemberTask::new(membership, Upgraded { end, early: Vec::new(), deflate: None });
    block_on(poll_fn(|cx| {
        assert!(task.poll_end(cx).is_pending());
        connection.poll_complete(cx)
    }));
    task
}

/// The frame of a message of one byte.
fn frame(byte: u8) -> [u8; 3] {
    [0x82, 1, byte]
}

#[test]
fn what_a_socket_does_not_take_is_written_when_the_client_reads() {
    model(3, || {
        let hub = hub(SlowPolicy::Disconnect, 1000);
        let (near, slow) = (Connection::new(true, 3), Connection::new(false, 3));
        let (sender, reader) = (join(&hub, &near), join(&hub, &slow));
        let client = slow.clone();
        let reading = spawn(move || client.open());
        let sending = spawn(move || {
            send(&hub, &sender, 7);
            sender
        });
        let task = serve(reader, &slow);
        assert_eq!(slow.written(), frame(7));
        drop((sending.join().unwrap(), task));
        reading.join().unwrap();
    });
}

#[test]
fn two_senders_at_once_are_heard_in_one_order() {
    model(3, || {
        let hub = hub(SlowPolicy::Disconnect, 1000);
        let connections = [Connection::new(true, 6), Connection::new(true, 6)];
        let [first, second] = [0, 1].map(|at: usize| join(&hub, &connections[at]));
        let other = hub.clone();
        let sending = spawn(move || {
            send(&other, &first, 1);
            first
        });
        send(&hub, &second, 2);
        let first = sending.join().unwrap();
        let [one, two] = connections.map(|connection| connection.written());
        assert_eq!(one, two);
        assert!(one == [frame(1), frame(2)].concat() || one == [frame(2), frame(1)].concat());
        drop((first, second));
    });
}

#[test]
fn a_sender_goes_on_when_the_member_that_held_up_the_room_has_caught_up() {
    model(2, || {
        // The first message is above the limit, so the second waits until it is written.
        let hub = hub(SlowPolicy::Block, 2);
        let (near, slow) = (Connection::new(true, 6), Connection::new(false, 6));
        let (sender, reader) = (join(&hub, &near), join(&hub, &slow));
        let client = slow.clone();
        let reading = spawn(move || client.open());
        let sending = spawn(move || {
            send(&hub, &sender, 1);
            send(&hub, &sender, 2);
            sender
        });
        let task = serve(reader, &slow);
        drop((sending.join().unwrap(), task));
        reading.join().unwrap();
        assert_eq!(slow.written(), [frame(1), frame(2)].concat());
    });
}

#[test]
fn a_member_that_leaves_while_a_batch_is_delivered_does_not_hold_up_its_room() {
    model(3, || {
        let hub = hub(SlowPolicy::Block, 2);
        let (near, stuck) = (Connection::new(true, 6), Connection::new(false, 6));
        let (sender, mut leaving) = (join(&hub, &near), join(&hub, &stuck));
        let sending = spawn(move || {
            send(&hub, &sender, 1);
            send(&hub, &sender, 2);
            sender
        });
        leaving.leave();
        let sender = sending.join().unwrap();
        assert_eq!(near.written(), [frame(1), frame(2)].concat());
        drop(sender);
    });
}

#[test]
fn a_sender_that_finds_the_batch_full_goes_on_when_it_is_taken() {
    model(3, || {
        // The batch is full with one message.
        let hub = hub(SlowPolicy::DropNewest, 6);
        let connection = Connection::new(true, 9);
        let membership = Arc::new(join(&hub, &connection));
        let (other_hub, other) = (hub.clone(), membership.clone());
        let sending = spawn(move || {
            send(&other_hub, &other, 1);
            send(&other_hub, &other, 2);
            other
        });
        send(&hub, &membership, 3);
        drop(sending.join().unwrap());
        assert_eq!(connection.written().len(), 9);
    });
}

#[test]
fn a_member_that_joins_while_another_sends_receives_each_message_once() {
    model(3, || {
        let hub = hub_with_history(Broker::Memory);
        let (near, late) = (Connection::new(true, 6), Connection::new(true, 6));
        let (sender, other) = (join(&hub, &near), hub.clone());
        let sending = spawn(move || {
            send(&other, &sender, 1);
            send(&other, &sender, 2);
            sender
        });
        let task = serve(hub.join("/", "late", None).expect("there is no limit"), &late);
        assert_eq!(late.written(), [frame(1), frame(2)].concat());
        drop((sending.join().unwrap(), task));
    });
}

/// What a member asks for that resumes after the message at this place.
fn resuming(place: Option<&str>) -> Resume {
    let place = place.map(|place| format!("{PROTOCOL}.{place}"));
    let offers = place.iter().map(String::as_str).chain([PROTOCOL]).map(|offer| HeaderValue::from_str(offer).unwrap());
    Resume::requested(&offers.collect::<Vec<_>>()).unwrap()
}

/// The place and the payload of each message that a member has received which wants places. All frames have one length.
fn places(connection: &Connection, length: usize) -> Vec<(String, u8)> {
    let place = |frame: &[u8]| {
        let (place, payload) = frame[2..].split_at(frame.len() - 4);
        assert_eq!(payload[0], b'\n');
        (String::from_utf8(place.to_vec()).unwrap(), payload[1])
    };
    connection.written().chunks(length).map(place).collect()
}

#[test]
fn a_member_that_resumes_while_another_sends_receives_what_it_lacks_once() {
    model(3, || {
        let hub = hub_with_history(Broker::Memory);
        let near = Connection::new(true, 9);
        let sender = join(&hub, &near);
        send(&hub, &sender, 1);
        // An earlier connection, which had the first message.
        let earlier = Connection::new(true, 1);
        let before = hub.join_as("/", "member", None, Some(resuming(None))).expect("there is no limit");
        let task = serve(before, &earlier);
        let length = earlier.written().len();
        let [(place, 1)] = &places(&earlier, length)[..] else { panic!("one message") };
        drop(task);
        let other = hub.clone();
        let sending = spawn(move || {
            send(&other, &sender, 2);
            send(&other, &sender, 3);
            sender
        });
        let late = Connection::new(true, 2 * length);
        let member = hub.join_as("/", "member", None, Some(resuming(Some(place)))).expect("there is no limit");
        let offers = [format!("{PROTOCOL}.{place}"), PROTOCOL.to_owned()];
        let offers = offers.map(|offer| HeaderValue::from_str(&offer).unwrap());
        assert_eq!(
            member.member.resume.as_ref().and_then(|resume| resume.selected(&offers)).as_ref(),
            Some(&offers[0])
        );
        let task = serve(member, &late);
        assert_eq!(places(&late, length).iter().map(|(_, payload)| *payload).collect::<Vec<_>>(), [2, 3]);
        drop((sending.join().unwrap(), task));
    });
}

/// The batch of another node with this sequence, which is also its only message.
fn received(sequence: u8) -> (Body, u64, Position) {
    let position = Position { epoch: 7, sequence: sequence.into() };
    (Body { plain: Bytes::copy_from_slice(&frame(sequence)), deflated: None }, 1, position)
}

#[test]
fn members_that_join_while_the_node_learns_what_was_sent_receive_each_message_once() {
    model(3, || {
        // What it sends is not looked at.
        let (node, _commands) = Node::new();
        let hub = hub_with_history(Broker::Cluster(node));
        let connections = [Connection::new(true, 6), Connection::new(true, 6)];
        let early = hub.join("/", "early", None).expect("there is no limit");
        let (room, other) = (early.room.clone(), hub.clone());
        let driving = spawn(move || {
            let recent = Recent { position: received(1).2, after: 0, batches: vec![received(1)] };
            room.open(Some(recent), &other.delivery);
            let (body, messages, position) = received(2);
            room.deliver(Batch::received(body, messages, position), false, &other.delivery);
        });
        let late = hub.join("/", "late", None).expect("there is no limit");
        let members = [early, late].into_iter().zip(&connections).map(|(member, connection)| {
            // Its handshake is answered then.
            block_on(member.subscribed()).expect("the engine is there");
            let task = serve(member, connection);
            assert_eq!(connection.written(), [frame(1), frame(2)].concat());
            task
        });
        drop(members.collect::<Vec<_>>());
        driving.join().unwrap();
    });
}
