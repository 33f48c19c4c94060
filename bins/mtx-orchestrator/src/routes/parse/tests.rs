use super::*;
use proptest::prelude::*;

fn servers() -> Servers {
    Servers {
        rtsp: "rtsp://127.0.0.1:8554".parse().unwrap(),
        rtmp: "rtmp://127.0.0.1:1935".parse().unwrap(),
    }
}

fn read(text: &str) -> Result<Vec<StreamRoute>, RoutesError> {
    StreamRoute::read_all(text, Syntax::Yaml, &[], &servers())
}

fn read_json(text: &str) -> Result<Vec<StreamRoute>, RoutesError> {
    StreamRoute::read_all(text, Syntax::Json, &[], &servers())
}

#[test]
fn a_route_has_all_its_fields() {
    let text = "routes:\n\
                - path: cam/*\n  name: Cameras\n  outputs: [copy/*, 'rtmps://h/app/key-*']\n  recovery: fixed:2s\n  \
                  limits: {memory: 64, cpu: 50}\n\
                - {path: '**/in', outputs: '**/out'}\n";
    let routes = read(text).unwrap();
    assert_eq!(routes.len(), 2);
    assert_eq!(routes[0].label(), "Cameras");
    assert_eq!(routes[0].limits.memory, Some(64));
    assert_eq!(routes[1].outputs.len(), 1);
    let written =
        json!({ "routes": routes.iter().map(StreamRoute::definition).collect::<Vec<_>>() });
    assert_eq!(read(&written.to_string()).unwrap(), routes);
    assert!(!routes[0].shown(&servers()).to_string().contains("key"));
    for none in ["routes:\n", "routes: []"] {
        assert_eq!(read(none).unwrap(), [], "{none}");
    }
}

#[test]
fn a_text_without_routes_is_not_taken_for_none() {
    for blank in ["", " \n", "# nothing\n", "---\n# nothing\n"] {
        for error in [read(blank).unwrap_err(), read_json(blank).unwrap_err()] {
            assert!(error.to_string().contains("routes: []"), "{error}");
        }
    }
    assert!(read("{}").is_err() && read_json("{}").is_err());
}

#[test]
fn json_has_its_own_ways_to_write_a_character() {
    let text = "{\"routes\": [{\"path\": \"cam\", \"outputs\": \"copy\\/cam\", \"name\": \"\\ud83c\\udfa5\"}]}";
    assert_eq!(read_json(text).unwrap()[0].label(), "\u{1f3a5}");
    let error = read_json("{\"routes\":\n[{\"path\": \"cam\", \"output\": \"x\"}]}").unwrap_err();
    assert_eq!(error.place().map(|(line, _)| line), Some(2));
    let key = "{\"routes\": \"rtmp:\\/\\/h\\/app\\/s3cret\"}";
    for error in [read(key).unwrap_err(), read_json(key).unwrap_err()] {
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn what_is_wrong_is_named_with_line_and_column() {
    for (text, parts) in [
        (
            "routes:\n- path: cam\n  output: x\n",
            ["unknown field `output`", "line 3 column 3"],
        ),
        (
            "routes: []\nroutes: []\n",
            ["`routes` stands here a second time", "line 2 column 1"],
        ),
        (
            "routes:\n- path: cam\n  outputs: x\n  path: x\n",
            ["`path` stands", "line 4 column 3"],
        ),
        (
            "routes:\n- path: cam\n  outputs: x\n  limits: {cpu: 1, cpu: 2}\n",
            ["`cpu` stands", "line 4 column 20"],
        ),
        (
            "routes:\n- path: cam\n  outputs: x\n  limits: 3\n",
            ["limits with memory", "line 4"],
        ),
        (
            "routes:\n- path: cam/*\n  outputs: rtmp://h/app/one\n",
            ["cam/* go to the same output", "line 2 column 3"],
        ),
        (
            "routes:\n- path: cam\n",
            ["missing field `outputs`", "line 2"],
        ),
        ("\nrouts: []\n", ["unknown field `routs`", "line 2"]),
        ("routes: 3\n", ["a list of routes", "line 1"]),
        (
            "routes:\n- path: cam\n  outputs: []\n",
            ["1 to 8", "line 2 column 3"],
        ),
        (
            "routes:\n- path: cam\n  outputs: {a: b}\n",
            ["an output or a list", "line 3"],
        ),
        (
            "routes:\n- path: cam\n  outputs: copy/{1}\n",
            ["needs 1 wildcards", "line 2 column 3"],
        ),
        (
            "routes:\n- path: cam\n  outputs: [x, 'a b']\n",
            ["' '", "line 3 column 16"],
        ),
        (
            "routes:\n- path: ~^cam\n  outputs: x\n",
            ["regular expression", "line 2"],
        ),
        (
            "routes:\n- path: cam\n  outputs: x\n  recovery: later\n",
            ["exponential", "line 4"],
        ),
        (
            "routes:\n- path: cam\n  outputs: x\n  limits: {memory: 1}\n",
            ["8 to", "line 4"],
        ),
        (
            "routes:\n- path: '**'\n  outputs: rtmp://h/{path}\n- path: cam\n  outputs: x\n",
            ["no path ever", "line 4 column 3"],
        ),
        (
            "routes:\n- path: a\n  outputs: b\n- path: b\n  outputs: a\n",
            ["fed by itself", "line 4 column 3"],
        ),
    ] {
        let error = read(text).unwrap_err();
        for part in parts {
            assert!(error.to_string().contains(part), "{error} lacks {part}");
        }
        assert!(
            error.place().is_some() && !error.to_string().contains('\n'),
            "{error}"
        );
    }
}

#[test]
fn stream_keys_are_in_no_message() {
    for text in [
        "routes:\n- path: rtmp://h/app/s3cret?\n  outputs: '{1}'\n",
        "routes:\n- path: x\n  outputs: rtmp://h/app/s3cret/{x}\n",
        "routes:\n- path: x\n  outputs: {a: 'rtmp://h/app/s3cret'}\n",
        "routes:\n- path: x\n  limits: rtmp://h/app/s3cret\n",
        "routes:\n- path: x\n  outputs: [rtmp://h/app/s3cret, rtmp://h/app/s3cret]\n",
        "routes: rtmp://h/app/s3cret\n",
        "routes: rtmp(s)://host[:port]/app/s3cret\n",
        "rtmp://h/app/s3cret: x\n",
    ] {
        let error = read(text).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}

#[test]
fn advice_can_be_read_also_by_those_who_have_copied_it() {
    for text in [
        "routes:\n- path: x\n  outputs: rtmp://h.example\n",
        "routes:\n- path: x\n  outputs: rtmp://{1}/app/s3cret\n",
        "routes:\n- path: x\n  outputs: rtmp(s)://host[:port]/s3cret\n",
        "routes:\n- path: x\n  outputs: /x\n# rtmp(s)://host[:port]\n",
    ] {
        let error = read(text).unwrap_err().to_string();
        let advice = ["rtmp(s)://host[:port]/", "rtmp(s)://… or"];
        assert!(advice.iter().any(|form| error.contains(form)), "{error}");
        assert!(
            !error.contains("s3cret") && !error.contains("***"),
            "{error}"
        );
    }
}

#[test]
fn what_comes_before_counts() {
    let before = ["b => a".parse().unwrap()];
    let routes = StreamRoute::read_all(
        "routes: [{path: a, outputs: b}]",
        Syntax::Yaml,
        &before,
        &servers(),
    );
    assert!(routes.unwrap_err().to_string().contains("fed by itself"));
}

#[test]
fn what_refers_to_itself_again_and_again_is_refused_at_once() {
    let mut text = "routes:\n- &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{}", level - 1);
        let items = [below.as_str(); 10].join(",");
        text += &format!("- &a{level} [{items}]\n");
    }
    assert!(read(&text).is_err());
    assert!(read(&"[".repeat(60_000)).is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), path in "[!-~]{0,9}", output in "[!-~]{0,9}") {
        let _ = (read(&text), read_json(&text));
        let _ = read(&format!("routes: [{{path: {path:?}, outputs: {output:?}}}]"));
        let _ = read(&format!("routes:\n- path: {path}\n  outputs: {output}\n"));
    }
}
