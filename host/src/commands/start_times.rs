//! Durations of the parts of a start, for `--verbose`.

use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use crypto_tracer_capture::StartTimes as CaptureTimes;

/// Durations of the parts of a start, in their order. They have no gaps between them.
#[derive(Debug)]
pub(super) struct StartTimes {
    begun: Instant,
    parts: Vec<(&'static str, Duration)>,
}

impl StartTimes {
    /// Begins with the first part.
    pub(super) fn begin() -> StartTimes {
        StartTimes { begun: Instant::now(), parts: Vec::new() }
    }

    /// Ends a part.
    pub(super) fn end(&mut self, part: &'static str) {
        self.parts.push((part, self.rest()));
    }

    /// Ends the part that started the kernel side, which consists of several.
    pub(super) fn end_capture(&mut self, times: CaptureTimes) {
        let CaptureTimes { types, verification, attach } = times;
        let maps = self.rest().saturating_sub(types + verification + attach);
        self.parts.extend([
            ("kernel types", types),
            ("BPF maps", maps),
            ("BPF verification", verification),
            ("attaching", attach),
        ]);
    }

    /// Time that no part has.
    fn rest(&self) -> Duration {
        let counted: Duration = self.parts.iter().map(|(_, time)| *time).sum();
        self.begun.elapsed().saturating_sub(counted)
    }
}

impl Display for StartTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "the start took {:.1} ms", ms(self.parts.iter().map(|(_, time)| *time).sum()))?;
        let mut separator = ": ";
        for (part, time) in &self.parts {
            write!(f, "{separator}{part} {:.1} ms", ms(*time))?;
            separator = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_no_gaps() {
        let mut times = StartTimes::begin();
        std::thread::sleep(Duration::from_millis(3));
        times.end("plugins");
        std::thread::sleep(Duration::from_millis(2));
        let ms = Duration::from_millis(1);
        times.end_capture(CaptureTimes { verification: ms, ..CaptureTimes::default() });
        let total: Duration = times.parts.iter().map(|(_, time)| *time).sum();
        assert!(total >= 5 * ms && total <= times.begun.elapsed());
        let text = times.to_string();
        assert!(text.starts_with("the start took ") && text.contains(": plugins "), "{text}");
        assert!(text.contains(", BPF verification 1.0 ms, attaching 0.0 ms"), "{text}");
    }
}
