//! The example policies are right, and mean what they say.

use super::{Current, Policy, Wanted};
use crate::server::Demand;

fn example(name: &str) -> Current {
    let file = format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let policy: Policy = std::fs::read_to_string(file).unwrap().parse().unwrap();
    Wanted {
        policy: policy.into(),
        ..Wanted::default()
    }
    .now()
}

#[test]
fn development_closes_its_sources_soon() {
    let wanted = example("development.yml");
    for path in ["test", "webcam"] {
        let target = wanted.target(path, &Default::default());
        assert_eq!(target.fields["runOnDemandCloseAfter"], "10s", "{path}");
        assert!(!target.kept);
    }
}

#[test]
fn production_records_its_entrances_all_the_time() {
    let wanted = example("production.yml");
    for path in ["entrance/front", "entrance/garage"] {
        let target = wanted.target(path, &Default::default());
        assert!(target.kept, "{path}");
        assert_eq!(target.fields["record"], true);
        assert_eq!(target.fields["recordSegmentDuration"], "30m");
    }
    let garage = wanted.target("entrance/garage", &Default::default());
    assert_eq!(garage.fields["sourceOnDemandStartTimeout"], "30s");
    assert_eq!(wanted.demand("hall", &Default::default()), Demand::Fetched);
    assert!(!wanted.target("hall", &Default::default()).kept);
}
