//! Measures the time of single steps: `cargo bench --manifest-path benches/load/Cargo.toml`. `tests/instructions.sh` counts the
//! instructions of whole runs, and `benches/end-to-end` measures their time.

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wsplice::{
    bench::{Deflate, Fanout, count_lines, count_messages, encode},
    flow::{ByteEnd, EndKind},
};

fn frames(criterion: &mut Criterion) {
    for (name, masked) in [("masked", true), ("unmasked", false)] {
        let mut group = criterion.benchmark_group(format!("encode a frame, {name}"));
        for size in [16, 100, 1024, 16 * 1024, 64 * 1024] {
            let payload = vec![7; size];
            let mut out = BytesMut::new();
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::from_parameter(size), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    encode(&mut out, masked, &payload);
                    out.len()
                });
            });
        }
    }
}

fn lines(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read 1 MiB of lines");
    group.throughput(Throughput::Bytes(1 << 20));
    for length in [16, 60, 1000, 100_000] {
        let line = [&vec![b'x'; length - 1][..], b"\n"].concat();
        let input: &'static [u8] = line.repeat((1 << 20) / length).leak();
        group.bench_function(BenchmarkId::from_parameter(length), |bencher| {
            bencher.iter(|| {
                count_lines(ByteEnd::new(tokio::io::join(input, tokio::io::sink()), EndKind::Source, "lines"))
            });
        });
    }
}

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read 1 MiB of masked frames");
    group.throughput(Throughput::Bytes(1 << 20));
    for size in [16, 100, 1024, 64 * 1024] {
        let mut frames = BytesMut::new();
        while frames.len() < 1 << 20 {
            encode(&mut frames, true, &vec![7; size]);
        }
        group.bench_function(BenchmarkId::from_parameter(size), |bencher| bencher.iter(|| count_messages(&frames)));
    }
}

fn rooms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("16 messages of 100 bytes to a room");
    for members in [10, 100, 1000] {
        let room = Fanout::new(members, 100).expect("a room");
        group.throughput(Throughput::Elements(16 * members as u64));
        group.bench_function(BenchmarkId::from_parameter(members), |bencher| bencher.iter(|| room.publish(16)));
    }
}

fn deflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("16 KiB of JSON");
    let json: Vec<u8> =
        (0..).flat_map(|n| format!("{{\"id\":{n},\"x\":{}.5}}", n * 7 % 1000).into_bytes()).take(16 << 10).collect();
    group.throughput(Throughput::Bytes(json.len() as u64));
    for level in [1, 3, 6] {
        let mut deflate = Deflate::new(level);
        let deflated = deflate.deflate(&json).expect("it is shorter");
        assert_eq!(deflate.inflate(&deflated), json);
        group.bench_function(BenchmarkId::new("deflate, level", level), |bencher| {
            bencher.iter(|| deflate.deflate(&json))
        });
        group.bench_function(BenchmarkId::new("inflate, level", level), |bencher| {
            bencher.iter(|| deflate.inflate(&deflated));
        });
    }
}

criterion_group!(benches, frames, reading, lines, rooms, deflate);
criterion_main!(benches);
