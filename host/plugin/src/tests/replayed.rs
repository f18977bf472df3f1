//! Replays: plugins use the recording's clock, and the time of failures is not measured.

use std::collections::BTreeMap;

use crypto_tracer_tests::made::Made;

use super::made::{count, plugin_file, setup};
use super::*;
use crypto_tracer_system::clock::Clock;

const SECOND_NS: u64 = 1_000_000_000;

fn replayed(setup: Setup) -> (Plugins, Clock) {
    let clock = Clock::recorded();
    clock.replay_to(0, Some(0));
    (load(&Setup { clock: clock.clone(), ..setup }), clock)
}

/// Makes one call for each of these users. Returns the failures by cause.
fn for_users(plugins: &mut Plugins, uids: std::ops::Range<u32>) -> BTreeMap<String, u64> {
    for uid in uids {
        plugins.classify(uid, &file(&format!("/{uid}.crt")), 0, &mut certificate());
    }
    failures(plugins).into_iter().collect()
}

#[test]
fn a_slow_start_is_repeated_on_the_same_thread() {
    let made = Made { configure: &count(100), classify: "unreachable", ..Made::default() };
    let plugin = plugin_file(&made);
    let limits = Limits {
        setup: Duration::from_secs(60),
        wall: Duration::from_millis(20),
        ..Limits::default()
    };
    let (mut plugins, _) = replayed(setup(&plugin, limits.by_processor()));
    assert_eq!(for_users(&mut plugins, 0..6), BTreeMap::from([("panic".to_owned(), 6)]));
}

#[test]
fn failures_within_the_deadline_are_not_charged() {
    let slow = format!("{} unreachable", count(2));
    let plugin = plugin_file(&Made { classify: &slow, ..Made::default() });
    // The budget is 200 ms in a second. These calls need more in total, but each stays far below its deadline.
    let limits = Limits { deadline: Duration::from_millis(5), ..generous().limits };
    let (mut plugins, _) = replayed(setup(&plugin, limits.by_processor()));
    assert_eq!(for_users(&mut plugins, 0..1000), BTreeMap::from([("panic".to_owned(), 1000)]));
}

#[test]
fn ten_overruns_fit_in_the_budget_of_a_recorded_second() {
    let spec = hostile("spin");
    let limits = Limits::default().by_processor();
    let (mut plugins, clock) = replayed(Setup {
        chains: [(PluginKind::Classifier, vec![spec])].into(),
        limits,
        ..Setup::default()
    });
    for second in 0..2 {
        // The eleventh overrun starts a back-off of one second.
        clock.replay_to(0, Some(2 * second * SECOND_NS));
        let failed = for_users(&mut plugins, 0..20);
        let expected = [("deadline".to_owned(), 11), ("resting".to_owned(), 9)];
        assert_eq!(failed, BTreeMap::from(expected), "{second}");
    }
    clock.replay_to(0, Some(3 * SECOND_NS - 1));
    let failed = for_users(&mut plugins, 100..101);
    assert_eq!(failed, BTreeMap::from([("resting".to_owned(), 1)]));
    clock.replay_to(0, Some(3 * SECOND_NS));
    let failed = for_users(&mut plugins, 101..102);
    assert_eq!(failed, BTreeMap::from([("deadline".to_owned(), 1)]));
}
