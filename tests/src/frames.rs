//! Frames with numbers: which frame of a clip a packet holds, wherever it turns up.

use std::collections::HashMap;
use std::time::Duration;

use crate::clips::Clip;
use crate::mediamtx::MediaMtx;
use crate::packets::{Kind, Packet, Reader};

const RATE: usize = 25;
const PATIENCE: Duration = Duration::from_secs(60);

/// A short clip that publishers repeat, with the number of each of its frames.
pub struct Counter {
    clip: Clip,
    numbers: HashMap<String, usize>,
}

impl Counter {
    /// Reads the clip once as `server` passes it on, which is how readers will see it.
    ///
    /// # Panics
    /// When it can't be read, or when two of its frames can't be told apart.
    #[track_caller]
    pub fn learn(server: &MediaMtx) -> Self {
        let mut clip = Clip::h264_aac();
        clip.seconds = 8;
        let length = RATE * clip.seconds as usize;
        let publisher = clip.publish(&server.rtsp("learn"));
        server.wait_ready("learn", PATIENCE);
        let reader = Reader::start(&server.rtsp("learn"));
        reader.collect(Kind::Video, length, PATIENCE);
        let packets = reader.packets_of(Kind::Video);
        drop((reader, publisher));
        let numbers = (packets.into_iter().map(|packet| packet.hash))
            .take(length)
            .enumerate()
            .map(|(number, hash)| (hash, number));
        let numbers: HashMap<String, usize> = numbers.collect();
        assert_eq!(numbers.len(), length, "frames that look the same");
        Self { clip, numbers }
    }

    /// The clip to publish.
    pub fn clip(&self) -> Clip {
        self.clip
    }

    /// The number of the frame that a packet holds.
    ///
    /// # Panics
    /// When it is none of the clip's.
    #[track_caller]
    pub fn number(&self, packet: &Packet) -> usize {
        match self.numbers.get(&packet.hash) {
            Some(number) => *number,
            None => panic!("no frame of the clip: {packet:?}"),
        }
    }

    /// Asserts that each frame is the one after the last: none is missing, doubled, changed or moved.
    ///
    /// # Panics
    /// When one is; the message says where.
    #[track_caller]
    pub fn assert_gapless(&self, stream: &str, packets: &[Packet]) {
        let video = packets.iter().filter(|packet| packet.kind == Kind::Video);
        let numbers: Vec<usize> = video.map(|packet| self.number(packet)).collect();
        for (index, pair) in numbers.windows(2).enumerate() {
            assert_eq!(
                pair[1],
                (pair[0] + 1) % self.numbers.len(),
                "{stream}: after frame {} (packet {index} of {})",
                pair[0],
                numbers.len()
            );
        }
    }
}
