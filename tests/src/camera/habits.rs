//! What is wrong with a camera.

use crate::clips::Clip;

/// What the RTCP sender reports of a camera tell.
#[derive(Clone, Copy, Debug, Default)]
pub enum Reports {
    /// There are none.
    #[default]
    None,
    /// The truth.
    Right,
    /// Another wrong relation of the tracks each time.
    Wrong,
}

/// How a camera answers requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Answers {
    /// As RFC 2326 has it.
    #[default]
    Right,
    /// Each SETUP makes another session.
    SessionEach,
    /// The channels of interleaved packets are others than those that were asked for.
    OwnChannels,
    /// They have no `CSeq`.
    WithoutSequence,
    /// Names of headers are in lower case.
    LowerCase,
    /// `Content-Base` names a host that does not exist.
    ForeignBase,
    /// A login is asked for, with a nonce that gets stale with each request.
    StaleNonce,
    /// `RTP-Info` tells no `rtptime`.
    WithoutRtpTime,
    /// The description names other parameter sets than the stream brings.
    OtherSets,
}

/// What a camera does to the packets of its video.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Packets {
    /// Nothing.
    #[default]
    Right,
    /// Eight bytes of padding, and a header extension with two words (RFC 3550, sections 5.1 and 5.3.1).
    Padded,
    /// No packet ends its picture by the marker bit.
    Unmarked,
    /// Each picture is a byte stream with start codes in one packet.
    ByteStream,
    /// Bytes of no protocol stand between packets, ten times a second.
    BetweenGarbage,
    /// Key frames stay away, and the parameter sets with them.
    WithoutKeys,
    /// Key frames stay away, and parameter sets come in their place.
    SetsWithoutKeys,
    /// Each picture lacks a packet.
    Damaged,
    /// There are none.
    Absent,
    /// There are two PPSs of one SPS, and pictures name them in turn. For a clip without CABAC.
    TwoSets,
}

/// What happens to datagrams on their way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    /// The share that gets lost.
    pub lost: f64,
    /// The share that comes twice.
    pub doubled: f64,
    /// The share that the next one overtakes.
    pub late: f64,
}

/// How a camera behaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    /// After each of so many seconds RTP time stamps jump, by so many seconds.
    pub jumps: Option<(f64, f64)>,
    /// By what share RTP clocks are too fast.
    pub too_fast: f64,
    /// Its sender reports.
    pub reports: Reports,
    /// Its side of the conversation.
    pub answers: Answers,
    /// Its video.
    pub packets: Packets,
    /// So many seconds pass before audio begins.
    pub silent_for: f64,
    /// A clip that comes in turn with the first, for so many seconds each.
    pub other: Option<(f64, Clip)>,
    /// Between camera and client.
    pub network: Network,
}
