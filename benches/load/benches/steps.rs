//! Single steps by the clock: `cargo bench --manifest-path benches/load/Cargo.toml`. Whole paths are counted by
//! `tests/instructions.sh` and timed by `benches/end-to-end`.

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wsplice::{
    bench::{count_lines, encode},
    flow::{ByteEnd, Role},
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
            bencher
                .iter(|| count_lines(ByteEnd::new(tokio::io::join(input, tokio::io::sink()), Role::Source, "lines")));
        });
    }
}

criterion_group!(benches, frames, lines);
criterion_main!(benches);
