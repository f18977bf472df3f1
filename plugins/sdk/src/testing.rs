//! Files, events and texts for native tests of a plugin's rules.
//!
//! ```
//! use crypto_tracer_plugin::{Classifier, File, Interest, Verdict, serde_json::Value, testing};
//!
//! struct Hsm;
//!
//! impl Classifier for Hsm {
//!     fn new(_: Value, interest: &Interest) -> Result<Hsm, String> {
//!         interest.file_suffix(".hsmslot");
//!         Ok(Hsm)
//!     }
//!
//!     fn classify(&self, file: &File) -> Option<Verdict> {
//!         file.path().ends_with(".hsmslot").then(|| Verdict::other("hsm_slot"))
//!     }
//! }
//!
//! let (hsm, interest) = testing::classifier::<Hsm, _>("{}").unwrap();
//! assert_eq!(interest.file_suffixes(), [".hsmslot"]);
//! assert_eq!(hsm.classify(&testing::File::new("/a.hsmslot")), Some(Verdict::other("hsm_slot")));
//! assert_eq!(hsm.classify(&testing::File::new("/a.pem")), None);
//! ```
//!
//! The built component is tested with `crypto-tracer plugin test`.

use std::cell::RefCell;
use std::ops::Deref;

use serde::de::DeserializeOwned;

use crate::{Classifier, Filter, Redactor, fake};

/// Reads a configuration as a component does.
///
/// # Errors
/// The text that the tracer would print.
pub fn config<C: DeserializeOwned>(json: &str) -> Result<C, String> {
    crate::read_config(json)
}

/// Configures a classifier, and returns the interest that it declared.
///
/// # Errors
/// The text that the tracer would print: the configuration does not fit its type, `new` refuses it, or an entry of the interest
/// is outside its bounds.
pub fn classifier<T: Classifier<C>, C: DeserializeOwned>(
    json: &str,
) -> Result<(T, Interest), String> {
    let interest = Interest::default();
    let plugin = T::new(config(json)?, &interest)?;
    interest.check()?;
    Ok((plugin, interest))
}

/// Configures a redactor.
///
/// # Errors
/// The text that the tracer would print.
pub fn redactor<T: Redactor<C>, C: DeserializeOwned>(json: &str) -> Result<T, String> {
    T::new(config(json)?)
}

/// Configures a filter.
///
/// # Errors
/// The text that the tracer would print.
pub fn filter<T: Filter<C>, C: DeserializeOwned>(json: &str) -> Result<T, String> {
    T::new(config(json)?)
}

/// A file. It derefs to [`crate::File`].
#[derive(Clone, Debug)]
pub struct File(fake::File);

impl File {
    /// An empty file.
    pub fn new(path: impl AsRef<[u8]>) -> File {
        File(fake::File {
            path: path.as_ref().to_owned(),
            size: Some(0),
            head: Vec::new(),
            stat: [("size".to_owned(), 0)].into(),
            filesystem: None,
            blocks: Vec::new(),
            skipped: false.into(),
        })
    }

    /// Sets the head, as the host gives it: without secrets. The size becomes that of the head.
    #[must_use]
    pub fn with_head(mut self, head: impl AsRef<[u8]>) -> File {
        self.0.head = head.as_ref().to_owned();
        self.with_size(head.as_ref().len() as u64)
    }

    /// Sets the size in bytes.
    #[must_use]
    pub fn with_size(mut self, size: u64) -> File {
        self.0.size = Some(size);
        self.with_stat("size", size)
    }

    /// Sets a fact by its name in [`crate::File::stat`].
    #[must_use]
    pub fn with_stat(mut self, name: &str, value: u64) -> File {
        self.0.stat.insert(name.to_owned(), value);
        self
    }

    /// Sets owner, group and mode, for example `0o640`.
    #[must_use]
    pub fn owned(self, uid: u32, gid: u32, mode: u32) -> File {
        const REGULAR: u32 = 0o100_000;
        let file = self.with_stat("uid", uid.into()).with_stat("gid", gid.into());
        file.with_stat("mode", (mode | REGULAR).into())
    }

    /// Sets the type of the file system.
    #[must_use]
    pub fn on(mut self, filesystem: &str) -> File {
        self.0.filesystem = Some(filesystem.to_owned());
        self
    }

    /// Adds a PEM block. `encrypted`: as in [`crate::PemBlock`].
    #[must_use]
    pub fn with_block(mut self, label: &str, encrypted: Option<bool>) -> File {
        self.0.blocks.push(fake::PemBlock { label: label.to_owned(), encrypted });
        self
    }

    /// Whether the classifier skipped the file.
    pub fn is_skipped(&self) -> bool {
        self.0.skipped.get()
    }

    /// The file no longer exists: it has no size, no content and only the facts that the kernel reported with the open.
    #[must_use]
    pub fn gone(mut self) -> File {
        (self.0.size, self.0.head, self.0.blocks) = (None, Vec::new(), Vec::new());
        let reported = ["inode", "device", "changed", "size"];
        self.0.stat.retain(|name, _| reported.contains(&name.as_str()));
        self
    }
}

impl Deref for File {
    type Target = fake::File;

    fn deref(&self) -> &fake::File {
        &self.0
    }
}

/// An event. It derefs to [`crate::Event`].
#[derive(Clone, Debug)]
pub struct Event(fake::Event);

impl Event {
    /// An event of this type, by process 1000 of user 1000 with the name `test`.
    pub fn new(event_type: &str) -> Event {
        Event(fake::Event {
            event_type: event_type.to_owned(),
            timestamp: 1_700_000_000_000_000,
            pid: 1000,
            uid: 1000,
            process: "test".to_owned(),
            exe: None,
            container: None,
            fields: [("ppid".to_owned(), "1".to_owned())].into(),
            start: 0,
            numbers: [("tid".to_owned(), 1000)].into(),
            ancestors: Vec::new(),
            removed: RefCell::default(),
        })
    }

    /// An open of a file for reading.
    pub fn file_open(file: &str, file_type: &str) -> Event {
        let event = Event::new("file_open").with_field("file", file);
        event.with_field("file_type", file_type).with_field("flags", "O_RDONLY")
    }

    /// A load of a library.
    pub fn lib_load(library: &str, name: &str) -> Event {
        Event::new("lib_load").with_field("library", library).with_field("library_name", name)
    }

    /// A start of a program.
    pub fn process_exec(cmdline: &str) -> Event {
        Event::new("process_exec").with_field("cmdline", cmdline)
    }

    /// An end of a process.
    pub fn process_exit(code: i32) -> Event {
        Event::new("process_exit").with_field("exit_code", &code.to_string())
    }

    /// Sets microseconds since 1970.
    #[must_use]
    pub fn at(mut self, timestamp: u64) -> Event {
        self.0.timestamp = timestamp;
        self
    }

    /// Sets the process id.
    #[must_use]
    pub fn with_pid(mut self, pid: u32) -> Event {
        self.0.pid = pid;
        self
    }

    /// Sets the user id.
    #[must_use]
    pub fn with_uid(mut self, uid: u32) -> Event {
        self.0.uid = uid;
        self
    }

    /// Sets the name of the process and its executable.
    #[must_use]
    pub fn by(mut self, process: &str, exe: &str) -> Event {
        self.0.process = process.to_owned();
        self.0.exe = Some(exe.to_owned());
        self
    }

    /// Sets the name of the process; its executable is unknown.
    #[must_use]
    pub fn by_unknown(mut self, process: &str) -> Event {
        self.0.process = process.to_owned();
        self.0.exe = None;
        self
    }

    /// Sets the id of the container.
    #[must_use]
    pub fn in_container(mut self, id: &str) -> Event {
        self.0.container = Some(id.to_owned());
        self
    }

    /// Sets a field by its documented name, for example `flags`.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: &str) -> Event {
        self.0.fields.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets a numeric field that has no text, for example `inode`.
    #[must_use]
    pub fn with_number(mut self, name: &str, value: i64) -> Event {
        self.0.numbers.insert(name.to_owned(), value);
        self
    }

    /// Sets the start time of the process in clock ticks.
    #[must_use]
    pub fn started_at(mut self, ticks: u64) -> Event {
        self.0.start = ticks;
        self
    }

    /// Adds the parent or, in further calls, the parent of the last one that was added.
    #[must_use]
    pub fn child_of(mut self, ancestor: Ancestor) -> Event {
        if self.0.ancestors.is_empty() {
            self = self.with_field("ppid", &ancestor.0.pid.to_string());
        }
        self.0.ancestors.push(ancestor.0);
        self
    }

    /// The labels that the filter has removed, in alphabetical order.
    pub fn removed_labels(&self) -> Vec<String> {
        self.0.removed.borrow().iter().cloned().collect()
    }

    /// Sets a label.
    #[must_use]
    pub fn with_label(self, name: &str, value: &str) -> Event {
        self.with_field(&format!("labels.{name}"), value)
    }
}

impl Deref for Event {
    type Target = fake::Event;

    fn deref(&self) -> &fake::Event {
        &self.0
    }
}

/// An ancestor for [`Event::child_of`].
#[derive(Clone, Debug)]
pub struct Ancestor(fake::Ancestor);

impl Ancestor {
    /// A process of root, started at boot.
    pub fn new(pid: u32, process: &str, exe: &str) -> Ancestor {
        let (process, exe) = (process.to_owned(), Some(exe.to_owned()));
        Ancestor(fake::Ancestor { pid, uid: 0, process, exe, start: 0 })
    }

    /// Sets the user id.
    #[must_use]
    pub fn with_uid(mut self, uid: u32) -> Ancestor {
        self.0.uid = uid;
        self
    }

    /// Sets the start time in clock ticks.
    #[must_use]
    pub fn started_at(mut self, ticks: u64) -> Ancestor {
        self.0.start = ticks;
        self
    }

    /// The executable is not known.
    #[must_use]
    pub fn without_exe(mut self) -> Ancestor {
        self.0.exe = None;
        self
    }
}

/// A text. It derefs to [`crate::Text`].
#[derive(Clone, Debug)]
pub struct Text(fake::Text);

impl Text {
    /// A text of a field, for example `file`.
    pub fn new(field: &str, value: &str) -> Text {
        let (field, value) = (field.to_owned(), value.to_owned());
        Text(fake::Text { field, value, arguments: Vec::new() })
    }

    /// A command line. Its value is the arguments, joined by spaces.
    pub fn command_line(arguments: &[&str]) -> Text {
        Text(fake::Text {
            field: "cmdline".to_owned(),
            value: arguments.join(" "),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        })
    }
}

impl Deref for Text {
    type Target = fake::Text;

    fn deref(&self) -> &fake::Text {
        &self.0
    }
}

/// The interest that a classifier declared. It derefs to [`crate::Interest`].
#[derive(Clone, Debug, Default)]
pub struct Interest(fake::Interest);

impl Interest {
    fn of(&self, what: &str) -> Vec<String> {
        let added = self.0.added.borrow();
        added.iter().filter(|(kind, _)| *kind == what).map(|(_, text)| text.clone()).collect()
    }

    /// The suffixes, in the order of the calls.
    pub fn file_suffixes(&self) -> Vec<String> {
        self.of("file-suffix")
    }

    /// The names, in the order of the calls.
    pub fn file_names(&self) -> Vec<String> {
        self.of("file-name")
    }

    /// The prefixes, in the order of the calls.
    pub fn file_prefixes(&self) -> Vec<String> {
        self.of("file-prefix")
    }

    /// The libraries, in the order of the calls.
    pub fn libraries(&self) -> Vec<String> {
        self.of("library")
    }

    /// Checks the bounds of each entry.
    fn check(&self) -> Result<(), String> {
        for (what, text) in self.0.added.borrow().iter() {
            let bytes = match *what {
                "file-name" => 1..=31,
                "library" => 3..=31,
                _ => 3..=15,
            };
            if !bytes.contains(&text.len()) {
                return Err(format!(
                    "the {what} {text:?} has {} bytes, but {} to {} are allowed",
                    text.len(),
                    bytes.start(),
                    bytes.end()
                ));
            }
            if *what == "file-suffix" && !text.is_ascii() {
                return Err(format!("the {what} {text:?} is not ASCII"));
            }
        }
        Ok(())
    }
}

impl Deref for Interest {
    type Target = fake::Interest;

    fn deref(&self) -> &fake::Interest {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decision, Verdict};

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        suffix: String,
    }

    struct Slots(String);

    impl Classifier<Config> for Slots {
        fn new(config: Config, interest: &crate::Interest) -> Result<Slots, String> {
            interest.file_suffix(&config.suffix);
            Ok(Slots(config.suffix))
        }

        fn classify(&self, file: &crate::File) -> Option<Verdict> {
            let word = String::from_utf8_lossy(&file.head(4)).into_owned();
            let size = file.size()?.to_string();
            let is_slot = file.path().ends_with(&self.0);
            is_slot.then(|| Verdict::other("slot").label("word", word).label("size", size))
        }
    }
    crate::classifier!(Slots);

    impl Redactor<Config> for Slots {
        fn new(config: Config) -> Result<Slots, String> {
            Ok(Slots(config.suffix))
        }

        fn redact(&self, text: &crate::Text) -> Option<String> {
            let last = text.arguments().pop().unwrap_or_else(|| text.value());
            last.ends_with(&self.0).then(|| format!("{}:slot", text.field()))
        }
    }
    crate::redactor!(Slots);

    struct First(u32);

    impl Filter for First {
        fn new(_: serde_json::Value) -> Result<First, String> {
            Ok(First(0))
        }

        fn decide(&mut self, event: &crate::Event) -> Decision {
            self.0 += 1;
            crate::log!(debug, "event {}", self.0);
            match (self.0, event.exit_code()) {
                (1, Some(code)) => Decision::label("code", code.to_string()),
                _ if event.writes() => Decision::Keep,
                _ => Decision::Drop,
            }
        }
    }
    crate::filter!(First);

    #[test]
    fn a_classifier_runs_natively() {
        let (slots, interest) = classifier::<Slots, _>(r#"{"suffix": ".slot"}"#).unwrap();
        assert_eq!(interest.file_suffixes(), [".slot"]);
        let verdict = slots.classify(&File::new("/a.slot").with_head("0123456")).unwrap();
        assert_eq!(verdict, Verdict::other("slot").label("word", "0123").label("size", "7"));
        assert_eq!(slots.classify(&File::new("/a.slot").gone()), None);
        assert_eq!(slots.classify(&File::new(b"/\xff").with_size(9)), None);
        assert_eq!(File::new(b"/\xff").path_bytes(), b"/\xff");
    }

    #[test]
    fn files_have_their_facts() {
        let file = File::new("/a").owned(33, 4, 0o640).with_stat("inode", 7).with_size(9).on("xfs");
        assert_eq!(
            (file.owner(), file.group(), file.permissions()),
            (Some(33), Some(4), Some(0o640))
        );
        assert_eq!(
            (file.stat("inode"), file.stat("size"), file.stat("mod")),
            (Some(7), Some(9), None)
        );
        assert_eq!(file.filesystem().as_deref(), Some("xfs"));
        let gone = file.gone();
        assert_eq!((gone.owner(), gone.permissions(), gone.stat("inode")), (None, None, Some(7)));
        assert_eq!(File::new("/a").filesystem(), None);
        let file = File::new("/a").with_block("PRIVATE KEY", Some(false));
        assert_eq!(file.blocks()[0].encrypted, Some(false));
        assert!(file.gone().blocks().is_empty());
    }

    #[test]
    fn configurations_are_refused_as_the_tracer_does() {
        let refused = |json| classifier::<Slots, Config>(json).map(|_| ()).unwrap_err();
        let problem = refused(r#"{"sufix": ".slot"}"#);
        assert_eq!(problem, "unknown field `sufix`, expected `suffix`");
        assert_eq!(refused("{}"), "missing field `suffix`");
        assert!(refused(r#"{"suffix": ".a"}"#).contains("2 bytes, but 3 to 15"));
        assert!(refused(r#"{"suffix": ".äöü"}"#).contains("not ASCII"));
    }

    #[test]
    fn a_redactor_runs_natively() {
        let slots = redactor::<Slots, _>(r#"{"suffix": ".slot"}"#).unwrap();
        assert_eq!(slots.redact(&Text::new("file", "/a.slot")).unwrap(), "file:slot");
        assert_eq!(slots.redact(&Text::new("file", "/a")), None);
        let command = Text::command_line(&["cat", "/a.slot"]);
        assert_eq!(slots.redact(&command).unwrap(), "cmdline:slot");
        assert_eq!(command.value(), "cat /a.slot");
    }

    #[test]
    fn a_filter_keeps_state() {
        let mut first = filter::<First, _>("{}").unwrap();
        assert_eq!(first.decide(&Event::process_exit(3)), Decision::label("code", "3"));
        assert_eq!(first.decide(&Event::process_exit(3)), Decision::Drop);
        let open = Event::file_open("/a.key", "private_key").with_field("flags", "O_RDWR");
        assert_eq!(first.decide(&open), Decision::Keep);
    }

    #[test]
    fn events_have_their_fields() {
        let event = Event::lib_load("/usr/lib/libssl.so.3", "libssl").at(7).with_pid(8);
        let event = event.with_uid(9).by("nginx", "/usr/sbin/nginx").in_container("abc");
        let event = event.with_label("team", "blue").with_field("ppid", "6");
        assert_eq!((event.timestamp(), event.pid(), event.uid()), (7, 8, 9));
        assert_eq!(
            (event.process(), event.exe()),
            ("nginx".into(), Some("/usr/sbin/nginx".into()))
        );
        assert_eq!(
            (event.container(), event.label("team")),
            (Some("abc".into()), Some("blue".into()))
        );
        assert_eq!(
            (event.file(), event.library_name()),
            (Some("/usr/lib/libssl.so.3".into()), Some("libssl".into()))
        );
        assert_eq!((event.file_type(), event.cmdline(), event.ppid()), (None, None, Some(6)));
        assert_eq!(Event::process_exec("a b").by_unknown("a").exe(), None);
    }

    #[test]
    fn events_have_ancestors() {
        let sshd = Ancestor::new(80, "sshd", "/usr/sbin/sshd").started_at(5);
        let shell = Ancestor::new(90, "sh", "/bin/sh").with_uid(7).without_exe();
        let event = Event::process_exec("cat").started_at(9).child_of(shell).child_of(sshd);
        let names: Vec<_> = event.ancestors().map(|it| (it.level(), it.process())).collect();
        assert_eq!(names, [(1, Some("sh".into())), (2, Some("sshd".into()))]);
        let [shell, sshd] = event.ancestors().collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!((shell.pid(), shell.uid(), shell.exe()), (Some(90), Some(7), None));
        assert_eq!(sshd.exe().as_deref(), Some("/usr/sbin/sshd"));
        assert_eq!((sshd.start(), sshd.key()), (Some(5), Some("80:5".into())));
        assert_eq!((event.process_key(), event.ppid()), ("1000:9".into(), Some(90)));
        for (level, name) in [(0, "pid"), (3, "pid"), (u32::MAX, "pid"), (1, "comm"), (1, "")] {
            assert_eq!(event.ancestor(level, name), None, "{level} {name}");
        }
    }

    #[test]
    fn events_have_numbers() {
        let event = Event::file_open("/a", "unknown").at(5).with_number("inode", 77);
        let numbers = ["timestamp", "pid", "tid", "uid", "ppid", "inode", "exit_code", "file"];
        let numbers = numbers.map(|name| event.number(name));
        let expected = [Some(5), Some(1000), Some(1000), Some(1000), Some(1), Some(77), None, None];
        assert_eq!(numbers, expected);
        assert_eq!(Event::process_exit(3).started_at(8).number("exit_code"), Some(3));
    }

    #[test]
    fn a_removed_label_is_not_seen_again() {
        let event = Event::file_open("/a", "unknown").with_label("a", "1").with_label("b", "2");
        event.remove_label("a");
        event.remove_label("c");
        assert_eq!((event.label("a"), event.label("b")), (None, Some("2".into())));
        assert_eq!(event.removed_labels(), ["a"]);
    }
}
