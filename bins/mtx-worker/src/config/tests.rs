use super::*;
use clap::Parser;

fn task(args: &[&str], env: &[(&str, &str)]) -> Result<(Config, Destination)> {
    let cli = Cli::try_parse_from([&["mtx-worker"], args].concat()).unwrap();
    let variables = env.iter().map(|(name, value)| (name.into(), value.into()));
    let variable = |name: &str| {
        let found = env.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::new(cli, &variables.collect(), variable, &mut Vec::new())
}

fn config(args: &[&str], env: &[(&str, &str)]) -> (Config, RtmpUrl) {
    match task(args, env) {
        Ok((config, Destination::Outputs(outputs))) => (config, outputs[0].clone()),
        other => panic!("{other:?}"),
    }
}

/// What the hook of a path publishes to when it is given these outputs.
fn of_hook(path: &str, outputs: &[&str]) -> Result<Vec<RtmpUrl>> {
    let args: Vec<&str> = outputs.iter().flat_map(|url| ["--output", url]).collect();
    let env = [("MTX_PATH", path), ("G1", "north"), ("G2", "7")];
    match task(&args, &env)?.1 {
        Destination::Outputs(outputs) => Ok(outputs),
        Destination::Picture(file) => panic!("{file:?}"),
    }
}

#[test]
fn a_file_of_jpeg_is_for_a_picture() {
    for (output, picture) in [
        ("a.jpg", true),
        ("/tmp/x.y/B.JPEG", true),
        ("a.png", false),
        ("my picture.jpg", true),
        ("{x}.jpg", true),
        ("jpg", false),
    ] {
        let task = task(&["--input", "rtsp://h/a", "--output", output], &[]);
        let is_picture = matches!(task, Ok((_, Destination::Picture(_))));
        assert_eq!(is_picture, picture, "{output}");
    }
    let both = [
        "--input",
        "rtsp://h/a",
        "--output",
        "a.jpg",
        "--output",
        "rtmp://h/a/b",
    ];
    let message = task(&both, &[]).unwrap_err().to_string();
    assert!(message.contains("a.jpg"), "{message}");
}

#[test]
fn places_of_a_pictures_file_are_filled_in_from_the_path() {
    let file = |args: &[&str], env: &[(&str, &str)]| -> Result<String> {
        match task(args, env)?.1 {
            Destination::Picture(file) => Ok(file.display().to_string()),
            outputs @ Destination::Outputs(_) => panic!("{outputs:?}"),
        }
    };
    let hook = |name| file(&["--output", name], &[("MTX_PATH", "a/cam1"), ("G1", "x")]);
    let by_hand = |name| {
        let input = ["--input", "rtsp://u:p@h:8554/a/cam1?lang=es"];
        file(&[&input[..], &["--output", name]].concat(), &[])
    };
    assert_eq!(hook("/pics/{name}.jpg").unwrap(), "/pics/cam1.jpg");
    assert_eq!(by_hand("/pics/{name}.jpg").unwrap(), "/pics/cam1.jpg");
    assert_eq!(by_hand("{path}/{x}.jpg").unwrap(), "{path}/{x}.jpg");
    assert_eq!(by_hand("{path}.jpg").unwrap(), "a/cam1.jpg");
    assert_eq!(hook("{1}.jpg").unwrap(), "x.jpg");
    for error in [hook("{x}.jpg"), by_hand("{1}.jpg")] {
        let message = format!("{:#}", error.unwrap_err());
        assert!(
            message.contains("can't be filled in") || message.contains("can be filled in"),
            "{message}"
        );
    }
}

#[test]
fn a_hook_needs_no_option() {
    let (config, output) = config(
        &[],
        &[
            ("MTX_PATH", "live/cam-1/in"),
            ("RTSP_PORT", "18554"),
            ("MTX_SOURCE_ID", "abc"),
        ],
    );
    assert_eq!(
        config.input.to_string(),
        "rtsp://localhost:18554/live/cam-1/in"
    );
    assert_eq!(output.to_string(), "rtmp://localhost:1935/live/cam-1/out");
    let expected = [
        ("path", "live/cam-1/in"),
        ("streamId", "cam-1"),
        ("sourceId", "abc"),
    ];
    assert_eq!(
        config.context,
        expected.map(|(key, value)| (key, value.to_owned()))
    );
    assert_eq!(
        config.published_at(&output).unwrap().to_string(),
        "rtsp://localhost:18554/live/cam-1/out"
    );
}

#[test]
fn a_hook_publishes_whatever_ends_in_in_and_says_what_to_write_for_the_rest() {
    for (path, expected) in [
        ("cam/in", "rtmp://localhost:1935/cam/out"),
        (
            "building/floor.1/a:b~c/in",
            "rtmp://localhost:1935/building/floor.1/a:b~c/out",
        ),
    ] {
        let (_, output) = config(&[], &[("MTX_PATH", path)]);
        assert_eq!(output.to_string(), expected);
    }
    for (path, line) in [
        (
            "cam1",
            "runOnAvailable: mtx-worker --output rtmp://localhost:11935/{path}/out",
        ),
        ("live/a/out", "\"~^(.+)/in$\": {runOnAvailable: mtx-worker}"),
    ] {
        let env = [("MTX_PATH", path), ("RTMP_PORT", "11935")];
        let args = ["--rtmp-port", "11935"];
        let message = format!("{:#}", task(&args, &env).unwrap_err());
        assert!(
            message.contains(path) && message.contains(line),
            "{message}"
        );
    }
}

#[test]
fn places_of_an_output_are_filled_in_from_the_path_and_its_groups() {
    for (path, output, expected) in [
        (
            "a/cam",
            "rtmp://localhost/{path}/out",
            "localhost:1935/a/cam/out",
        ),
        ("a/cam", "rtmp://other/{name}", "other:1935/cam"),
        (
            "x",
            "rtmp://other/{1}/{2}?u={name}",
            "other:1935/north/7?u=x",
        ),
    ] {
        assert_eq!(of_hook(path, &[output]).unwrap()[0].place(), expected);
    }
    let by_hand = [
        "--input",
        "rtsp://h/a/cam?x=1",
        "--output",
        "rtmp://o/{name}",
    ];
    assert_eq!(config(&by_hand, &[]).1.place(), "o:1935/cam");
    for (output, named) in [("rtmp://o/{3}", "{3}"), ("rtmp://o/{nam}", "{nam}")] {
        let message = format!("{:#}", of_hook("x", &[output]).unwrap_err());
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn what_is_on_the_server_is_shown_and_the_rest_is_not() {
    for (output, shown) in [
        (
            "rtmp://127.0.0.1/copy/{name}",
            "rtmp://127.0.0.1:1935/copy/cam",
        ),
        (
            "rtmps://[::1]:1936/copy/{name}",
            "rtmps://[::1]:1936/copy/cam",
        ),
        // A tunnel to a platform.
        (
            "rtmp://localhost:19350/rtmp/FB-k3y",
            "rtmp://localhost:19350/rtmp/***",
        ),
        ("rtmp://platform/app/k3y", "rtmp://platform:1935/app/***"),
        (
            "rtmp://platform/app/{name}-k3y",
            "rtmp://platform:1935/app/***",
        ),
        // A part of the path is no key.
        ("rtmp://platform/app/{name}", "rtmp://platform:1935/app/cam"),
        (
            "rtmp://localhost:2935/copy/{name}",
            "rtmp://localhost:2935/copy/cam",
        ),
    ] {
        assert_eq!(of_hook("a/cam", &[output]).unwrap()[0].to_string(), shown);
    }
    let keyed = ["--input", "rtsp://h/a/cam", "--output", "rtmp://p/{name}"];
    let key = [("RTMP_STREAM_KEY", "k3y")];
    assert_eq!(config(&keyed, &key).1.to_string(), "rtmp://p:1935/cam/***");
    let by_hand = ["--input", "rtsp://Mtx/a", "--output", "rtmp://mtx/b/c"];
    assert_eq!(config(&by_hand, &[]).1.to_string(), "rtmp://mtx:1935/b/c");
}

#[test]
fn an_output_that_the_hook_would_be_run_for_again_is_refused() {
    for (path, output) in [
        ("x/out", "rtmp://localhost/{path}/out"),
        ("copy/a", "rtmp://127.0.0.1/copy/{name}"),
        ("live/north/out", "rtmp://[::1]/live/{1}/out"),
        ("b/a", "rtmp://localhost/{2}/{1}"),
        ("x/out", "rtmp://0.0.0.0:1935/{path}/out"),
    ] {
        let message = format!("{:#}", of_hook(path, &[output]).unwrap_err());
        assert!(
            message.contains(path) && !message.contains('\n'),
            "{message}"
        );
    }
    for (path, output) in [
        ("x", "rtmp://localhost/{path}/out"),
        ("a/b", "rtmp://localhost/copy/{name}"),
        ("copy/a", "rtmp://platform.invalid/copy/{name}"),
        ("x/out", "rtmp://localhost:19350/app/{1}"),
        // Shorter each time.
        ("cam_north", "rtmp://localhost/{1}"),
    ] {
        assert!(of_hook(path, &[output]).is_ok(), "{path} {output}");
    }
}

#[test]
fn a_hook_logs_in_to_both_sides_of_its_server_only() {
    let env = [
        ("MTX_PATH", "live/a/in"),
        ("RTSP_USERNAME", "me"),
        ("RTSP_PASSWORD", "p&ss w"),
    ];
    let (_, output) = config(&[], &env);
    assert_eq!(output.stream_key, "out?user=me&pass=p%26ss+w");
    assert_eq!(output.to_string(), "rtmp://localhost:1935/live/a/out");
    let (_, output) = config(
        &["--output", "rtmp://localhost/{1}"],
        &[&env[..], &[("G1", "a")]].concat(),
    );
    assert_eq!(output.app, "a?user=me&pass=p%26ss+w");
    let (_, output) = config(&["--output", "rtmp://platform/app/key"], &env);
    assert_eq!(output.stream_key, "key");
}

#[test]
fn another_server_on_another_port_of_this_machine_takes_the_same_path() {
    let input = ["--input", "rtsp://127.0.0.1:8554/cam", "--output"];
    let known = ["--rtmp-port", "1935"];
    let by_hand = |output| task(&[&input[..], &[output], &known].concat(), &[]);
    assert!(by_hand("rtmp://127.0.0.1:2935/cam").is_ok());
    assert!(by_hand("rtmp://localhost/cam").is_err());
    let env = [("MTX_PATH", "cam")];
    let hook = |output| task(&[&["--output", output], &known[..]].concat(), &env);
    assert!(hook("rtmp://localhost:2935/{path}").is_ok());
    assert!(hook("rtmp://localhost:2935/cam").is_ok());
    assert!(hook("rtmp://localhost/{path}").is_err());
    assert!(hook("rtmp://127.0.0.2/cam").is_err());
    // It may be the same server, and each next one would be longer.
    let grown = ["--output", "rtmp://localhost:2935/{path}/out"];
    let env = [("MTX_PATH", "cam/out")];
    assert!(task(&grown, &env).is_err());
    let known = [&grown[..], &["--rtmp-port", "1935"]].concat();
    assert!(task(&known, &env).is_ok());
}

#[test]
fn the_same_path_at_any_port_of_this_machine_is_the_input_until_the_rtmp_port_is_known() {
    for output in [
        "rtmp://localhost:2935/{path}",
        "rtmp://LOCALHOST:2935/a/b",
        "rtmp://127.0.0.2:2935/a/b",
        "rtmp://[::1]:2935/{path}?pass=s3cret",
        "rtmp://0.0.0.0:2935/a/{name}",
        "rtmps://localhost:2936/{path}",
        // Back and forth between two paths.
        "rtmp://localhost:2935/{2}/{1}",
    ] {
        let env = [("MTX_PATH", "a/b"), ("G1", "a"), ("G2", "b")];
        let message = format!("{:#}", task(&["--output", output], &env).unwrap_err());
        let is_asked_for = message.contains("set RTMP_PORT") || output.starts_with("rtmps");
        assert!(is_asked_for && !message.contains('\n'), "{message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
    for (input, output) in [
        ("rtsp://127.0.0.1:8554/a", "rtmp://localhost:2935/a"),
        ("rtsp://Cam:8554/a", "rtmp://cam:2935/a"),
    ] {
        let args = ["--input", input, "--output", output];
        let message = format!("{:#}", task(&args, &[]).unwrap_err());
        assert!(message.contains("set RTMP_PORT"), "{message}");
        let known = [&args[..], &["--rtmp-port", "1935"]].concat();
        assert!(task(&known, &[]).is_ok());
    }
    for (input, output) in [
        ("rtsp://camera/a", "rtmp://localhost:2935/a"),
        ("rtsp://localhost/a", "rtmp://platform.invalid:2935/a"),
        ("rtsp://localhost/a", "rtmp://localhost:2935/b"),
    ] {
        let args = ["--input", input, "--output", output];
        assert!(task(&args, &[]).is_ok(), "{input} {output}");
    }
}

#[test]
fn a_hook_with_an_input_elsewhere_publishes_to_its_own_path_without_the_inputs_login() {
    let env = [("MTX_PATH", "yard/cam")];
    let input = ["--input", "rtsp://admin:s3cret@cam/s1", "--output"];
    let args = [&input[..], &["rtmp://localhost/{path}"]].concat();
    let (elsewhere, output) = config(&args, &env);
    assert_eq!((&*output.app, &*output.stream_key), ("yard", "cam"));
    assert!(elsewhere.published_at(&output).is_none());
    let login = [("RTSP_USERNAME", "me"), ("RTSP_PASSWORD", "pw")];
    let (_, output) = config(&args, &[&env[..], &login].concat());
    assert_eq!(output.stream_key, "cam?user=me&pass=pw");
    let bare = [
        "--input",
        "rtsp://cam/s1",
        "--output",
        "rtmp://localhost/{path}",
    ];
    let (_, output) = config(&bare, &[&env[..], &login].concat());
    assert_eq!(output.stream_key, "cam");
    let own = ["--input", "rtsp://localhost:8554/s1", "--output"];
    let (own, output) = config(&[&own[..], &["rtmp://localhost/{path}"]].concat(), &env);
    assert!(own.published_at(&output).is_some());
    // The camera's path is as good as any.
    let same = [
        "--input",
        "rtsp://cam/yard/cam",
        "--output",
        "rtmp://localhost/yard/cam",
    ];
    assert!(task(&same, &env).is_ok());
    let grown = [&input[..], &["rtmp://localhost/{path}/out"]].concat();
    assert!(task(&grown, &[("MTX_PATH", "cam/out")]).is_err());
}

#[test]
fn a_hook_can_restream_to_a_platform_beside_its_own_server() {
    let env = [("MTX_PATH", "cam1"), ("RTMP_STREAM_KEY", "secret-key-1")];
    let platform = "rtmps://a.rtmp.youtube.com/live2";
    let args = [
        "--output",
        platform,
        "--output",
        "rtmp://localhost/{path}/out",
    ];
    let (config, destination) = task(&args, &env).unwrap();
    let Destination::Outputs(outputs) = destination else {
        panic!("{destination:?}");
    };
    assert_eq!(
        outputs[0].to_string(),
        "rtmps://a.rtmp.youtube.com:443/live2/***"
    );
    assert_eq!(outputs[0].stream_key, "secret-key-1");
    assert!(config.published_at(&outputs[0]).is_none());
    assert_eq!(outputs[1].to_string(), "rtmp://localhost:1935/cam1/out");
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    const INPUT: [&str; 2] = ["--input", "rtsp://h/live/a/in"];
    let twice = [&INPUT[..], &["--output", "rtmp://h/a/b rtmp://H/a/b?x=1"]].concat();
    let several = [&INPUT[..], &["--output", "rtmp://o/a rtmp://o/b"]].concat();
    let itself = [&INPUT[..], &["--output", "rtmp://h/live/a/in"]].concat();
    let no_file = [&several[..4], &["--key-file", "/nowhere/keys"]].concat();
    let cases: [Case<'_>; 9] = [
        (&twice, &[], "twice"),
        (
            &several,
            &[("RTMP_STREAM_KEY", "k")],
            "goes with one output",
        ),
        (&no_file, &[], "/nowhere/keys"),
        (&itself, &[], "the input itself"),
        (&[], &[], "give --input"),
        (&INPUT, &[], "give --output"),
        (&[], &[("MTX_PATH", "other/a/")], "other/a/"),
        (&[], &[("MTX_PATH", "")], "MTX_PATH is not set"),
        (
            &[],
            &[("MTX_PATH", "live/a/in"), ("RTSP_PORT", "x")],
            "RTSP_PORT",
        ),
    ];
    for (args, env, expected) in cases {
        let message = format!("{:#}", task(args, env).unwrap_err());
        assert!(message.contains(expected), "{message}");
    }
}
