//! Lines and messages.

use crate::support::{Serving, run};

#[test]
fn lines_come_back_from_a_mirror_as_they_were() {
    let server = Serving::start(["ws-l:0", "mirror:"]);
    let finished = run([&server.url()], "one\n\ntwo words\nlast without newline");
    finished.succeeds();
    assert_eq!(finished.out(), "one\n\ntwo words\nlast without newline\n");
    assert_eq!(finished.stderr, "");
}
