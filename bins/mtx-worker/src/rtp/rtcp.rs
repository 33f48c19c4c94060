//! RTCP: the reports of senders, and ours to them (RFC 3550, section 6.4).

use super::reception::Statistics;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;

/// The item of a source description that names whom a source belongs to (section 6.5.1).
const CNAME: u8 = 1;

const NANOSECONDS: u128 = 1_000_000_000;

/// What a sender says of its clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SenderReport {
    pub(crate) ssrc: u32,
    /// NTP time, 32.32 fixed-point seconds since 1900.
    pub(crate) ntp: u64,
    /// The RTP time of that moment.
    pub(crate) rtp: u32,
}

impl SenderReport {
    /// The NTP time in nanoseconds.
    pub(crate) fn wall(&self) -> i64 {
        // Years since 1900 in nanoseconds fit until 2192.
        i64::try_from((u128::from(self.ntp) * NANOSECONDS) >> 32).unwrap_or(i64::MAX)
    }
}

/// The last sender report in a compound packet, up to where it is damaged.
pub(crate) fn sender_report(mut bytes: &[u8]) -> Option<SenderReport> {
    let mut report = None;
    while let Some(&[first, kind, high, low]) = bytes.first_chunk() {
        let length = 4 + usize::from(u16::from_be_bytes([high, low])) * 4;
        if first >> 6 != 2 || length > bytes.len() {
            break;
        }
        let (packet, rest) = bytes.split_at(length);
        if kind == SENDER_REPORT {
            report = read(&packet[4..]).or(report);
        }
        bytes = rest;
    }
    report
}

fn read(body: &[u8]) -> Option<SenderReport> {
    let (ssrc, rest) = body.split_first_chunk()?;
    let (ntp, rest) = rest.split_first_chunk()?;
    Some(SenderReport {
        ssrc: u32::from_be_bytes(*ssrc),
        ntp: u64::from_be_bytes(*ntp),
        rtp: u32::from_be_bytes(*rest.first_chunk()?),
    })
}

/// A receiver report on one source with the name of the receiver, as section 6.1 asks for both.
pub(crate) fn receiver_report(statistics: &Statistics) -> Vec<u8> {
    let receiver = statistics.ssrc.wrapping_add(1).to_be_bytes();
    let mut report = vec![0x81, RECEIVER_REPORT, 0, 7];
    report.extend_from_slice(&receiver);
    report.extend_from_slice(&statistics.ssrc.to_be_bytes());
    report.push(statistics.fraction_lost);
    let lost = statistics.lost.min(0x7f_ffff) as u32;
    report.extend_from_slice(&lost.to_be_bytes()[1..]);
    report.extend_from_slice(&statistics.highest_sequence.to_be_bytes());
    report.extend_from_slice(&statistics.jitter.to_be_bytes());
    // When the last sender report came: not told.
    report.extend_from_slice(&[0; 8]);
    let name = b"mtx-worker";
    let mut chunk = receiver.to_vec();
    chunk.extend_from_slice(&[CNAME, name.len() as u8]);
    chunk.extend_from_slice(name);
    // At least one zero ends the items, and fills the last word.
    chunk.resize((chunk.len() + 1).next_multiple_of(4), 0);
    report.extend_from_slice(&[0x81, DESCRIPTION, 0, (chunk.len() / 4) as u8]);
    report.extend_from_slice(&chunk);
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sender_report_is_found_in_a_compound_packet() {
        let mut bytes = vec![0x80, RECEIVER_REPORT, 0, 1, 0, 0, 0, 9];
        bytes.extend([0x80, SENDER_REPORT, 0, 6, 0, 0, 0, 5]);
        bytes.extend([
            0, 0, 0, 2, 0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 2,
        ]);
        let sender = sender_report(&bytes).unwrap();
        assert_eq!(
            (sender.ssrc, sender.rtp, sender.wall()),
            (5, 256, 2_500_000_000)
        );
    }

    #[test]
    fn our_report_can_be_read() {
        let report = receiver_report(&Statistics {
            ssrc: 5,
            fraction_lost: 7,
            lost: 3,
            highest_sequence: 65_540,
            jitter: 2,
        });
        assert_eq!(report.len() % 4, 0);
        assert_eq!(report[8..16], [0, 0, 0, 5, 7, 0, 0, 3]);
        assert_eq!(sender_report(&report), None);
        let description = 4 * (1 + usize::from(report[3]));
        let length = 4 * (1 + usize::from(report[description + 3]));
        assert_eq!(report.len(), description + length);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(kind in 199u8..205, length in 0u8..9, bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            sender_report(&[&[0x80, kind, 0, length], &bytes[..]].concat());
        }
    }
}
