//! Routes through which a stream would come back to where it has been.

use mediamtx::path::PathName;

use super::{Filled, Origin, RouteTable, RoutesError, StreamRoute};
use crate::declaration::Servers;

/// Paths that are followed for each route.
const EXAMPLES: usize = 256;
/// What wildcards stand for in them.
const WORDS: usize = 12;
/// Paths that are looked at for each of them.
const STEPS: usize = 256;
/// Comparisons of a path with a pattern, over the whole table: well under a second.
const COMPARISONS: usize = 1_000_000;
/// Those for a route while others are still to come.
const COMPARISONS_OF_LAST: usize = 5_000;

/// Follows example paths of each pattern through all routes, as far as they lead to the same server: none may come to a
/// route a second time. Wildcards stand for what the routes themselves are written with, and for a word that is not in
/// them. What is not found so is stopped when it happens; where there was no time to follow them all, the log says so.
pub(super) fn check(table: &RouteTable, servers: &Servers) -> Result<(), RoutesError> {
    let words = words(&table.0);
    let routes = table.0.len();
    let mut cut = 0;
    for start in 0..routes {
        let mut left = COMPARISONS / routes;
        if !check_route(table, start, &words, servers, &mut left)? {
            cut += 1;
        }
    }
    if cut > 0 {
        log::warn!(
            "{cut} of {routes} routes lead to more paths than were followed: whether they would feed themselves may \
             show only when a stream is blocked"
        );
    }
    Ok(())
}

/// Only for streams that begin at the last route.
pub(super) fn check_last(table: &RouteTable, servers: &Servers) -> Result<(), RoutesError> {
    match table.0.len().checked_sub(1) {
        Some(last) => {
            let mut left = COMPARISONS_OF_LAST;
            check_route(table, last, &words(&table.0), servers, &mut left).map(drop)
        }
        None => Ok(()),
    }
}

/// Whether all was followed: comparisons and steps were enough.
fn check_route(
    table: &RouteTable,
    start: usize,
    words: &[String],
    servers: &Servers,
    left: &mut usize,
) -> Result<bool, RoutesError> {
    let route = &table.0[start].1;
    if results(route, None, servers).next().is_none() {
        return Ok(true);
    }
    // One more than there is time for, so that it is seen where there is none.
    let most = EXAMPLES.min(*left / table.0.len() + 1);
    let mut whole = true;
    for path in route.path.examples(words, most) {
        if !spend(left, table) {
            return Ok(false);
        }
        // Where an earlier route matches, that one's examples tell.
        if table.find(&path).is_some_and(|(number, _)| number == start) {
            whole &= follow(table, path, servers, left)?;
        }
    }
    Ok(whole)
}

/// Whether enough is left to look for a path's route.
fn spend(left: &mut usize, table: &RouteTable) -> bool {
    let after = left.checked_sub(table.0.len());
    *left = after.unwrap_or(0);
    after.is_some()
}

/// A path, and those that it came from with the routes that made it of them.
struct Trail {
    path: PathName,
    before: Vec<(usize, PathName)>,
}

/// Whether all was followed.
fn follow(
    table: &RouteTable,
    path: PathName,
    servers: &Servers,
    left: &mut usize,
) -> Result<bool, RoutesError> {
    let mut trails = vec![Trail {
        path,
        before: Vec::new(),
    }];
    for _ in 0..STEPS {
        let Some(Trail { path, mut before }) = trails.pop() else {
            break;
        };
        if !spend(left, table) {
            return Ok(false);
        }
        let Some((number, route)) = table.find(&path) else {
            continue;
        };
        if before.iter().any(|(known, _)| *known == number) {
            return Err(circle(route, &path, &before));
        }
        let results: Vec<PathName> = results(route, Some(&path), servers).collect();
        before.push((number, path));
        trails.extend(results.into_iter().map(|path| Trail {
            path,
            before: before.clone(),
        }));
    }
    Ok(trails.is_empty())
}

/// Where a route leads to on the same server: of this path, or of any.
fn results<'a>(
    route: &'a StreamRoute,
    path: Option<&'a PathName>,
    servers: &'a Servers,
) -> impl Iterator<Item = PathName> + 'a {
    let groups = match path {
        Some(path) => route.path.groups(path.as_str()).unwrap_or_default(),
        None => vec!["x".to_owned(); route.path.group_count()],
    };
    route.outputs.iter().filter_map(move |output| {
        let any = "x".parse().ok();
        let filled = output.fill(path.or(any.as_ref())?, &groups).ok()?;
        match filled {
            Filled::Path(path) => Some(path),
            Filled::Url(output) => servers.path(&output),
        }
    })
}

fn circle(route: &StreamRoute, path: &PathName, before: &[(usize, PathName)]) -> RoutesError {
    let trail: Vec<&str> = before
        .iter()
        .map(|(_, path)| path)
        .chain([path])
        .map(PathName::as_str)
        .collect();
    RoutesError::new(format!(
        "route {route} would be fed by itself: {}; name the output so that no route matches it",
        trail.join(" => ")
    ))
}

/// A word that stands in no route, and the segments that do.
fn words(routes: &[(Origin, StreamRoute)]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for (_, route) in routes {
        texts.push(route.path.to_string());
        let outputs = route.outputs.iter();
        texts.extend(outputs.map(|output| output.url_path().as_str().to_owned()));
    }
    let mut fresh = "x1".to_owned();
    while texts.iter().any(|text| text.contains(&fresh)) {
        fresh.push('1');
    }
    let mut words = vec![fresh];
    for segment in texts.iter().flat_map(|text| text.split('/')) {
        let literal = !segment.is_empty() && !segment.contains(['*', '?', '[', '{']);
        if literal && words.len() < WORDS && !words.iter().any(|known| known == segment) {
            words.push(segment.to_owned());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::Layers;
    use super::*;

    fn servers() -> Servers {
        Servers {
            rtsp: "rtsp://127.0.0.1:8554".parse().unwrap(),
            rtmp: "rtmp://127.0.0.1:1935".parse().unwrap(),
        }
    }

    fn table(routes: &[&str]) -> Result<RouteTable, RoutesError> {
        let layers = Layers {
            flags: routes.iter().map(|text| text.parse().unwrap()).collect(),
            ..Layers::default()
        };
        RouteTable::new(&layers, &servers())
    }

    #[test]
    fn routes_that_would_feed_themselves_are_refused() {
        for routes in [
            &["** => {path}/out"][..],
            &["** => copy/{path}"],
            &["cam => cam"],
            &["cam/* => cam/{1}-small"],
            &["** => rtmp://localhost:1935/copy/{path}"],
            &["** => rtmp://[::1]/copy/{path}"],
            &["** => rtmp://127.0.0.7/{path}/x"],
            &["a/* => b/*", "b/* => a/*"],
            &["a => b", "b => c", "c => rtmp://h/x/y a"],
            &["cam/* => {1}/in", "*/in => cam/*"],
        ] {
            let message = table(routes).unwrap_err().to_string();
            assert!(
                message.contains("fed by itself") && message.contains(" => "),
                "{message}"
            );
        }
    }

    #[test]
    fn routes_that_lead_on_are_taken() {
        for routes in [
            &["live/*/in => live/*/out"][..],
            &["** => rtmp://backup/{path}"],
            &["live/** => rtmp://127.0.0.1:1936/live/{1}"],
            &["*/in => */mid", "*/mid => */out"],
            &["copy/** => rtmp://backup/{path}", "** => copy/{path}"],
            &["a => b c", "b => d", "c => d"],
        ] {
            table(routes).unwrap();
        }
    }

    #[test]
    fn many_routes_that_lead_to_many_paths_are_checked_at_once() {
        let route = |number| -> StreamRoute {
            let text = format!(
                "**/*/{number}/*/** => a/{{1}} b/{{1}} c/{{1}} d/{{1}} e/{{1}} f/{{1}} g/{{1}} h/{{1}}"
            );
            text.parse().unwrap()
        };
        let layers = Layers {
            flags: (0..200).map(route).collect(),
            ..Layers::default()
        };
        let start = std::time::Instant::now();
        let _ = RouteTable::new(&layers, &servers());
        assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    }

    /// Whether some short path comes to a route twice, found by trying all of them.
    fn comes_back(table: &RouteTable, path: &PathName, been: &BTreeSet<usize>) -> bool {
        let Some((number, route)) = table.find(path) else {
            return false;
        };
        if been.contains(&number) {
            return true;
        }
        let mut been = been.clone();
        been.insert(number);
        let servers = servers();
        results(route, Some(path), &servers).any(|path| comes_back(table, &path, &been))
    }

    fn short_paths() -> Vec<PathName> {
        let words = ["a", "b", "c"];
        let one = words.map(str::to_owned).to_vec();
        let two: Vec<String> = one
            .iter()
            .flat_map(|first| words.map(|second| format!("{first}/{second}")))
            .collect();
        let all = one.iter().chain(&two).cloned();
        all.map(|text| text.parse().unwrap()).collect()
    }

    proptest! {
        #[test]
        fn no_short_path_comes_back_where_the_routes_are_taken(
            routes in prop::collection::vec(
                ("(a|b|\\*|\\*\\*|a/\\*|\\*/b|\\*\\*/a)", "(a|b|c|\\{name\\}|a/\\{name\\}|\\{path\\}|b/\\{path\\}|\\{name\\}/b)"),
                1..4,
            ),
        ) {
            let texts = routes.iter().map(|(path, output)| format!("{path} => {output}"));
            let texts: Vec<String> = texts.filter(|text| text.parse::<StreamRoute>().is_ok()).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            match table(&texts) {
                Ok(table) => for path in short_paths() {
                    prop_assert!(!comes_back(&table, &path, &BTreeSet::new()), "{texts:?} {path}");
                },
                // What is named does come back.
                Err(error) => {
                    let message = error.to_string();
                    let trail = message.split("itself: ").nth(1).unwrap().split(';').next().unwrap();
                    let trail: Vec<PathName> = trail.split(" => ").map(|path| path.parse().unwrap()).collect();
                    let layers = texts.iter().map(|text| (Origin::Flag, text.parse().unwrap()));
                    let table = RouteTable(layers.collect());
                    for step in trail.windows(2) {
                        let (_, route) = table.find(&step[0]).unwrap();
                        let servers = servers();
                        let mut made = results(route, Some(&step[0]), &servers);
                        prop_assert!(made.any(|path| path == step[1]), "{message}");
                    }
                    prop_assert!(comes_back(&table, &trail[0], &BTreeSet::new()), "{message}");
                }
            }
        }
    }
}
