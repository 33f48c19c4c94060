//! bash takes `cam:east` for three words, `--api=http://host` for five: `:` and `=` are among its `COMP_WORDBREAKS`, and
//! what is offered takes the place of the last one only. clap's own script for bash does not know.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::engine;
use clap_complete::env::EnvCompleter;

const SCRIPT: &str = r#"_mtx_lifecycle() {
    local IFS=$'\013'
    COMPREPLY=($(COMPLETE_INDEX="$COMP_CWORD" VARIABLE=bash COMPLETER -- "${COMP_WORDS[@]}"))
    if [[ ${COMPREPLY-} =~ [=/:]$ ]]; then compopt -o nospace; fi
}
complete -o bashdefault -o nosort -F _mtx_lifecycle BINARY"#;

/// Between two words that are offered: no path and no file has it in its name.
const SEPARATOR: &str = "\u{b}";

pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == self.name()
    }

    fn write_registration(
        &self,
        variable: &str,
        _name: &str,
        binary: &str,
        completer: &str,
        to: &mut dyn Write,
    ) -> io::Result<()> {
        let completer = format!("'{}'", completer.replace('\'', r"'\''"));
        let script = SCRIPT
            .replace("VARIABLE", variable)
            .replace("BINARY", binary)
            .replace("COMPLETER", &completer);
        writeln!(to, "{script}")
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        folder: Option<&Path>,
        to: &mut dyn Write,
    ) -> io::Result<()> {
        let index = env::var("COMPLETE_INDEX").ok();
        let index = index.and_then(|it| it.parse().ok()).unwrap_or_default();
        let (words, index) = joined(words, index);
        let current = words.get(index).and_then(|word| word.to_str());
        // What of the word bash takes for words of its own.
        let before = current.unwrap_or_default().rfind([':', '=']);
        let before = before.map_or(0, |at| at + 1);
        let offered = engine::complete(command, words, index, folder)?;
        let offered = offered.iter().filter_map(|it| {
            let word = it.get_value().to_string_lossy();
            word.get(before..).map(str::to_owned)
        });
        write!(to, "{}", offered.collect::<Vec<_>>().join(SEPARATOR))
    }
}

/// The words as they were typed, and which of them the `index`th has become a part of.
pub(super) fn joined(words: Vec<OsString>, index: usize) -> (Vec<OsString>, usize) {
    let mut joined: Vec<OsString> = Vec::new();
    let mut at = 0;
    let mut continues = false;
    for (number, word) in words.into_iter().enumerate() {
        let is_break = is_break(&word);
        match joined.last_mut() {
            Some(last) if continues || is_break => last.push(word),
            _ => joined.push(word),
        }
        continues = is_break;
        if number == index {
            at = joined.len() - 1;
        }
    }
    (joined, at)
}

fn is_break(word: &OsString) -> bool {
    let word = word.to_str().unwrap_or_default();
    !word.is_empty() && word.chars().all(|letter| matches!(letter, ':' | '='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bash_has_split_is_joined() {
        for (words, index, expected, at) in [
            ("x stop cam", 2, "x stop cam", 2),
            ("x stop a : b", 4, "x stop a:b", 2),
            ("x stop a :", 3, "x stop a:", 2),
            ("x stop a :: b c", 5, "x stop a::b c", 3),
            (
                "x --api = http : //h : 1 stop cam",
                9,
                "x --api=http://h:1 stop cam",
                3,
            ),
        ] {
            let words = words.split(' ').map(OsString::from).collect();
            let expected: Vec<OsString> = expected.split(' ').map(OsString::from).collect();
            assert_eq!(joined(words, index), (expected, at));
        }
        assert_eq!(joined(Vec::new(), 3), (Vec::new(), 0));
    }
}
