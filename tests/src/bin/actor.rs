//! Does what the tests want to see traced. It waits for a line on standard input first, so that a test can start it,
//! begin to trace, and then let it go on.
//!
//! `actor threads N`: N threads that all wait for each other, then it ends.
//! `actor open N PATH...`: opens and closes each of the files N times, as fast as it can; prints how often it could.
#![expect(clippy::print_stdout, reason = "its answer to the test")]

use std::fs::File;
use std::process::ExitCode;
use std::sync::Barrier;

fn main() -> ExitCode {
    let go = std::io::stdin().read_line(&mut String::new()).is_ok_and(|length| length > 0);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        _ if !go => ExitCode::FAILURE,
        ["threads", count] => threads(count),
        ["open", count, paths @ ..] => open(count, paths),
        _ => ExitCode::FAILURE,
    }
}

fn threads(count: &str) -> ExitCode {
    let Ok(count) = count.parse() else { return ExitCode::FAILURE };
    let barrier = Barrier::new(count);
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| barrier.wait());
        }
    });
    ExitCode::SUCCESS
}

fn open(count: &str, paths: &[&str]) -> ExitCode {
    let Ok(count) = count.parse::<u64>() else { return ExitCode::FAILURE };
    let opened = (0..count).flat_map(|_| paths).filter(|path| File::open(path).is_ok()).count();
    println!("{opened}");
    ExitCode::SUCCESS
}
