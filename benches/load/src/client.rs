//! Loads for clients: servers that print their URL first.

use crate::{
    Args,
    ws::{self, Frames},
};
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
};

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("ws://{}/", listener.local_addr()?);
    Ok(listener)
}

fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let mut stream = listener.accept()?.0;
    stream.set_nodelay(true)?;
    ws::accept(&mut stream, false)?;
    Ok(stream)
}

fn close(stream: &mut TcpStream) -> io::Result<()> {
    let mut frame = Vec::new();
    ws::frame(&mut frame, ws::CLOSE, None, &1000_u16.to_be_bytes());
    stream.write_all(&frame)
}

/// `sink`: counts the messages of one client. Replies to pings, with which clients confirm delivery.
pub fn sink(_: &Args) -> io::Result<()> {
    let mut stream = accept(&listen()?)?;
    let mut frames = Frames::default();
    let mut buffer = vec![0; 1 << 20];
    let (mut messages, mut bytes, mut is_over) = (0_u64, 0_u64, false);
    let mut answers = Vec::new();
    while !is_over && let Ok(read @ 1..) = stream.read(&mut buffer) {
        frames.take(&mut buffer[..read], |first, payload| match first {
            ws::CLOSE => is_over = true,
            ws::PING => ws::frame(&mut answers, ws::PONG, None, payload),
            ws::PONG => {}
            _ => {
                // Only the last fragment completes a message.
                messages += u64::from(first & 0x80 != 0);
                bytes += payload.len() as u64;
            }
        });
        stream.write_all(&answers)?;
        answers.clear();
    }
    println!("{{\"messages\": {messages}, \"bytes\": {bytes}}}");
    close(&mut stream)
}

/// `flood --n 5000000 --size 59`: sends this many messages to one client.
pub fn flood(args: &Args) -> io::Result<()> {
    let mut stream = accept(&listen()?)?;
    let mut block = Vec::new();
    for _ in 0..1000 {
        ws::frame(&mut block, ws::TEXT, None, &vec![b'x'; args.number("size", 59) as usize]);
    }
    (0..args.number("n", 5_000_000) / 1000).try_for_each(|_| stream.write_all(&block))?;
    close(&mut stream)?;
    io::copy(&mut stream, &mut io::sink()).map(|_| ())
}

/// `reply`: sends each message back, to one client after another, until it is killed.
pub fn reply() -> io::Result<()> {
    let listener = listen()?;
    loop {
        let mut stream = accept(&listener)?;
        let mut frames = Frames::default();
        let mut buffer = [0; 4096];
        let mut answers = Vec::new();
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            frames.take(&mut buffer[..read], |first, payload| {
                let answer = if first == ws::PING { ws::PONG } else { first };
                ws::frame(&mut answers, answer, None, payload);
            });
            if stream.write_all(&answers).is_err() {
                break;
            }
            answers.clear();
        }
    }
}
