//! The versions of MediaMTX that tests run on.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mediamtx::version::{Version, tried_versions};

/// The pinned version.
pub const PINNED: Version = Version::release(1, 19, 3);

/// Those to test: the oldest, the pinned and the newest; with `MTX_TEST_VERSIONS=all`, every one; with a list such as
/// `MTX_TEST_VERSIONS=v1.14.0,v1.20.1`, these.
///
/// # Panics
/// When the variable names something else.
pub fn versions() -> Vec<Version> {
    let all: Vec<Version> = tried_versions().cloned().collect();
    match env::var("MTX_TEST_VERSIONS").as_deref() {
        Ok("all") => all,
        Ok(list) if !list.is_empty() => list
            .split(',')
            .map(|text| text.parse().expect("a version"))
            .collect(),
        _ => {
            let ends = [all.first(), Some(&PINNED), all.last()];
            ends.into_iter().flatten().cloned().collect()
        }
    }
}

/// Runs a test on one version after the other; whatever fails, all of them.
///
/// # Panics
/// When it failed on one of them.
pub fn on_every_version(test: impl Fn(&Version)) {
    let mut failed = vec![];
    let mut last = None;
    for version in versions() {
        eprintln!("--- on MediaMTX {version}");
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(&version))) {
            failed.push(version.to_string());
            last = Some(panic);
        }
    }
    if let Some(panic) = last {
        eprintln!("--- failed on MediaMTX {}", failed.join(", "));
        resume_unwind(panic);
    }
}
