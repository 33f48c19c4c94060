//! Where a route leads: a path on the same server, or a URL, with places for parts of the stream's path.

use std::fmt;
use std::str::FromStr;

use common::secret::HIDDEN;
use mediamtx::path::PathName;
use mediamtx::template::Template;

use crate::declaration::{Output, Servers};

/// Characters of an output, as of a declared stream's.
const LONGEST: usize = 2048;

/// An output as it is written in a route.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RouteOutput {
    /// As it was written, stream key and all.
    text: String,
    /// The same with a number for each `*`.
    template: Template,
}

/// An output for one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filled {
    /// A path on the same server.
    Path(PathName),
    Url(Output),
}

impl RouteOutput {
    /// The output of one stream.
    ///
    /// # Errors
    /// What is wrong with what this path gives, without a secret.
    pub(crate) fn fill(&self, path: &PathName, groups: &[String]) -> Result<Filled, String> {
        let text = self.template.fill(path, groups);
        let text = text.map_err(|error| error.to_string())?;
        if !self.is_url() {
            let path = text.parse().map(Filled::Path);
            return path.map_err(|error| error.to_string());
        }
        let output = Output::parse(&text).map_err(|invalid| invalid.why().to_owned())?;
        Ok(Filled::Url(match self.has_key() {
            true => output,
            false => output.without_key(),
        }))
    }

    /// How many wildcards the pattern has to have.
    pub(super) fn groups(&self) -> usize {
        self.template.groups()
    }

    /// Whether it is the same for every path.
    pub(super) fn is_constant(&self) -> bool {
        self.template.is_constant()
    }

    /// Without secrets. The last segment is none where it belongs to a path of these servers.
    pub(crate) fn shown(&self, servers: &Servers) -> String {
        match self.example() {
            Ok(Filled::Url(output)) if servers.path(&output).is_some() => self.without_query(),
            _ => self.to_string(),
        }
    }

    /// Whether it is a path of these servers, as far as its URL tells.
    pub(super) fn is_on(&self, servers: &Servers) -> bool {
        match self.example() {
            Ok(Filled::Path(_)) => true,
            Ok(Filled::Url(output)) => servers.path(&output).is_some(),
            Err(_) => false,
        }
    }

    fn without_query(&self) -> String {
        let end = self.text.find(['?', '#']);
        match end {
            Some(end) => format!("{}?{HIDDEN}", &self.text[..end]),
            None => self.text.clone(),
        }
    }

    /// With something in its places.
    fn example(&self) -> Result<Filled, String> {
        let path: PathName = "x".parse().map_err(|error| format!("{error}"))?;
        let groups = vec!["x".to_owned(); self.groups()];
        self.fill(&path, &groups)
    }

    /// As it was written: with its stream key.
    pub(crate) fn as_written(&self) -> &str {
        &self.text
    }

    /// What its path on a server consists of.
    pub(super) fn url_path(&self) -> Template {
        self.template.url_path()
    }

    fn is_url(&self) -> bool {
        is_url(&self.text)
    }

    /// Whether the last segment of its URL has something that is the same for every stream, as a stream key is.
    fn has_key(&self) -> bool {
        let path = self.template.url_path();
        let last = path.as_str().rsplit('/').next().unwrap_or_default();
        if !last.contains('{') {
            return true;
        }
        // What stands outside of places: before the first one, and behind the end of each.
        let mut fixed = last
            .split('{')
            .enumerate()
            .map(|(number, part)| match number {
                0 => part,
                _ => part.split_once('}').map_or("", |(_, after)| after),
            });
        fixed.any(|part| part.contains(|c: char| c.is_alphanumeric()))
    }
}

fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// Without what may be secret: a last segment with something that is the same for every stream, and the query.
impl fmt::Display for RouteOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.text.find(['?', '#']).unwrap_or(self.text.len());
        let shown = self.text[..end].trim_end_matches('/');
        let start = shown.find("://").map_or(0, |colon| colon + "://".len());
        let segments = shown[start..].split('/').count();
        match shown.rsplit_once('/') {
            // Host, application and key.
            Some((before, _)) if self.is_url() && self.has_key() && segments > 2 => {
                write!(f, "{before}/{HIDDEN}")?;
            }
            _ => f.write_str(shown)?,
        }
        if end < self.text.len() {
            write!(f, "?{HIDDEN}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RouteOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RouteOutput {
    type Err = String;

    /// The error never shows the text, which may hold a stream key.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(HIDDEN) {
            return Err(format!(
                "{HIDDEN} stands where a secret was hidden: write the whole output"
            ));
        }
        if text.chars().count() > LONGEST {
            return Err(format!("it is longer than {LONGEST} characters"));
        }
        let template: Template = numbered(text)?
            .parse()
            .map_err(|error| format!("{error}"))?;
        let output = Self {
            text: text.to_owned(),
            template,
        };
        output.check()?;
        Ok(output)
    }
}

impl RouteOutput {
    /// With something in its places, it has to be an output.
    fn check(&self) -> Result<(), String> {
        let fixed = self.template.fixed_start();
        let host = fixed.split_once("://").map(|(_, rest)| rest);
        let has_path = |url: &str| {
            url.split("://")
                .nth(1)
                .is_some_and(|rest| rest.contains('/'))
        };
        if self.is_url() && !has_path(&self.text) {
            return Err(
                "there is nothing behind the host: write rtmp(s)://host[:port]/app/stream-key, or \
                 rtmp(s)://host[:port]/{path} for another MediaMTX"
                    .to_owned(),
            );
        }
        if self.is_url() && host.is_none_or(|rest| !rest.contains('/')) {
            return Err(
                "the host is the same for every stream: write rtmp(s)://host[:port]/…, with places behind the host"
                    .to_owned(),
            );
        }
        self.example().map(drop).map_err(|why| match self.is_url() {
            true => why,
            false => format!("{why}; an output is rtmp(s)://… or a path on the same server"),
        })
    }
}

/// Each `*` and `**` before the query as the number of the pattern's wildcard that it stands for.
fn numbered(text: &str) -> Result<String, String> {
    let end = text
        .find('?')
        .filter(|_| is_url(text))
        .unwrap_or(text.len());
    let (path, query) = text.split_at(end);
    if path.contains("***") {
        return Err("*** is no wildcard: write *, **, or {1}".to_owned());
    }
    let mut written = String::new();
    for (number, part) in path.replace("**", "*").split('*').enumerate() {
        if number > 0 {
            written.push_str(&format!("{{{number}}}"));
        }
        written.push_str(part);
    }
    Ok(written + query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(text: &str, path: &str, groups: &[&str]) -> String {
        let output: RouteOutput = text.parse().unwrap();
        let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        match output.fill(&path.parse().unwrap(), &groups).unwrap() {
            Filled::Path(path) => path.to_string(),
            Filled::Url(output) => output.url().to_string(),
        }
    }

    #[test]
    fn stars_and_braces_are_filled_in() {
        for (text, path, groups, expected) in [
            ("live/*/out", "live/cam/in", &["cam"][..], "live/cam/out"),
            ("restream/{name}", "a/b", &[], "restream/b"),
            ("**/out", "a/b/in", &["a/b"], "a/b/out"),
            ("{2}/*", "x/y", &["x", "y"], "y/x"),
            ("rtmp://h/{name}", "cam", &[], "rtmp://h/cam"),
            (
                "rtmp://h/app/*?x=a*b",
                "c/1",
                &["1"],
                "rtmp://h/app/1?x=a*b",
            ),
            ("rtmp://h/{path}", "a.b/c:~-_d", &[], "rtmp://h/a.b/c:~-_d"),
        ] {
            assert_eq!(filled(text, path, groups), expected, "{text}");
        }
    }

    #[test]
    fn an_output_has_an_end() {
        let long = |count: usize| "x".repeat(count).parse::<RouteOutput>();
        assert!(long(100).is_ok());
        let message = long(2049).unwrap_err();
        assert!(message.contains("2048") && message.len() < 100, "{message}");
    }

    #[test]
    fn only_what_is_no_secret_is_shown() {
        for (text, shown) in [
            ("live/*/out", "live/*/out"),
            ("rtmp://h/{path}", "rtmp://h/{path}"),
            ("rtmp://h/app/s3cret", "rtmp://h/app/***"),
            ("rtmp://h/app/*?pass=s3cret", "rtmp://h/app/*?***"),
            ("rtmps://h:443/live2/s3cret/", "rtmps://h:443/live2/***"),
            ("rtmp://h/cam", "rtmp://h/cam"),
            ("rtmp://h/app/s3cret-{name}", "rtmp://h/app/***"),
            ("rtmp://h/app/*s3cret", "rtmp://h/app/***"),
            ("rtmp://h/app/{1}-{name}", "rtmp://h/app/{1}-{name}"),
        ] {
            let output: RouteOutput = text.parse().unwrap();
            assert_eq!(format!("{output} {output:?}"), format!("{shown} {shown}"));
        }
    }

    #[test]
    fn what_is_no_output_is_refused_without_showing_it() {
        for (text, why) in [
            ("", "empty"),
            ("/s3cret", "slash"),
            ("s3 cret", "' '"),
            ("rtmp://h/s3cret/{nam}", "{nam}"),
            ("rtmp://{name}/app/s3cret", "host is the same"),
            ("rtmp://h.example", "nothing behind the host: write rtmp(s)"),
            ("rtmp://h.example?pass=s3cret", "nothing behind the host"),
            ("rtmp://h{1}/app/s3cret", "host"),
            ("http://h/s3cret/key", "scheme"),
            ("rtmp://h/app/***", "hidden"),
            ("rtmp://u:s3cret@h/app/key", "user="),
        ] {
            let message = text.parse::<RouteOutput>().unwrap_err();
            assert!(message.contains(why), "{text}: {message}");
            // A path is no secret.
            assert!(
                !text.contains("://") || !message.contains("s3cret"),
                "{message}"
            );
        }
    }

    #[test]
    fn what_a_path_cannot_give_is_told() {
        let output: RouteOutput = "*/x".parse().unwrap();
        let error = output.fill(&"in".parse().unwrap(), &[String::new()]);
        assert!(error.unwrap_err().contains("slash"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_no_key_is_shown(text in any::<String>(), key in "[A-Z]{6}") {
            let _ = text.parse::<RouteOutput>();
            let _ = format!("rtmp://h/{text}").parse::<RouteOutput>();
            if let Ok(output) = format!("rtmp://h/app/QQ{key}?x=QQ{key}").parse::<RouteOutput>() {
                prop_assert!(!output.to_string().contains("QQ"));
            }
        }
    }
}
