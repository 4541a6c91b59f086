//! A model of nodes and an engine that delays, drops, doubles and loses its data. Whatever happens, all members of all nodes see one order, in
//! which nothing is missing or doubled, or they are told that messages were lost.

use super::{
    channel::{Action, Channel, NodeLimits, Recent},
    engine::{BatchId, EngineError, Position, Publication},
    payload::Body,
};
use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};

/// A payload takes so little that some batches need chunks.
const MAX_PAYLOAD: usize = 100;
const NODES: usize = 3;
/// Publications that are fetched for members that join, and messages that they receive.
const RECENT: usize = 20;
const HISTORY: usize = 5;

#[derive(Default)]
struct Engine {
    /// Publications that it keeps.
    history: usize,
    epoch: u64,
    log: Vec<Publication>,
    last_numbers: HashMap<u64, (u64, Position)>,
}

impl Engine {
    fn end(&self) -> Position {
        Position { epoch: self.epoch, sequence: self.log.len() as u64 }
    }

    fn last(&self, limit: usize) -> Vec<Publication> {
        let count = limit.min(self.history).min(self.log.len());
        self.log.iter().skip(self.log.len() - count).cloned().collect()
    }

    fn since(&self, after: Position) -> Option<Vec<Publication>> {
        let oldest = self.log.len().saturating_sub(self.history) as u64;
        if after.epoch != self.epoch || after.sequence < oldest || after.sequence > self.end().sequence {
            return None;
        }
        Some(self.log.iter().skip(after.sequence as usize).take(super::channel::FETCHED).cloned().collect())
    }
}

#[derive(Clone, Debug)]
enum Request {
    Subscribe,
    Unsubscribe,
    Publish(BatchId, Bytes),
    Since(Position),
    Last(usize),
}

enum Reply {
    Subscribe(Result<Position, EngineError>),
    Unsubscribe(Result<(), EngineError>),
    Publish(BatchId, Result<Position, EngineError>),
    Since(Result<Option<Vec<Publication>>, EngineError>),
    Last(Result<Vec<Publication>, EngineError>),
}

/// What a member has seen, and how that ended.
#[derive(Clone, Debug, Default)]
struct Seen {
    messages: Vec<u64>,
    /// The epoch, and how many messages there were when it joined.
    joined: (usize, usize),
    /// How many of those that were sent before it has received.
    earlier: usize,
    has_ended: bool,
}

struct Node {
    channel: Channel<u64>,
    id: u64,
    last_number: u64,
    has_members: bool,
    is_open: bool,
    is_publishing: bool,
    is_subscribed: bool,
    requests: VecDeque<Request>,
    replies: VecDeque<Reply>,
    events: VecDeque<Publication>,
    /// What members receive that join: the places and the messages of the last batches.
    history: VecDeque<(Position, u64)>,
    /// Everything after this sequence is in it.
    floor: u64,
    members: Vec<Seen>,
    gone: Vec<Seen>,
    losses: usize,
}

fn channel(id: u64) -> Channel<u64> {
    Channel::new(NodeLimits { node: id, max_payload: MAX_PAYLOAD, max_batch: 10_000, recent: RECENT }, "/".into())
}

impl Node {
    fn new(id: u64) -> Self {
        Self {
            channel: channel(id),
            id,
            last_number: 0,
            has_members: false,
            is_open: false,
            is_publishing: false,
            is_subscribed: false,
            requests: VecDeque::new(),
            replies: VecDeque::new(),
            events: VecDeque::new(),
            history: VecDeque::new(),
            floor: 0,
            members: Vec::new(),
            gone: Vec::new(),
            losses: 0,
        }
    }

    fn see(&mut self, message: u64, position: Position) {
        assert!(self.is_open, "its members would receive it before what is earlier");
        self.members.iter_mut().for_each(|member| member.messages.push(message));
        self.keep(message, position);
    }

    fn keep(&mut self, message: u64, position: Position) {
        let last = self.history.back().map_or(0, |(last, _)| last.sequence);
        assert!(position.sequence > last, "an order of places");
        self.history.push_back((position, message));
        if self.history.len() > HISTORY {
            self.floor = self.history.pop_front().map_or(0, |(first, _)| first.sequence);
        }
    }

    fn end_members(&mut self) {
        for mut member in self.members.drain(..) {
            member.has_ended = true;
            self.gone.push(member);
        }
    }

    fn act(&mut self, actions: Vec<Action<u64>>) {
        for action in actions {
            match action {
                Action::Subscribe => self.requests.push_back(Request::Subscribe),
                Action::Unsubscribe => self.requests.push_back(Request::Unsubscribe),
                Action::Publish(id, payload) => self.requests.push_back(Request::Publish(id, payload)),
                Action::Since(after) => self.requests.push_back(Request::Since(after)),
                Action::Last(limit) => self.requests.push_back(Request::Last(limit)),
                Action::Opened(recent) => {
                    let Recent { position, after, batches } = recent.expect("it was asked for");
                    (self.is_open, self.floor) = (true, after);
                    self.history.clear();
                    for (body, messages, place) in batches {
                        assert_eq!(messages, 1);
                        assert!(place.sequence > after && place.sequence <= position.sequence);
                        self.keep(message_of(&body), place);
                    }
                }
                Action::DeliverOwn(message, position) => {
                    self.is_publishing = false;
                    if let Some(position) = position.filter(|_| self.has_members) {
                        self.see(message, position);
                    }
                }
                Action::Deliver(body, messages, position) => {
                    assert_eq!(messages, 1);
                    if self.has_members {
                        self.see(message_of(&body), position);
                    }
                }
                Action::Lost => {
                    self.losses += 1;
                    self.end_members();
                    (self.is_open, self.is_publishing) = (false, false);
                }
                Action::Repaired(count) => assert!(count > 0),
                Action::Stranger => panic!("there are none"),
            }
        }
    }

    fn call(&mut self, call: impl FnOnce(&mut Channel<u64>, &mut Vec<Action<u64>>)) {
        let mut out = Vec::new();
        call(&mut self.channel, &mut out);
        self.act(out);
    }
}

/// A batch of one message, whose payload begins with its number.
fn body(message: u64, length: usize) -> Body {
    let length = length.max(8);
    let mut plain = BytesMut::new();
    plain.put_slice(&[0x82, 126]);
    plain.put_u16(length as u16);
    plain.put_u64(message);
    plain.resize(4 + length, 7);
    Body { plain: plain.freeze(), deflated: None }
}

fn message_of(body: &Body) -> u64 {
    u64::from_be_bytes(body.plain[4..12].try_into().expect("eight bytes"))
}

#[derive(Clone, Debug)]
enum Step {
    Join,
    LeaveAll,
    Publish(usize),
    Execute,
    Reply,
    /// A request fails; the engine gets it never, or late.
    Fail {
        late: bool,
    },
    /// A request is carried out, and its reply is lost.
    LoseReply,
    Event,
    DropEvent,
    DoubleEvent,
    /// An earlier attempt to publish arrives.
    Late,
    /// The connection is lost, with what was on its way, and stands again.
    Cut,
    Tick,
    LoseData,
    /// The node is killed, and another takes its place.
    Kill,
}

fn steps(loses_data: bool) -> impl Strategy<Value = Vec<(usize, Step)>> {
    let step = prop_oneof![
        6 => Just(Step::Join),
        1 => Just(Step::LeaveAll),
        14 => prop_oneof![3 => Just(8), 1 => 8..400_usize].prop_map(Step::Publish),
        30 => Just(Step::Execute),
        30 => Just(Step::Reply),
        2 => any::<bool>().prop_map(|late| Step::Fail { late }),
        2 => Just(Step::LoseReply),
        40 => Just(Step::Event),
        2 => Just(Step::DropEvent),
        2 => Just(Step::DoubleEvent),
        2 => Just(Step::Late),
        2 => Just(Step::Cut),
        4 => Just(Step::Tick),
        1 => Just(if loses_data { Step::LoseData } else { Step::Tick }),
        1 => Just(Step::Kill),
    ];
    prop::collection::vec((0..NODES, step), 0..400)
}

struct World {
    engine: Engine,
    nodes: Vec<Node>,
    late: VecDeque<Request>,
    next_message: u64,
    next_node: u64,
    /// The messages of each epoch, in order.
    orders: Vec<Vec<u64>>,
    /// The number, the next chunk and the bytes of a batch of a node.
    partial: HashMap<u64, (u64, u32, BytesMut)>,
}

impl World {
    fn new(history: usize) -> Self {
        let nodes = (0..NODES as u64).map(Node::new).collect();
        Self {
            engine: Engine { history, ..Engine::default() },
            nodes,
            late: VecDeque::new(),
            next_message: 1,
            next_node: NODES as u64,
            orders: vec![Vec::new()],
            partial: HashMap::new(),
        }
    }

    fn execute(&mut self, request: Request) -> (Reply, Option<bool>) {
        match request {
            Request::Subscribe => (Reply::Subscribe(Ok(self.engine.end())), Some(true)),
            Request::Unsubscribe => (Reply::Unsubscribe(Ok(())), Some(false)),
            Request::Since(after) => (Reply::Since(Ok(self.engine.since(after))), None),
            Request::Last(limit) => (Reply::Last(Ok(self.engine.last(limit))), None),
            Request::Publish(id, payload) => {
                if let Some((number, position)) = self.engine.last_numbers.get(&id.node)
                    && *number >= id.number
                {
                    return (Reply::Publish(id, Ok(*position)), None);
                }
                let previous = self.engine.log.len() as u64;
                let position = Position { epoch: self.engine.epoch, sequence: previous + 1 };
                let publication = Publication { position, previous, payload: payload.clone() };
                self.engine.log.push(publication.clone());
                self.engine.last_numbers.insert(id.node, (id.number, position));
                for node in self.nodes.iter_mut().filter(|node| node.is_subscribed) {
                    node.events.push_back(publication.clone());
                }
                self.record(payload);
                (Reply::Publish(id, Ok(position)), None)
            }
        }
    }

    /// Notes the order in which batches are complete.
    fn record(&mut self, payload: Bytes) {
        let (header, chunk) = super::payload::Header::decode(payload, b"/").expect("a payload");
        let (number, next, joined) = self.partial.entry(header.node).or_default();
        if header.index == 0 {
            (*number, *next) = (header.number, 0);
            joined.clear();
        }
        if (*number, *next) != (header.number, header.index) {
            // The data was lost in the middle of it.
            return;
        }
        *next += 1;
        joined.extend_from_slice(&chunk);
        if *next == header.count {
            let (body, _) = Body::parse(joined.split().freeze(), header.plain as usize).expect("a batch");
            self.orders.last_mut().expect("an epoch").push(message_of(&body));
        }
    }

    fn step(&mut self, at: usize, step: Step) {
        let node = &mut self.nodes[at];
        match step {
            Step::Join => {
                if !node.has_members {
                    node.has_members = true;
                    node.is_open = false;
                    node.call(|channel, out| channel.open(out));
                }
                // A member's opening handshake is answered when the subscription stands.
                if node.is_open {
                    let joined = (self.orders.len() - 1, self.orders.last().map_or(0, Vec::len));
                    let messages: Vec<_> = node.history.iter().map(|(_, message)| *message).collect();
                    node.members.push(Seen { joined, earlier: messages.len(), messages, ..Seen::default() });
                }
            }
            Step::LeaveAll => {
                if node.has_members {
                    node.has_members = false;
                    node.end_members();
                    (node.is_open, node.is_publishing) = (false, false);
                    node.call(|channel, out| channel.close(out));
                }
            }
            Step::Publish(length) => {
                if !node.members.is_empty() && !node.is_publishing {
                    node.is_publishing = true;
                    let message = self.next_message;
                    self.next_message += 1;
                    let mut last = node.last_number;
                    node.call(|channel, out| channel.publish(message, body(message, length), &mut last, out));
                    node.last_number = last;
                }
            }
            Step::Execute => {
                if let Some(request) = node.requests.pop_front() {
                    let (reply, subscription) = self.execute(request);
                    let node = &mut self.nodes[at];
                    node.is_subscribed = subscription.unwrap_or(node.is_subscribed);
                    node.replies.push_back(reply);
                }
            }
            Step::Reply => {
                if let Some(reply) = node.replies.pop_front() {
                    self.reply(at, reply);
                }
            }
            Step::Fail { late } => {
                if let Some(request) = node.requests.pop_front() {
                    if late && matches!(request, Request::Publish(..)) {
                        self.late.push_back(request.clone());
                    }
                    let reply = failed(&request);
                    self.reply(at, reply);
                }
            }
            Step::LoseReply => {
                if let Some(reply) = node.replies.pop_front() {
                    let reply = failed(&match reply {
                        Reply::Subscribe(_) => Request::Subscribe,
                        Reply::Unsubscribe(_) => Request::Unsubscribe,
                        Reply::Publish(id, _) => Request::Publish(id, Bytes::new()),
                        Reply::Since(_) => Request::Since(Position { epoch: 0, sequence: 0 }),
                        Reply::Last(_) => Request::Last(0),
                    });
                    self.reply(at, reply);
                }
            }
            Step::Event => {
                if let Some(publication) = node.events.pop_front() {
                    node.call(|channel, out| channel.received(publication, out));
                }
            }
            Step::DropEvent => {
                node.events.pop_front();
            }
            Step::DoubleEvent => {
                if let Some(publication) = node.events.front().cloned() {
                    node.call(|channel, out| channel.received(publication, out));
                }
            }
            Step::Late => {
                if let Some(request) = self.late.pop_front() {
                    self.execute(request);
                }
            }
            Step::Cut => {
                node.events.clear();
                node.call(|channel, out| channel.engine_up(out));
            }
            Step::Tick => {
                if node.channel.needs_tick() {
                    node.call(|channel, out| channel.tick(out));
                }
            }
            Step::LoseData => {
                let Engine { history, epoch, .. } = self.engine;
                self.engine = Engine { history, epoch: epoch + 1, ..Engine::default() };
                self.late.clear();
                self.orders.push(Vec::new());
                self.partial.clear();
            }
            Step::Kill => {
                node.end_members();
                let (gone, losses) = (std::mem::take(&mut node.gone), node.losses);
                *node = Node { gone, losses, ..Node::new(self.next_node) };
                self.next_node += 1;
            }
        }
    }

    fn reply(&mut self, at: usize, reply: Reply) {
        self.nodes[at].call(|channel, out| match reply {
            Reply::Subscribe(result) => channel.subscribed(result, out),
            Reply::Unsubscribe(result) => channel.unsubscribed(result, out),
            Reply::Publish(id, result) => channel.stored(id, result, out),
            Reply::Since(result) => channel.fetched(result, out),
            Reply::Last(result) => channel.recent(result, out),
        });
    }

    /// Lets everything happen that is due, without a further failure.
    fn settle(&mut self) {
        for at in 0..NODES {
            self.nodes[at].call(|channel, out| channel.engine_up(out));
        }
        for _ in 0..200 {
            if self.nodes.iter().all(|node| {
                node.requests.is_empty()
                    && node.replies.is_empty()
                    && node.events.is_empty()
                    && !node.channel.needs_tick()
            }) {
                break;
            }
            for at in 0..NODES {
                for _ in 0..20 {
                    self.step(at, Step::Execute);
                    self.step(at, Step::Reply);
                    self.step(at, Step::Event);
                }
                self.step(at, Step::Tick);
            }
        }
        for node in &self.nodes {
            assert!(node.requests.is_empty() && node.replies.is_empty() && node.events.is_empty(), "it never settles");
            assert!(!node.channel.needs_tick() && !node.channel.is_publishing());
            assert!(node.has_members || node.channel.is_gone());
            assert!(!node.has_members || node.channel.stands() && node.is_open);
            assert!(!node.is_publishing, "node {} waits for its batch", node.id);
            assert_eq!(node.is_subscribed, node.has_members, "a subscription is left");
        }
    }

    fn check(&self) {
        for order in &self.orders {
            let mut sorted = order.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), order.len(), "stored twice: {order:?}");
        }
        let last = self.orders.len() - 1;
        for node in &self.nodes {
            for member in &node.gone {
                let is_part =
                    |order: &Vec<u64>| order.windows(member.messages.len()).any(|part| part == member.messages);
                assert!(
                    member.messages.is_empty() || self.orders.iter().any(is_part),
                    "{member:?} of {:?}",
                    self.orders
                );
            }
            for member in &node.members {
                let order = &self.orders[last];
                assert!(order.ends_with(&member.messages), "{member:?} of {order:?}");
                assert_eq!(member.joined.0, last, "{member:?} was not told of a loss");
                assert!(order.len() - member.messages.len() <= member.joined.1, "{member:?} of {order:?}");
                assert!(member.earlier <= HISTORY);
            }
        }
    }
}

fn failed(request: &Request) -> Reply {
    let error = EngineError::lost("lost");
    match request {
        Request::Subscribe => Reply::Subscribe(Err(error)),
        Request::Unsubscribe => Reply::Unsubscribe(Err(error)),
        Request::Publish(id, _) => Reply::Publish(*id, Err(error)),
        Request::Since(_) => Reply::Since(Err(error)),
        Request::Last(_) => Reply::Last(Err(error)),
    }
}

fn run(history: usize, steps: Vec<(usize, Step)>) -> World {
    let mut world = World::new(history);
    for (at, step) in steps {
        world.step(at, step);
    }
    world.settle();
    world.check();
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn all_members_of_all_nodes_see_one_order_or_are_told_of_a_loss(steps in steps(true)) {
        run(12, steps);
    }

    #[test]
    fn nothing_is_lost_while_the_engine_keeps_its_data(steps in steps(false)) {
        let world = run(usize::MAX, steps);
        prop_assert!(world.nodes.iter().all(|node| node.losses == 0));
    }
}
