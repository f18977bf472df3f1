//! In a replay it is as late as the recording says, and what failures take is not measured.

use std::collections::BTreeMap;

use crypto_tracer_tests::made::Made;

use super::made::{count, place, setup};
use super::*;
use crypto_tracer_system::clock::Clock;

const SECOND_NS: u64 = 1_000_000_000;

fn replayed(setup: Setup) -> (Plugins, Clock) {
    let clock = Clock::recorded();
    clock.replay_to(0, Some(0));
    (load(&Setup { clock: clock.clone(), ..setup }), clock)
}

/// One call for each of so many users, none of whom made it fail before.
fn for_users(plugins: &mut Plugins, uids: std::ops::Range<u32>) -> BTreeMap<String, u64> {
    for uid in uids {
        plugins.classify(uid, &file(&format!("/{uid}.crt")), 0, &mut certificate());
    }
    failures(plugins).into_iter().collect()
}

#[test]
fn a_slow_start_is_waited_for() {
    let made = Made { configure: &count(100), classify: "unreachable", ..Made::default() };
    let place = place(&made);
    let limits = Limits {
        setup: Duration::from_secs(60),
        wall: Duration::from_millis(20),
        ..Limits::default()
    };
    let (mut plugins, _) = replayed(setup(&place, limits.by_processor()));
    assert_eq!(for_users(&mut plugins, 0..6), BTreeMap::from([("panic".to_owned(), 6)]));
}

#[test]
fn what_fails_in_time_is_borne_however_long_it_took() {
    let slow = format!("{} unreachable", count(2));
    let place = place(&Made { classify: &slow, ..Made::default() });
    // Two hundred milliseconds are all there may be in a second; these take longer, each far from its deadline.
    let limits = Limits { deadline: Duration::from_millis(5), ..patient().limits };
    let (mut plugins, _) = replayed(setup(&place, limits.by_processor()));
    assert_eq!(for_users(&mut plugins, 0..1000), BTreeMap::from([("panic".to_owned(), 1000)]));
}

#[test]
fn what_overruns_is_borne_ten_times_in_a_second_of_the_recording() {
    let spec = hostile("spin");
    let limits = Limits::default().by_processor();
    let (mut plugins, clock) =
        replayed(Setup { classifiers: vec![spec], limits, ..Setup::default() });
    for second in 0..2 {
        // It rests for one after the eleventh.
        clock.replay_to(0, Some(2 * second * SECOND_NS));
        let told = for_users(&mut plugins, 0..20);
        let expected = [("deadline".to_owned(), 11), ("resting".to_owned(), 9)];
        assert_eq!(told, BTreeMap::from(expected), "{second}");
    }
    clock.replay_to(0, Some(3 * SECOND_NS - 1));
    let told = for_users(&mut plugins, 100..101);
    assert_eq!(told, BTreeMap::from([("resting".to_owned(), 1)]));
    clock.replay_to(0, Some(3 * SECOND_NS));
    let told = for_users(&mut plugins, 101..102);
    assert_eq!(told, BTreeMap::from([("deadline".to_owned(), 1)]));
}
