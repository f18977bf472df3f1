use super::*;

/// Enough for a thread to be scheduled, and short enough to wait for.
const TIMEOUTS: Timeouts = Timeouts {
    stall: Duration::from_millis(50),
    each: Duration::from_millis(500),
    total: Duration::from_secs(60),
};

fn done<T>(results: Vec<Probed<T>>) -> Vec<T> {
    results.into_iter().filter_map(Probed::done).collect()
}

/// A probe that blocks for multiples of three while the gate is closed.
type Gate = Arc<(Mutex<bool>, Condvar)>;

fn gated(gate: &Gate) -> impl Fn(u32) -> u32 + Clone + Send + Sync + 'static {
    let gate = gate.clone();
    move |pid: u32| {
        if pid.is_multiple_of(3) {
            drop(gate.1.wait_while(gate.0.lock().unwrap(), |open| !*open).unwrap());
        }
        pid
    }
}

fn open(gate: &Gate) {
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
}

fn until_unblocked(probes: &ProbePool) {
    let end = Instant::now() + Duration::from_secs(20);
    while probes.blocked_count() > 0 {
        assert!(Instant::now() < end, "still blocked: {probes:?}");
        thread::yield_now();
    }
}

#[test]
fn blocked_processes_are_skipped_until_they_unblock() {
    let (probes, gate) = (ProbePool::default(), Gate::default());
    let probe = gated(&gate);
    let others = vec![1, 2, 4, 5, 7];
    assert_eq!(done(probes.each_process(1..=7, TIMEOUTS, probe.clone())), others);
    assert_eq!(probes.blocked_count(), 2);
    // A second probe of a blocked process would block another thread.
    let results = probes.each_process([6, 1, 3], TIMEOUTS, probe.clone());
    assert!(matches!(results[..], [Probed::Blocked(_), Probed::Done(1), Probed::Blocked(_)]));
    let no_time = Timeouts { total: Duration::ZERO, ..TIMEOUTS };
    let results = probes.each_process([9, 1], no_time, probe.clone());
    assert!(results.iter().all(|result| !matches!(result, Probed::Done(_))));
    open(&gate);
    until_unblocked(&probes);
    assert_eq!(done(probes.each_process([3, 6], TIMEOUTS, probe)), [3, 6]);
}

#[test]
fn many_blocked_processes_take_no_longer_than_one() {
    let (probes, gate) = (ProbePool::default(), Gate::default());
    let start = Instant::now();
    let all = (0..150).map(|n| 3 * n).chain([1]);
    assert_eq!(done(probes.each_process(all, TIMEOUTS, gated(&gate))), [1]);
    // One after the other they would take 75 s.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    open(&gate);
    until_unblocked(&probes);
}

#[test]
fn a_process_is_probed_by_one_thread_and_its_user_is_blamed_once() {
    let (probes, gate) = (ProbePool::default(), Gate::default());
    let target = |item| Target { pid: 9, uid: Some(1000), item };
    let timeouts = Timeouts { total: Duration::from_millis(1200), ..TIMEOUTS };
    let results = probes.each([3, 6, 1].map(target), timeouts, gated(&gate));
    assert!(matches!(results[0], Probed::Blocked(since) if !since.is_zero()), "{results:?}");
    assert_eq!(results[1..], [Probed::NotStarted, Probed::NotStarted]);
    let end = Instant::now() + Duration::from_secs(20);
    let hung = loop {
        let hung = probes.take_hung();
        if !hung.is_empty() || Instant::now() > end {
            break hung;
        }
    };
    assert_eq!((hung, probes.take_hung()), (vec![1000], vec![]));
    open(&gate);
    until_unblocked(&probes);
}

/// The probe only lacks processor time: its user is not to blame.
#[test]
fn a_probe_that_still_works_is_late_but_not_blocked() {
    let (probes, gate) = (ProbePool::default(), Gate::default());
    let is_over = gate.clone();
    let work = move |pid: u32| {
        while !*is_over.0.lock().unwrap() {}
        pid
    };
    let timeouts = Timeouts { total: Duration::from_millis(100), ..TIMEOUTS };
    let results = probes.each_process([1], timeouts, work);
    open(&gate);
    until_unblocked(&probes);
    assert_eq!(results, [Probed::Blocked(Duration::ZERO)]);
}

#[test]
fn the_number_of_blocked_threads_is_bounded() {
    let probes = ProbePool::default();
    let block = |pid| (pid, BlockedThread { since: Instant::now(), uid: None });
    locked(&probes.0).blocked.extend((0..MAX_BLOCKED as u32).map(|pid| block(1000 + pid)));
    assert_eq!(probes.each_process([1], TIMEOUTS, |pid| pid), [Probed::NotStarted]);
    let target = Target { pid: 1, uid: Some(7), item: 1 };
    assert_eq!(probes.each([target], TIMEOUTS, |item| item), [Probed::Done(1)], "a head");
}
