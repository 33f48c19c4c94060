//! URLs of RTSP and RTMP servers.

use url::{Host, ParseError, Url};

/// Parses a URL whose host may have letters outside ASCII, such as `rtsp://bücher/cam`. The url crate turns them into
/// the name that can be looked up (IDNA, RFC 5891) for the schemes of the web only, and escapes them for others.
///
/// # Errors
/// When the text is no URL, or its host can't be a name.
pub fn parse(text: &str) -> Result<Url, ParseError> {
    let mut url = Url::parse(text)?;
    let escaped = url.host_str().filter(|host| host.contains('%'));
    if let Some(host) = escaped.map(Host::parse) {
        url.set_host(Some(&host?.to_string()))?;
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_of_any_letters_become_names_that_can_be_looked_up() {
        for (text, parsed) in [
            (
                "rtsp://u:p@bücher:8554/ü",
                "rtsp://u:p@xn--bcher-kva:8554/%C3%BC",
            ),
            (
                "rtmps://BÜCHER.example/a",
                "rtmps://xn--bcher-kva.example/a",
            ),
            ("rtmp://例え/a", "rtmp://xn--r8jz45g/a"),
            ("rtsp://h%41ll/a", "rtsp://hall/a"),
            ("rtsp://[::1]:8554/a", "rtsp://[::1]:8554/a"),
            ("rtsp://Cam_1/a", "rtsp://Cam_1/a"),
        ] {
            assert_eq!(parse(text).map(String::from), Ok(parsed.to_owned()));
        }
        for text in ["rtsp://b%FF/a", "rtsp://a%2Fb/c", "rtsp://xn--ü/a", "cam"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
