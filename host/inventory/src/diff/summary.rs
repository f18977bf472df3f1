//! The comparison as text for people.

use std::fmt::Write as _;

use crypto_tracer_event::counted::counted;
use crypto_tracer_event::printable::printable;
use crypto_tracer_output::document::Document;

use super::document::{Diff, Verdict};

impl Document for Diff {
    fn summary(&self) -> String {
        let mut text = format!(
            "{}: {} known, {} not known; {} {}\n",
            printable(&self.used.file),
            counted(self.used_and_known.len(), "used asset"),
            self.used_but_not_known.len(),
            counted(self.known_but_not_used.len(), "known asset"),
            if self.used.complete { "not used" } else { "not seen" },
        );
        let _ = writeln!(text, "known: {} ({})", printable(&self.known.file), self.known.format);
        for reason in &self.used.incomplete_because {
            let _ = writeln!(text, "not seen does not mean not used: {}", printable(reason));
        }
        for it in &self.not_compared {
            let _ = writeln!(text, "not compared ({}): {}", it.count, printable(&it.reason));
        }
        for (title, list) in [
            ("Used but not known", &self.used_but_not_known),
            ("Used and known", &self.used_and_known),
        ] {
            if !list.is_empty() {
                let _ = writeln!(text, "\n{title}");
            }
            for asset in list {
                let paths = asset.paths.iter().map(|path| printable(path)).collect::<Vec<_>>();
                let _ = writeln!(
                    text,
                    "  {:<12} {}  {}",
                    asset.kind.name(),
                    printable(&asset.name),
                    paths.join(", ")
                );
                let programs: Vec<_> = asset.programs.iter().map(|it| printable(it)).collect();
                let hosts: Vec<_> = asset.hosts.iter().map(|it| printable(it)).collect();
                let on = if hosts.is_empty() { "" } else { " on " };
                let more = match asset.more {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let count = counted(asset.count, "time");
                let by = programs.join(", ");
                let _ =
                    writeln!(text, "               {count} by {by}{on}{}{more}", hosts.join(", "));
            }
        }
        if let Some(first) = self.known_but_not_used.first() {
            let title = match first.verdict {
                Verdict::NotUsed => "Known but not used",
                Verdict::NotSeen => "Known but not seen",
            };
            let _ = writeln!(text, "\n{title}");
        }
        for asset in &self.known_but_not_used {
            let paths = asset.paths.iter().map(|path| printable(path)).collect::<Vec<_>>();
            let (kind, name) = (asset.kind.name(), printable(&asset.name));
            let _ = writeln!(text, "  {kind:<12} {name}  {}", paths.join(", "));
        }
        text
    }
}
