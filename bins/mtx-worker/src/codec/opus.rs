//! Opus (RFC 6716).

/// The clock of every Opus stream.
pub(crate) const RATE: u32 = 48_000;

/// The identification header (RFC 7845, section 5.1) of a stream that comes over RTP, where it has none.
pub(crate) fn identification_header(channels: u16) -> Vec<u8> {
    const VERSION: u8 = 1;
    let mut header = b"OpusHead".to_vec();
    header.extend_from_slice(&[VERSION, channels.clamp(1, 2) as u8]);
    // Nothing to skip at the start, no gain, mono or stereo.
    header.extend_from_slice(&[0, 0]);
    header.extend_from_slice(&RATE.to_le_bytes());
    header.extend_from_slice(&[0, 0, 0]);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_rfc_7845() {
        let header = identification_header(2);
        assert_eq!(header.len(), 19);
        assert_eq!(header[..10], *b"OpusHead\x01\x02");
        assert_eq!(header[12..16], [0x80, 0xbb, 0, 0]);
    }
}
