//! Packets of one track in the order in which they were sent, and what got lost of them.

use std::collections::VecDeque;

use super::packet::Packet;

/// So long a missing datagram may be overtaken by others before it counts as lost, in nanoseconds. Players wait for
/// 50 to 200 ms.
const PATIENCE: i64 = 100_000_000;

/// And by so many.
const MOST_HELD: usize = 512;

/// Sequence numbers further from the expected one than this belong to a sender that started anew (RFC 3550, A.1).
const LARGEST_GAP: u16 = 3_000;
const LARGEST_DELAY: u16 = 1_000;

/// More packets in a row do not come late: a sender that starts anew may begin a little behind where it was.
const MOST_LATE: u32 = 100;

/// A packet in its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) packet: Packet,
    /// When it arrived, in worker time; not before the one in front of it.
    pub(crate) at: i64,
    /// Whether packets before it are missing.
    pub(crate) behind_gap: bool,
}

/// What a receiver report tells of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Statistics {
    pub(crate) ssrc: u32,
    /// Since the last report, in 256ths.
    pub(crate) fraction_lost: u8,
    /// Since the start.
    pub(crate) lost: u64,
    /// With the count of wraps in the upper half.
    pub(crate) highest_sequence: u32,
    /// In ticks of the track's clock.
    pub(crate) jitter: u32,
}

/// Puts the packets of one track into order.
#[derive(Debug)]
pub(crate) struct Reception {
    clock_rate: u32,
    /// Whether packets can overtake each other.
    reorders: bool,
    ssrc: Option<u32>,
    /// Another sender, one of whose packets came: it counts when a second one comes.
    other: Option<u32>,
    /// What would follow a packet that was out of any order: if it comes, the sender started anew (RFC 3550, A.1).
    restart: Option<u16>,
    /// Packets in a row that came too late.
    late: u32,
    /// The sequence number that comes next, and how often it wrapped.
    next: Option<u16>,
    wraps: u16,
    /// What overtook the next one, by sequence number from there on.
    held: VecDeque<(Packet, i64)>,
    ready: VecDeque<Received>,
    latest: i64,
    behind_gap: bool,
    received: u64,
    lost: u64,
    reported: (u64, u64),
    jitter: f64,
    transit: Option<i64>,
}

impl Reception {
    /// A track whose clock has `clock_rate` ticks a second; `reorders` for datagrams.
    pub(crate) fn new(clock_rate: u32, reorders: bool) -> Self {
        Self {
            clock_rate,
            reorders,
            ssrc: None,
            other: None,
            restart: None,
            late: 0,
            next: None,
            wraps: 0,
            held: VecDeque::new(),
            ready: VecDeque::new(),
            latest: i64::MIN,
            behind_gap: false,
            received: 0,
            lost: 0,
            reported: (0, 0),
            jitter: 0.0,
            transit: None,
        }
    }

    /// Takes a packet that arrived `at` a worker time.
    pub(crate) fn push(&mut self, packet: Packet, at: i64) {
        if self.ssrc != Some(packet.ssrc) {
            let is_first = self.ssrc.is_none() || !self.reorders;
            if !is_first && self.other.replace(packet.ssrc) != Some(packet.ssrc) {
                return;
            }
            self.begin(packet.ssrc);
        }
        self.other = None;
        self.received += 1;
        self.observe_jitter(&packet, at);
        let next = *self.next.get_or_insert(packet.sequence);
        let ahead = packet.sequence.wrapping_sub(next);
        let behind = next.wrapping_sub(packet.sequence);
        if ahead == 0 {
            self.deliver(packet, at);
            self.release_followers();
        } else if ahead <= LARGEST_GAP && self.reorders {
            self.hold(packet, at);
        } else if ahead <= LARGEST_GAP {
            self.skip_to(packet.sequence);
            self.deliver(packet, at);
        } else if self.is_restart(&packet, behind) {
            self.release_all();
            self.behind_gap = true;
            self.next = Some(packet.sequence);
            self.deliver(packet, at);
        }
        self.expire(at);
    }

    /// Another sender has another count.
    fn begin(&mut self, ssrc: u32) {
        self.release_all();
        self.behind_gap = self.ssrc.is_some();
        self.ssrc = Some(ssrc);
        self.next = None;
        self.transit = None;
    }

    /// Whether the sender started anew with a packet that is behind the expected one. A datagram may be late, or come
    /// twice; in a connection only a repeat makes no new start.
    fn is_restart(&mut self, packet: &Packet, behind: u16) -> bool {
        if !self.reorders {
            return behind > 1;
        }
        let is_next =
            self.restart.replace(packet.sequence.wrapping_add(1)) == Some(packet.sequence);
        self.late += 1;
        is_next && (behind > LARGEST_DELAY || self.late > MOST_LATE)
    }

    /// Stops to wait for what is missing for too long at a worker time.
    pub(crate) fn expire(&mut self, now: i64) {
        while let Some((packet, _)) = self.held.front()
            && (self.held.len() > MOST_HELD || self.expires_at().is_some_and(|at| at <= now))
        {
            self.skip_to(packet.sequence);
            self.release_followers();
        }
    }

    /// When to call [`expire`](Self::expire), if no packet comes before.
    pub(crate) fn expires_at(&self) -> Option<i64> {
        let oldest = self.held.iter().map(|(_, at)| *at).min()?;
        Some(oldest.saturating_add(PATIENCE))
    }

    /// The next packet in order.
    pub(crate) fn pop(&mut self) -> Option<Received> {
        self.ready.pop_front()
    }

    /// Packets that never came.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// What a report tells; it covers the time since the last one. `None` if nothing has come.
    pub(crate) fn statistics(&mut self) -> Option<Statistics> {
        let ssrc = self.ssrc?;
        let highest = self.next?.wrapping_sub(1);
        let (received, lost) = (self.received - self.reported.0, self.lost - self.reported.1);
        self.reported = (self.received, self.lost);
        let expected = received + lost;
        let fraction = (lost * 256).checked_div(expected).unwrap_or(0).min(255);
        Some(Statistics {
            ssrc,
            fraction_lost: fraction as u8,
            lost: self.lost,
            highest_sequence: u32::from(self.wraps) << 16 | u32::from(highest),
            jitter: self.jitter as u32,
        })
    }

    fn hold(&mut self, packet: Packet, at: i64) {
        let Some(next) = self.next else { return };
        let distance = |other: &Packet| other.sequence.wrapping_sub(next);
        let own = distance(&packet);
        let place = self
            .held
            .partition_point(|(other, _)| distance(other) < own);
        let is_double = self
            .held
            .get(place)
            .is_some_and(|(other, _)| distance(other) == own);
        if !is_double {
            self.held.insert(place, (packet, at));
        }
    }

    fn skip_to(&mut self, sequence: u16) {
        if let Some(next) = self.next {
            self.lost += u64::from(sequence.wrapping_sub(next));
            self.wraps = self.wraps.wrapping_add(u16::from(sequence < next));
        }
        self.next = Some(sequence);
        self.behind_gap = true;
    }

    fn release_followers(&mut self) {
        while let Some((packet, at)) = self.held.pop_front() {
            if Some(packet.sequence) != self.next {
                self.held.push_front((packet, at));
                return;
            }
            self.deliver(packet, at);
        }
    }

    fn release_all(&mut self) {
        while let Some((packet, _)) = self.held.front() {
            self.skip_to(packet.sequence);
            self.release_followers();
        }
    }

    fn deliver(&mut self, packet: Packet, at: i64) {
        let next = packet.sequence.wrapping_add(1);
        self.wraps = self.wraps.wrapping_add(u16::from(next == 0));
        self.next = Some(next);
        self.restart = None;
        self.late = 0;
        self.latest = self.latest.max(at);
        self.ready.push_back(Received {
            packet,
            at: self.latest,
            behind_gap: std::mem::take(&mut self.behind_gap),
        });
    }

    /// RFC 3550, section 6.4.1: the mean deviation of the spacing at arrival, as a running average.
    fn observe_jitter(&mut self, packet: &Packet, at: i64) {
        let ticks = i128::from(at) * i128::from(self.clock_rate) / 1_000_000_000;
        // Only differences of it matter, which wrap like the time stamps do.
        let transit = i64::from((ticks as u32).wrapping_sub(packet.timestamp));
        if let Some(before) = self.transit.replace(transit) {
            let apart = (transit as u32).wrapping_sub(before as u32) as i32;
            self.jitter += (f64::from(apart).abs() - self.jitter) / 16.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    const MILLISECOND: i64 = 1_000_000;

    fn packet(sequence: u16) -> Packet {
        Packet {
            payload_type: 96,
            marker: false,
            sequence,
            timestamp: u32::from(sequence) * 90,
            ssrc: 1,
            payload: Bytes::new(),
        }
    }

    fn sequences(reception: &mut Reception) -> Vec<(u16, bool)> {
        let popped = std::iter::from_fn(|| reception.pop());
        popped
            .map(|received| (received.packet.sequence, received.behind_gap))
            .collect()
    }

    #[test]
    fn a_datagram_that_was_overtaken_gets_its_place_back() {
        let mut udp = Reception::new(90_000, true);
        for (at, sequence) in [65_534, 0, 65_535, 65_535, 2, 1].into_iter().enumerate() {
            udp.push(packet(sequence), at as i64 * MILLISECOND);
        }
        let expected = [65_534, 65_535, 0, 1, 2].map(|sequence| (sequence, false));
        assert_eq!(sequences(&mut udp), expected);
        assert_eq!(udp.lost(), 0);
        assert_eq!(udp.statistics().unwrap().highest_sequence, 1 << 16 | 2);
    }

    #[test]
    fn one_that_does_not_come_is_waited_for_a_little_and_counted() {
        let mut udp = Reception::new(90_000, true);
        udp.push(packet(1), 0);
        udp.push(packet(3), MILLISECOND);
        assert_eq!(sequences(&mut udp), [(1, false)]);
        udp.expire(MILLISECOND + PATIENCE);
        assert_eq!(sequences(&mut udp), [(3, true)]);
        udp.push(packet(2), MILLISECOND + PATIENCE);
        udp.push(packet(4), MILLISECOND + PATIENCE);
        assert_eq!(sequences(&mut udp), [(4, false)]);
        let statistics = udp.statistics().unwrap();
        assert_eq!(
            (udp.lost(), statistics.lost, statistics.fraction_lost),
            (1, 1, 51)
        );
        assert_eq!(udp.statistics().unwrap().fraction_lost, 0);
    }

    #[test]
    fn in_a_connection_a_gap_is_a_gap_and_a_step_back_a_new_start() {
        let mut tcp = Reception::new(90_000, false);
        for sequence in [1, 3, 3, 60_000, 60_001, 59_500] {
            tcp.push(packet(sequence), 0);
        }
        let expected = [
            (1, false),
            (3, true),
            (60_000, true),
            (60_001, false),
            (59_500, true),
        ];
        assert_eq!(sequences(&mut tcp), expected);
    }

    #[test]
    fn another_sender_starts_a_count_of_its_own() {
        let mut udp = Reception::new(90_000, true);
        udp.push(packet(7), 0);
        udp.push(
            Packet {
                ssrc: 2,
                ..packet(3)
            },
            0,
        );
        udp.push(packet(8), 0);
        assert_eq!(sequences(&mut udp), [(7, false), (8, false)], "a stray one");
        for sequence in [3, 4] {
            udp.push(
                Packet {
                    ssrc: 2,
                    ..packet(sequence)
                },
                0,
            );
        }
        assert_eq!(sequences(&mut udp), [(4, true)]);
        assert_eq!(udp.lost(), 0);
    }

    #[test]
    fn a_sender_that_starts_anew_is_followed() {
        let mut udp = Reception::new(90_000, true);
        for sequence in [7, 40_000, 8, 40_001, 40_002, 40_003] {
            udp.push(packet(sequence), 0);
        }
        assert_eq!(
            sequences(&mut udp),
            [(7, false), (8, false), (40_002, true), (40_003, false)]
        );
        for sequence in 39_800..40_100 {
            udp.push(packet(sequence), 0);
        }
        let last = sequences(&mut udp).last().copied();
        assert_eq!(
            last,
            Some((40_099, false)),
            "also a little behind where it was"
        );
    }

    proptest! {
        /// Whatever a network does to datagrams within its patience, they come out in order, once, and every one that
        /// never came is counted.
        #[test]
        fn order_comes_back(first: u16, delays in prop::collection::vec(prop::option::weighted(0.9, 0..90i64), 2..300)) {
            let mut arrivals: Vec<_> = delays.iter().enumerate()
                .filter_map(|(number, delay)| Some((number as i64 * MILLISECOND + (*delay)? * MILLISECOND, number as u16)))
                .filter(|&(_, number)| number > 0)
                .collect();
            arrivals.push((-1, 0));
            arrivals.sort_unstable();
            let mut udp = Reception::new(90_000, true);
            for &(at, number) in &arrivals {
                udp.push(packet(first.wrapping_add(number)), at);
                udp.push(packet(first.wrapping_add(number)), at);
            }
            udp.expire(i64::MAX);
            let numbers: Vec<_> = sequences(&mut udp).iter().map(|(sequence, _)| sequence.wrapping_sub(first)).collect();
            let mut sent: Vec<_> = arrivals.iter().map(|(_, number)| *number).collect();
            sent.sort_unstable();
            let last = u64::from(*sent.last().unwrap());
            prop_assert_eq!(&numbers, &sent);
            prop_assert_eq!(udp.lost(), last + 1 - sent.len() as u64);
        }

        #[test]
        fn any_sequence_of_packets_is_taken(packets in prop::collection::vec((any::<u16>(), 0u32..3, any::<bool>()), 0..300), reorders: bool) {
            let mut reception = Reception::new(90_000, reorders);
            let mut at = 0;
            for (sequence, ssrc, later) in packets {
                at += if later { 60 * MILLISECOND } else { 0 };
                reception.push(Packet { ssrc, ..packet(sequence) }, at);
                prop_assert!(reception.held.len() <= MOST_HELD + 1);
                reception.statistics();
            }
        }
    }
}
