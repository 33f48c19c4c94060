//! What a server says of itself in its answer to `connect` (enhanced RTMP v2, "Enhancing NetConnection connect").

use super::amf0::Value;

/// Bit of `capsEx`: the server takes several tracks of one medium.
const MULTITRACK: u32 = 0x02;

/// `fmsVer` of MediaMTX, from v1.12 to v1.21 (gortmplib's `server_conn.go`). It reads multitrack messages, but has no
/// `capsEx`. nginx, lal, go2rtc and the platforms name themselves `FMS/…`.
const MEDIAMTX: &str = "LNX 9,0,124,2";

/// In a list of codecs, any of them.
const ANY: &str = "*";

/// The abilities of a server, as far as it tells them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Server {
    is_mediamtx: bool,
    takes_multitrack: bool,
    /// The four-character codes of the codecs that it knows.
    four_ccs: Option<Vec<String>>,
}

impl Server {
    /// By the values of its answer behind name and transaction: properties, and information.
    pub(crate) fn from_answer(values: &[Value]) -> Self {
        let find = |key: &str| values.iter().find_map(|value| value.get(key));
        let caps = match find("capsEx") {
            Some(Value::Number(bits)) => *bits as u32,
            _ => 0,
        };
        let is_mediamtx = find("fmsVer") == Some(&Value::string(MEDIAMTX));
        let lists = ["fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap"];
        let lists = lists.into_iter().filter_map(find).map(codes);
        Self {
            is_mediamtx,
            takes_multitrack: caps & MULTITRACK != 0 || is_mediamtx,
            four_ccs: lists.reduce(|one, other| [one, other].concat()),
        }
    }

    /// Whether it takes further tracks in multitrack messages.
    pub(crate) fn takes_multitrack(&self) -> bool {
        self.takes_multitrack
    }

    /// Whether it names itself as MediaMTX does.
    pub(crate) fn is_mediamtx(&self) -> bool {
        self.is_mediamtx
    }

    /// Whether it names the codecs that it knows, and not this one.
    pub(crate) fn lacks(&self, four_cc: &str) -> bool {
        let listed = |list: &Vec<String>| list.iter().any(|code| code == four_cc || code == ANY);
        self.four_ccs.as_ref().is_some_and(|list| !listed(list))
    }
}

fn codes(list: &Value) -> Vec<String> {
    match list {
        Value::StrictArray(values) => (values.iter())
            .filter_map(|value| match value {
                Value::String(code) => Some(code.clone()),
                _ => None,
            })
            .collect(),
        Value::Object(entries) | Value::EcmaArray(entries) => {
            entries.iter().map(|(code, _)| code.clone()).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(properties: &[(&str, Value)]) -> Server {
        let properties = properties.iter();
        let properties = properties.map(|(key, value)| ((*key).to_owned(), value.clone()));
        Server::from_answer(&[Value::Object(properties.collect()), Value::Null])
    }

    #[test]
    fn multitrack_is_for_servers_that_say_so_and_mediamtx() {
        let table = [
            (answer(&[("fmsVer", Value::string(MEDIAMTX))]), true),
            (answer(&[("fmsVer", Value::string("FMS/3,0,1,123"))]), false),
            (answer(&[("capsEx", Value::Number(3.0))]), true),
            (answer(&[("capsEx", Value::Number(5.0))]), false),
            (answer(&[("capsEx", Value::Number(f64::NAN))]), false),
            (Server::from_answer(&[]), false),
        ];
        for (server, expected) in table {
            assert_eq!(server.takes_multitrack(), expected, "{server:?}");
        }
    }

    #[test]
    fn a_codec_is_missing_only_from_a_list_that_is_there() {
        let list =
            |codes: &[&str]| Value::StrictArray(codes.iter().copied().map(Value::string).collect());
        assert!(!answer(&[]).lacks("hvc1"));
        assert!(answer(&[("fourCcList", list(&["av01"]))]).lacks("hvc1"));
        assert!(!answer(&[("fourCcList", list(&["*"]))]).lacks("hvc1"));
        let map = |code: &str| Value::Object(vec![(code.to_owned(), Value::Number(7.0))]);
        let both = answer(&[
            ("videoFourCcInfoMap", map("hvc1")),
            ("audioFourCcInfoMap", map("Opus")),
        ]);
        assert_eq!(
            ["hvc1", "Opus", "vp09"].map(|code| both.lacks(code)),
            [false, false, true]
        );
    }
}
