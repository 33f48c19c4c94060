//! mtx-lifecycle: what bash, zsh and fish complete after a press of the tab key.

use std::process::Command;

use mediamtx::version::tried_versions;
use suite_tests::binaries::suite_binary;
use suite_tests::lifecycle::Lifecycle;
use suite_tests::mediamtx::{Config, MediaMtx};

/// Presses tab behind a line in an interactive shell, on a terminal of zsh's, and prints what the line is then.
const PRESS_TAB: &str = r#"
zmodload zsh/zpty
shell=$1 line=$2 file=$3/line show=$'\C-xp'
until_shown() { # LENGTH
    for i in {1..600}; do
        while zpty -r -t shell output; do :; done 2>/dev/null
        [[ -e $file ]] && content=$(<$file) && ((${#content} >= $1)) && return
        zpty -n -w shell $show
        sleep 0.1
    done
    exit 1
}
case $shell in
bash)
    zpty shell 'bash --norc --noprofile -i'
    zpty -w shell "show() { printf '%s' \"<\$READLINE_LINE>\" > $file; }; bind -x '\"\C-xp\": show'
        source <(COMPLETE=bash mtx-lifecycle)"
    ;;
zsh)
    zpty shell 'zsh -f -i'
    zpty -w shell "show() { print -rn -- \"<\$BUFFER>\" > $file }; zle -N show; bindkey '^Xp' show
        autoload -U compinit; compinit -u -D; source <(COMPLETE=zsh mtx-lifecycle)"
    ;;
esac
until_shown ${#:-<>}
zpty -n -w shell $line$'\t'
until_shown $((${#:-<$line>} + 1))
cat $file
"#;

struct Shells {
    server: MediaMtx,
    lifecycle: Lifecycle,
}

impl Shells {
    fn new(config: Config) -> Self {
        let server = MediaMtx::start(config);
        let lifecycle = Lifecycle::of(&server);
        Self { server, lifecycle }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let binary = suite_binary("mtx-lifecycle");
        let folder = binary.parent().unwrap().display();
        let mut shell = Command::new(program);
        shell.args(arguments);
        shell.env(
            "PATH",
            format!("{folder}:{}", std::env::var("PATH").unwrap()),
        );
        shell.env("MEDIAMTX_API_URL", self.server.api(""));
        shell.env("MTX_LIFECYCLE_STATE", self.lifecycle.state_dir());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        assert!(output.stderr.is_empty(), "{program}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The line after a press of the tab key; without the backslashes, which a shell may but need not write.
    fn press_tab(&self, shell: &str, line: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let shown = self.run("zsh", &["-fc", PRESS_TAB, "zsh", shell, line, place]);
        let shown = shown.trim_start_matches('<').trim_end_matches('>');
        shown.trim_end().replace('\\', "")
    }

    /// What fish offers for the last word.
    fn offers_of_fish(&self, line: &str) -> Vec<String> {
        let script = "COMPLETE=fish mtx-lifecycle | source; complete --do-complete $argv[1]";
        let offers = self.run("fish", &["--no-config", "-c", script, line]);
        let word = |line: &str| line.split('\t').next().unwrap().to_owned();
        offers.lines().map(word).collect()
    }

    /// What bash offers for the last word of a line without `:` and `=`.
    fn offers_of_bash(&self, line: &str) -> String {
        let script = format!(
            "source <(COMPLETE=bash mtx-lifecycle); compopt() {{ :; }}\n\
             COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
             _mtx_lifecycle; echo \"${{COMPREPLY[@]}}\""
        );
        self.run("bash", &["-c", &script]).trim().to_owned()
    }
}

#[test]
fn shell_offers_commands_paths_and_use_cases() {
    let config = Config::default()
        .path("cam/east", "")
        .path("cam/west", "")
        .path("door", "");
    let shells = Shells::new(config);
    let lifecycle = &shells.lifecycle;
    let policy = lifecycle.file("policy.yml", "useCases: {recall: {closeAfter: 2m}}");
    lifecycle.ok(&["apply", policy.to_str().unwrap()]);
    for (line, expected) in [
        ("mtx-lifecycle sta", "start status"),
        ("mtx-lifecycle start rec", "recording recall"),
        ("mtx-lifecycle start recording cam", "cam/east cam/west"),
        ("mtx-lifecycle status --js", "--json"),
        ("mtx-lifecycle --api http://127.0.0.1:1 stop cam", ""),
    ] {
        assert_eq!(shells.offers_of_bash(line), expected, "{line}");
        assert_eq!(shells.offers_of_fish(line).join(" "), expected, "{line}");
    }
}

#[test]
fn every_shell_completes_paths_with_dots_dashes_colons_and_tildes() {
    // Newer servers refuse ~ and : in names.
    let oldest = tried_versions().next().unwrap();
    let names = [
        "yard/east-1",
        "yard/we.st_2",
        "home/ti~lde",
        "door/co:lon",
        "door/co:met",
    ];
    let config = Config::default().version(oldest);
    let shells = Shells::new(
        names
            .iter()
            .fold(config, |config, name| config.path(name, "")),
    );
    let api = format!("mtx-lifecycle --api={} stop", shells.server.api(""));
    for (line, completed) in [
        ("mtx-lifecycle sto", "mtx-lifecycle stop"),
        ("mtx-lifecycle status --js", "mtx-lifecycle status --json"),
        (
            "mtx-lifecycle stop yard/e",
            "mtx-lifecycle stop yard/east-1",
        ),
        (
            "mtx-lifecycle stop yard/we.",
            "mtx-lifecycle stop yard/we.st_2",
        ),
        (
            "mtx-lifecycle stop home/ti~l",
            "mtx-lifecycle stop home/ti~lde",
        ),
        ("mtx-lifecycle stop door/c", "mtx-lifecycle stop door/co:"),
        (
            "mtx-lifecycle stop door/co:l",
            "mtx-lifecycle stop door/co:lon",
        ),
        (&format!("{api} yard/e"), &format!("{api} yard/east-1")),
    ] {
        for shell in ["bash", "zsh"] {
            assert_eq!(shells.press_tab(shell, line), completed, "{shell}");
        }
        let offers = shells.offers_of_fish(line);
        let last = completed.rsplit(' ').next().unwrap();
        assert!(!offers.is_empty(), "{line}");
        assert!(
            offers.iter().all(|offer| offer.starts_with(last)),
            "{line}: {offers:?}"
        );
    }
    let offers = shells.offers_of_fish("mtx-lifecycle stop door/co:");
    assert_eq!(offers, ["door/co:lon", "door/co:met"]);
}
