//! Conversations with servers whose bytes were damaged on the way.

use super::*;
use crate::damage::{self, RATES, Random};

const USUAL_COUNT: u64 = 2_000;

/// More than one frame, its headers and all answers to pings.
const MOST_OUT: usize = 80 * 1024;

/// What a server says, one after the other: it accepts the stream, goes on, and refuses it at last.
fn answers() -> Vec<Vec<u8>> {
    let accepted = [
        handshake(),
        result(CONNECT, Value::Null),
        result(CREATE_STREAM, Value::Number(1.0)),
        status("status", "NetStream.Publish.Start"),
    ];
    let going_on = (1..=20u8).flat_map(|number| {
        let sequence = (u32::from(number) * ACKNOWLEDGED_EVERY).to_be_bytes();
        [
            message(2, kind::ACKNOWLEDGEMENT, &sequence),
            message(2, kind::USER_CONTROL, &[0, 6, 0, 0, 0, number]),
            message(2, kind::WINDOW_ACK_SIZE, &[0, 1, 0, number]),
        ]
    });
    let refused = status("error", "NetStream.Publish.BadName");
    accepted
        .into_iter()
        .chain(going_on)
        .chain([refused])
        .collect()
}

/// Whether the server took the stream in the end.
fn converse(seed: u64) -> bool {
    let mut random = Random(seed);
    let rate = RATES[random.below(RATES.len())];
    let mut publisher = publisher();
    let mut was_taken = false;
    for answer in answers() {
        let bytes = random.mutate(&answer, rate);
        let step = 1 + random.below(bytes.len());
        if bytes
            .chunks(step)
            .any(|part| publisher.receive(part).is_err())
        {
            break;
        }
        was_taken |= publisher.is_publishing();
        if publisher.is_publishing() {
            publisher.video(0, &[&[0x27, 1, 0, 0, 0]], &vec![0; 2_000].into());
        }
        assert!(publisher.take_output().len() < MOST_OUT);
    }
    was_taken
}

#[test]
fn damaged_conversations_are_refused_or_go_on() {
    let mut taken = 0;
    for seed in 0..damage::count(USUAL_COUNT) {
        let ended = std::panic::catch_unwind(|| converse(seed));
        taken += u64::from(ended.unwrap_or_else(|_| panic!("conversation {seed} panicked")));
    }
    println!("{taken} were taken");
    assert!(taken > 0);
}
