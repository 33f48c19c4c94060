//! One route: `live/*/in => live/*/out`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use mediamtx::pattern::Pattern;

use super::output::RouteOutput;
use crate::declaration::{MOST_OUTPUTS, Name};
use crate::supervisor::{Limits, Recovery};

/// MiB of private memory that a worker may be given.
pub(crate) const MEMORY: RangeInclusive<u64> = 8..=1_048_576;
pub(crate) const FILES: RangeInclusive<u64> = 16..=1_048_576;
/// Percent of one processor.
pub(crate) const CPU: RangeInclusive<u64> = 1..=10_000;

/// Where the streams of one pattern go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamRoute {
    pub(crate) path: Pattern,
    /// One to eight.
    pub(crate) outputs: Vec<RouteOutput>,
    pub(crate) name: Option<Name>,
    /// Instead of --recovery.
    pub(crate) recovery: Option<Recovery>,
    pub(crate) limits: RouteLimits,
}

/// What its workers may take where that is not what the flags say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RouteLimits {
    /// MiB.
    pub(crate) memory: Option<u64>,
    pub(crate) files: Option<u64>,
    /// Percent of one processor.
    pub(crate) cpu: Option<u64>,
}

impl RouteLimits {
    pub(crate) fn over(self, general: Limits) -> Limits {
        Limits {
            memory: self.memory.map_or(general.memory, |mib| mib * 1024 * 1024),
            open_files: self.files.unwrap_or(general.open_files),
            cpu: self.cpu.unwrap_or(general.cpu),
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl StreamRoute {
    /// A route whose parts fit together.
    ///
    /// # Errors
    /// What does not, without a secret.
    pub(super) fn new(path: Pattern, outputs: Vec<RouteOutput>) -> Result<Self, String> {
        if outputs.is_empty() || outputs.len() > MOST_OUTPUTS {
            return Err(format!(
                "a route has 1 to {MOST_OUTPUTS} outputs, not {}",
                outputs.len()
            ));
        }
        for (number, output) in outputs.iter().enumerate() {
            let (needs, has) = (output.groups(), path.group_count());
            if needs > has {
                return Err(format!(
                    "output {output} needs {needs} wildcards, but the pattern {path} has {has}"
                ));
            }
            if outputs[..number].contains(output) {
                return Err(format!("output {output} is there twice"));
            }
        }
        Ok(Self {
            path,
            outputs,
            name: None,
            recovery: None,
            limits: RouteLimits::default(),
        })
    }

    /// Whether several paths go to one output, which takes one stream.
    ///
    /// # Errors
    /// Which output that is, without a secret.
    pub(crate) fn check_one_stream_an_output(&self) -> Result<(), String> {
        let path = &self.path;
        let mut outputs = self.outputs.iter();
        match outputs.find(|output| output.is_constant() && path.name().is_none()) {
            Some(output) => Err(format!(
                "all streams of {path} go to the same output {output}, where only one can be: write {{path}}, \
                 {{name}} or * into the output, or the one path that it is for in place of {path}"
            )),
            None => Ok(()),
        }
    }

    /// What people call it.
    pub(crate) fn label(&self) -> String {
        match &self.name {
            Some(name) => name.to_string(),
            None => self.path.to_string(),
        }
    }
}

impl Default for StreamRoute {
    /// That of the default scheme.
    #[expect(clippy::expect_used, reason = "a constant, which a test reads")]
    fn default() -> Self {
        super::DEFAULT.parse().expect("the default is a route")
    }
}

impl FromStr for StreamRoute {
    type Err = String;

    /// `PATTERN => OUTPUT [OUTPUT …]`
    fn from_str(text: &str) -> Result<Self, String> {
        let form = "write 'PATTERN => OUTPUT', for example 'cam/* => rtmp://host/app/{name}'";
        let Some((path, outputs)) = text.split_once("=>") else {
            return Err(format!("there is no =>; {form}"));
        };
        let path: Pattern = path.trim().parse().map_err(|error| format!("{error}"))?;
        let outputs = outputs.split_whitespace().map(str::parse);
        let route = Self::new(path, outputs.collect::<Result<_, _>>()?)?;
        route.check_one_stream_an_output()?;
        Ok(route)
    }
}

impl StreamRoute {
    /// Reads what `--route` was given, one after the other.
    ///
    /// # Errors
    /// What is wrong with which of them, without a secret.
    pub(crate) fn read_flags(texts: &[String]) -> anyhow::Result<Vec<Self>> {
        let mut routes: Vec<Self> = Vec::new();
        for text in texts {
            let wrong = |why: String| match text.split_once("=>") {
                Some((pattern, _)) => anyhow::anyhow!("--route {:?}: {why}", pattern.trim()),
                None => anyhow::anyhow!("--route: {why}"),
            };
            let route: Self = text.parse().map_err(wrong)?;
            route.check_after(&routes).map_err(wrong)?;
            routes.push(route);
        }
        Ok(routes)
    }

    /// Whether any path can come to it behind these.
    pub(super) fn check_after(&self, earlier: &[Self]) -> Result<(), String> {
        match earlier.iter().find(|other| other.path.covers(&self.path)) {
            Some(covering) => Err(format!(
                "no path ever comes to {}: the earlier {} matches all of them; write the special one first",
                self.path, covering.path
            )),
            None => Ok(()),
        }
    }
}

/// Without secrets.
impl fmt::Display for StreamRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} =>", self.path)?;
        self.outputs
            .iter()
            .try_for_each(|output| write!(f, " {output}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_a_pattern_and_outputs() {
        let route: StreamRoute = "cam/* => rtmp://h/app/{1} copy/{name}".parse().unwrap();
        assert_eq!((route.path.as_str(), route.outputs.len()), ("cam/*", 2));
        assert_eq!(StreamRoute::default().to_string(), super::super::DEFAULT);
    }

    #[test]
    fn parts_that_do_not_fit_are_told() {
        for (text, why) in [
            ("cam/*", "=>"),
            ("cam/* =>", "1 to 8"),
            ("cam => live/{1}/out", "needs 1 wildcards"),
            ("*/x => */*", "needs 2"),
            ("~^cam => x", "regular expression"),
            ("cam => x x", "twice"),
            ("=> x", "empty"),
            ("a => 1 2 3 4 5 6 7 8 9", "not 9"),
            ("a => rtmp://h/s3cret/{", "partner"),
            (
                "cam/* => rtmp://h/app/s3cret",
                "same output rtmp://h/app/***",
            ),
            ("cam? => copy/cam", "same output copy/cam"),
            ("** => copy/{path} rtmp://h/app/s3cret", "same output"),
        ] {
            let message = text.parse::<StreamRoute>().unwrap_err();
            assert!(
                message.contains(why) && !message.contains("s3cret"),
                "{text}: {message}"
            );
        }
    }
}
