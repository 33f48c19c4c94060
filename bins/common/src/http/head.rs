//! The head of a request. What two parties could read in two ways is refused (RFC 9112, 11.2), not repaired.

use percent_encoding::percent_decode_str;
use tiny_http::Method;

use super::Problem;

const MAX_HEADERS: usize = 64;

/// How the end of the body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    None,
    Length(u64),
    Chunked,
}

/// A head that means one thing only.
#[derive(Debug)]
pub struct Head {
    method: Method,
    path: Vec<String>,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
}

impl Head {
    /// What is to be done.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path's segments, decoded.
    pub fn path(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// What follows the path's `?`, as it was written; nothing if there is none.
    pub fn query(&self) -> &str {
        &self.query
    }

    /// Each value of a header; its name is given in lower case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let found = self.headers.iter().filter(move |(known, _)| known == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// The first value of a header.
    pub fn one<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Whether the client would rather speak this protocol from now on (RFC 9110, 7.8).
    pub fn asks_for(&self, protocol: &str) -> bool {
        self.keep_alive
            && self.has_token("connection", "upgrade")
            && self.has_token("upgrade", protocol)
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }
}

/// Reads a head, the empty line at its end included.
pub(super) fn parse(bytes: &[u8]) -> Result<Head, Problem> {
    let lone_feed = |at: &usize| bytes[*at] == b'\n' && (*at == 0 || bytes[*at - 1] != b'\r');
    if (0..bytes.len()).any(|at| lone_feed(&at)) {
        return Err(bad("a line of the head does not end with CR LF"));
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(bad("the head is incomplete")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Problem::new(
                431,
                format!("more than {MAX_HEADERS} headers"),
            ));
        }
        Err(httparse::Error::Version) => {
            return Err(Problem::new(505, "this server speaks HTTP/1.1"));
        }
        Err(error) => return Err(bad(&format!("the head is malformed: {error}"))),
    }
    let http_1_1 = request.version == Some(1);
    let method = request.method.unwrap_or_default().parse();
    let target = request.path.unwrap_or_default();
    let mut head = Head {
        method: method.map_err(|()| bad("the method is malformed"))?,
        path: path(target)?,
        query: target
            .split_once('?')
            .map_or("", |(_, query)| query)
            .to_owned(),
        headers: request.headers.iter().map(owned).collect(),
        framing: Framing::None,
        keep_alive: http_1_1,
        expects_continue: false,
    };
    if head.all("host").count() != 1 && (http_1_1 || head.one("host").is_some()) {
        return Err(bad("there has to be one Host").field("Host"));
    }
    head.framing = framing(&head, http_1_1)?;
    // The end of a chunked body is easily mistaken, so nothing is read after it.
    head.keep_alive &= !head.has_token("connection", "close") && head.framing != Framing::Chunked;
    head.expects_continue = expects_continue(&head)?;
    Ok(head)
}

fn bad(detail: &str) -> Problem {
    Problem::new(400, detail)
}

fn owned(header: &httparse::Header<'_>) -> (String, Vec<u8>) {
    (header.name.to_ascii_lowercase(), header.value.to_vec())
}

/// The segments of a target's path. `%2F` does not separate, and what is no text or could not be shown is
/// refused. `.` and `..` are nothing special: no route has them.
fn path(target: &str) -> Result<Vec<String>, Problem> {
    let absolute = ["http://", "https://"]
        .iter()
        .find_map(|scheme| target.strip_prefix(scheme))
        .map(|rest| match rest.find(['/', '?', '#']) {
            Some(end) if rest[end..].starts_with('/') => &rest[end..],
            _ => "/",
        });
    let path = absolute.unwrap_or(target).split('?').next();
    let path = path.and_then(|path| path.strip_prefix('/'));
    let path = path.ok_or_else(|| bad("the target is not a path that begins with /"))?;
    path.split('/').map(segment).collect()
}

fn segment(escaped: &str) -> Result<String, Problem> {
    let escapes = escaped.split('%').skip(1);
    let whole = |escape: &str| {
        let digits = escape.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !escaped.is_ascii() || !escapes.into_iter().all(whole) {
        return Err(bad("the path has a character or an escape that is none").field("path"));
    }
    let text = percent_decode_str(escaped).decode_utf8();
    let text = text.map_err(|_| bad("the path is not UTF-8").field("path"))?;
    if text.chars().any(char::is_control) {
        return Err(bad("the path has a control character").field("path"));
    }
    Ok(text.into_owned())
}

fn framing(head: &Head, http_1_1: bool) -> Result<Framing, Problem> {
    let lengths: Vec<&[u8]> = head.all("content-length").collect();
    let encodings: Vec<&[u8]> = head.all("transfer-encoding").collect();
    match (lengths.as_slice(), encodings.as_slice()) {
        ([], []) => Ok(Framing::None),
        ([length], []) => self::length(length).map(Framing::Length),
        ([], [encoding]) if http_1_1 && encoding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Chunked)
        }
        (_, []) => Err(bad("there is more than one Content-Length").field("Content-Length")),
        ([], _) => {
            Err(bad("Transfer-Encoding may only be chunked, in HTTP/1.1")
                .field("Transfer-Encoding"))
        }
        _ => Err(
            bad("Content-Length and Transfer-Encoding exclude each other")
                .field("Transfer-Encoding"),
        ),
    }
}

fn length(digits: &[u8]) -> Result<u64, Problem> {
    let text = std::str::from_utf8(digits).unwrap_or_default();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad("Content-Length is not a number").field("Content-Length"));
    }
    // Only too large a number of digits is none now, and it is too large for every limit.
    Ok(text.parse().unwrap_or(u64::MAX))
}

fn expects_continue(head: &Head) -> Result<bool, Problem> {
    match head.one("expect") {
        None => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
        Some(_) => Err(Problem::new(417, "only 100-continue can be met").field("Expect")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn get(target: &str) -> Result<Head, Problem> {
        parse(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
    }

    #[test]
    fn a_plain_head_is_read() {
        let head = parse(
            b"POST /v1/a%2Db/c?q=/%zz HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nExpect: 100-Continue\r\n\r\n",
        )
        .unwrap();
        assert_eq!(head.method(), &Method::Post);
        assert_eq!(head.path(), ["v1", "a-b", "c"]);
        assert_eq!(head.query(), "q=/%zz");
        assert_eq!(head.framing, Framing::Length(12));
        assert!(head.keep_alive && head.expects_continue);
    }

    #[test]
    fn targets_give_their_segments() {
        for (target, path) in [
            ("/", &[""][..]),
            ("/a/", &["a", ""]),
            ("/a%2fb", &["a/b"]),
            ("/../%2e%2E/x", &["..", "..", "x"]),
            ("http://other/a", &["a"]),
            ("http://other", &[""]),
            ("http://other?x=/a", &[""]),
            ("http://other#/a", &[""]),
            ("/a?%00", &["a"]),
        ] {
            assert_eq!(get(target).unwrap().path(), path, "{target}");
        }
        for target in [
            "*",
            "a",
            "/%",
            "/%0",
            "/%0g",
            "/%00",
            "/a%0Ab",
            "/%7f",
            "/%ff",
            "/%c0%af",
            "/%ed%a0%80",
            "/ü",
        ] {
            assert_eq!(get(target).unwrap_err().status, 400, "{target}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (headers, status) in [
            ("Transfer-Encoding: xchunkedx\r\nContent-Length: 5\r\n", 400),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
            ("Transfer-Encoding: xchunked\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 400),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                400,
            ),
            ("Transfer-Encoding:\x0bchunked\r\n", 400),
            ("Transfer-Encoding : chunked\r\n", 400),
            ("Transfer-Encoding:\r\n chunked\r\n", 400),
            ("Transfer_Encoding: chunked\nContent-Length: 5\r\n", 400),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", 400),
            ("Content-Length: 5, 5\r\n", 400),
            ("Content-Length: +5\r\n", 400),
            ("Content-Length: -5\r\n", 400),
            ("Content-Length: 0x5\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Host: b\r\n", 400),
            ("Expect: tea\r\n", 417),
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
            let problem = parse(text.as_bytes()).unwrap_err();
            assert_eq!(problem.status, status, "{headers:?}: {problem:?}");
        }
        for (text, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET /\r\n\r\n", 400),
            ("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ] {
            let problem = parse(text.as_bytes()).unwrap_err();
            assert_eq!(problem.status, status, "{text:?}: {problem:?}");
        }
    }

    #[test]
    fn who_wants_the_connection_closed_gets_it() {
        for (text, keep) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
                false,
            ),
            ("GET / HTTP/1.0\r\n\r\n", false),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                false,
            ),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().keep_alive, keep, "{text:?}");
        }
    }

    #[test]
    fn too_many_headers_are_refused() {
        let headers = "X: y\r\n".repeat(MAX_HEADERS);
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        assert_eq!(parse(text.as_bytes()).unwrap_err().status, 431);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = parse(&bytes);
        }

        #[test]
        fn no_target_panics(target in "[/%.a0-9f?*:\u{e9}-]{0,24}") {
            if let Ok(head) = get(&target) {
                prop_assert!(head.path().iter().all(|part| !part.contains('\0')));
            }
        }
    }
}
