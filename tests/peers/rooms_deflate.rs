//! Rooms that compress, with members that other people wrote, and with many who are idle.

use crate::{
    http::{Exchange, upgrade_request},
    peer::{Peer, node, python},
    raw::{BINARY, from_client, read_frame},
    rooms_load::{memory, metric},
    rooms_metrics::{metrics_port, scrape},
    rooms_nginx::heard,
    support::Serving,
};
use flate2::{Compress, Compression, FlushCompress};
use std::{io::Write, net::TcpStream};

/// The lines with which a member is told to send long and short messages of both kinds, with its name in them.
fn words(of: &str) -> Vec<String> {
    let noise = |length: usize| -> String { (0..length).map(|_| format!("{:02x}", rand::random::<u8>())).collect() };
    let long = |times: usize| format!("{of}: all work and no play, zwölf ✓ 🦀 ").repeat(times);
    vec![
        format!("text \"{}\"", long(30)),
        format!("text \"hello from {of} ✓\""),
        "text \"\"".into(),
        format!("binary {}", "00ff0a".repeat(1000)),
        format!("binary {}", noise(2000)),
        format!("text \"{}\"", long(4000)),
        "binary 00".into(),
        format!("text \"{}\"", long(30)),
    ]
}

#[test]
#[ignore = "needs installed peers: tests/with-peers.sh"]
fn members_of_every_kind_receive_the_same_in_a_room_that_compresses() {
    let arguments = ["--broadcast", "ws-l:127.0.0.1:0", "--deflate", "on", "--metrics", "127.0.0.1:0"];
    let mut rooms = Serving::start(arguments);
    let metrics = metrics_port(&mut rooms);
    let url = format!("{}realm", rooms.url());
    let mut plain = node("room_member.js", [&*url]);
    plain.env("PLAIN", "1");
    let members = [
        ("plain", plain),
        ("node", node("room_member.js", [&*url])),
        ("python", python("room_member.py", [&*url])),
        ("page", node("room_page.js", [&*url])),
        ("other page", node("room_page.js", [&*url])),
    ];
    let mut members = members.map(|(name, command)| (name, Peer::client(command)));
    for (name, member) in &mut members {
        let joined = heard(member);
        assert!(joined.starts_with("joined"), "{name}: {joined}");
        assert_eq!(joined.contains("permessage-deflate"), *name != "plain", "{name}: {joined}");
    }
    for speaker in 0..members.len() {
        let said = words(members[speaker].0);
        members[speaker].1.running.write(said.join("\n") + "\n");
        for (name, member) in &mut members {
            for line in &said {
                let line = line.trim_end();
                assert!(heard(member) == line, "{name} has heard something else than {line:.80}");
            }
        }
    }
    let text = scrape(metrics);
    let [received, sent] = ["received_bytes_total", "sent_bytes_total"].map(|name| metric(&text, name));
    // Four of five members have agreed to compression, and nearly all messages compress well.
    assert!(sent < received * 3 / 2, "{received} bytes were said and {sent} sent");
    for (name, mut member) in members {
        member.running.write("close\n");
        assert_eq!(heard(&mut member), r#"closed 1000 """#, "{name}");
        member.running.close_input();
        assert_eq!(member.running.finish().code, 0, "{name}");
    }
}

const IDLE: usize = 2000;
const TO_A_ROOM: usize = 10;

/// The memory in KiB while members are idle, each of which has sent a message to a small room and received all of it.
fn idle_memory(offer: &str) -> u64 {
    let rooms = Serving::start(["--broadcast", "ws-l:127.0.0.1:0", "--deflate", "on"]);
    let plain: Vec<u8> = (0..500_u32).flat_map(|number| (number * 7919 % 1000).to_string().into_bytes()).collect();
    let mut deflated = Vec::with_capacity(plain.len());
    let mut compress = Compress::new(Compression::new(6), false);
    compress.compress_vec(&plain, &mut deflated, FlushCompress::Sync).expect("compressed");
    deflated.truncate(deflated.len() - 4);
    let message = if offer.is_empty() { from_client(BINARY, &plain) } else { from_client(BINARY | 0x40, &deflated) };
    let mut members: Vec<TcpStream> = (0..IDLE)
        .map(|number| {
            let request = upgrade_request(&format!("/{}", number / TO_A_ROOM), offer);
            let answer = Exchange::connect(rooms.port, &request).switched();
            let agreed = answer.head.get("Sec-WebSocket-Extensions");
            assert_eq!(agreed.is_some(), !offer.is_empty(), "{:?}", answer.head);
            answer.into_parts().0
        })
        .collect();
    members.iter_mut().for_each(|member| member.write_all(&message).expect("say"));
    for member in &mut members {
        for _ in 0..TO_A_ROOM {
            let frame = read_frame(member).expect("a message");
            assert_eq!(frame.first & 0x40 != 0, !offer.is_empty(), "{} bytes", frame.payload.len());
        }
    }
    memory(rooms.running.pid(), "VmRSS:")
}

#[test]
#[ignore = "needs many descriptors: tests/with-peers.sh"]
fn idle_members_that_agreed_on_compression_hold_no_compressor() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let [plain, deflating] = ["", offer].map(idle_memory);
    println!("{IDLE} idle members: {plain} KiB without compression, {deflating} KiB with it");
    // The compressors that worked at the same time; a window for each member would be 64 MiB.
    assert!(deflating < plain + (10 << 10), "{plain} KiB without it, {deflating} KiB with it");
}
