//! The configuration file: what the command line leaves open.

mod file;
mod units;

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::nearest::nearest;
use crypto_tracer_plugin::{Limits, OnFailure, PluginSpec, SITE, Setup, Trust};
use crypto_tracer_system::shutdown::Shutdown;

/// Bytes of a configuration file.
const MOST_BYTES: u64 = 1 << 20;

/// What the file says; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The chain of classifiers. None: the bundled one.
    pub classifiers: Option<Vec<PluginSpec>>,
    /// The chain of redactors. None: the bundled one.
    pub redactors: Option<Vec<PluginSpec>>,
    /// The chain of filters. None: there are none.
    pub filters: Option<Vec<PluginSpec>>,
    /// Of every plugin.
    pub limits: Limits,
    /// What a failed call does to the run.
    pub on_failure: OnFailure,
    /// `[capture]`
    pub capture: CaptureConfig,
    /// `[output]`
    pub output: OutputFile,
}

/// `[capture]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureConfig {
    /// Bytes of the ring buffer: a power of two.
    pub ring_bytes: Option<u32>,
    /// The probe to use. None: the best one that loads.
    pub open_probe: Option<String>,
}

/// `[output]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputFile {
    /// Permissions of a new file.
    pub mode: Option<u32>,
    /// Group of a new file, by name.
    pub group: Option<String>,
    /// How often `status` comes.
    pub status_every: Option<Duration>,
}

/// Why a configuration is not obeyed. Nothing starts.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("the configuration {path}: {error}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is no configuration.
    #[error("the configuration {path}{at}: {problem}", path = .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where: `, line N`, or nothing.
        at: String,
        /// What is wrong, and what is right.
        problem: String,
    },
    /// Somebody else could have written it.
    #[error("the configuration {path}: {problem}", path = .path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
        /// Why, and the command that repairs it.
        problem: crypto_tracer_plugin::Untrusted,
    },
}

impl Config {
    /// Reads the file that is named, else the system's, else the user's; without any, everything is as it is by default.
    ///
    /// # Errors
    /// The file that is named is not there; the one that is there cannot be read, is not trusted, or says what nobody
    /// understands.
    pub fn load(named: Option<&Path>, trust: &Trust) -> Result<Config, ConfigError> {
        Ok(Config::find(named, trust)?.map_or_else(Config::default, |(_, config)| config))
    }

    /// As [`Config::load`], with the file that it was.
    ///
    /// # Errors
    /// As there.
    pub fn find(
        named: Option<&Path>,
        trust: &Trust,
    ) -> Result<Option<(PathBuf, Config)>, ConfigError> {
        if let Some(path) = named {
            return Config::read(path, trust).map(|config| Some((path.to_owned(), config)));
        }
        let mut places = vec![Path::new(SITE).join("config.toml")];
        if !trust.is_elevated() {
            let user = directories::ProjectDirs::from("", "", "crypto-tracer");
            let user = user.map(|user| user.config_dir().join("config.toml"));
            // After `sudo -u` and the like HOME may be somebody else's: what cannot even be looked at is not this
            // user's.
            let denied = |path: &PathBuf| {
                path.metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
            };
            places.extend(user.filter(|path| !denied(path)));
        }
        for path in places {
            match Config::read(&path, trust) {
                Err(ConfigError::Unreadable { error, .. }) if is_missing(&error) => {}
                read => return read.map(|config| Some((path, config))),
            }
        }
        Ok(None)
    }

    /// Keys by which this one differs from that of the start, and that only the next start obeys.
    pub fn needs_restart(&self, start: &Config) -> Vec<&'static str> {
        let capture = &self.capture;
        let keys = [
            ("[capture] ring", capture.ring_bytes != start.capture.ring_bytes),
            ("[capture] open_probe", capture.open_probe != start.capture.open_probe),
        ];
        keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    fn read(path: &Path, trust: &Trust) -> Result<Config, ConfigError> {
        // Without a file there is nothing to trust or to distrust.
        if let Some(error) = path.metadata().err().filter(is_missing) {
            return Err(ConfigError::Unreadable { path: path.to_owned(), error });
        }
        let trusted = trust.check_configuration(path);
        trusted.map_err(|problem| ConfigError::Untrusted { path: path.to_owned(), problem })?;
        let text =
            text(path).map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        Config::parse(&text, path)
    }

    /// `path`: for messages, and where relative paths begin.
    fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = absolute.parent().unwrap_or(Path::new("/"));
        match toml::from_str::<file::ConfigFile>(text) {
            Ok(file) => Ok(file.into_config(folder)),
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start));
                let line = before.map(|before| before.matches('\n').count() + 1);
                let at = line.map(|line| format!(", line {line}")).unwrap_or_default();
                let problem = told(error.message());
                Err(ConfigError::Wrong { path: path.to_owned(), at, problem })
            }
        }
    }

    /// The plugins of a run. A list that the command line gives is the list that runs.
    pub fn setup(
        &self,
        classifiers: Vec<PluginSpec>,
        redactors: Vec<PluginSpec>,
        filters: Vec<PluginSpec>,
        trust: &Trust,
        shutdown: &Shutdown,
    ) -> Setup {
        let default = Setup::default();
        let chain = |named: Vec<PluginSpec>, written: &Option<Vec<PluginSpec>>, default| {
            if named.is_empty() { written.clone().unwrap_or(default) } else { named }
        };
        Setup {
            classifiers: chain(classifiers, &self.classifiers, default.classifiers),
            redactors: chain(redactors, &self.redactors, default.redactors),
            filters: chain(filters, &self.filters, default.filters),
            limits: self.limits.clone(),
            on_failure: self.on_failure,
            shutdown: shutdown.clone(),
            trust: trust.clone(),
            ..default
        }
    }
}

/// Whether there is no such file, whatever may be done to it.
fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn text(path: &Path) -> std::io::Result<String> {
    // A FIFO must not hold up the start.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let wrong = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    if !file.metadata()?.is_file() {
        return Err(wrong("is no regular file"));
    }
    let mut text = Vec::new();
    if file.take(MOST_BYTES + 1).read_to_end(&mut text)? as u64 > MOST_BYTES {
        return Err(wrong("is longer than 1 MiB"));
    }
    String::from_utf8(text).map_err(|_odd| wrong("is no UTF-8"))
}

/// What the parser says, on one line, with the nearest of the words that it expects.
fn told(message: &str) -> String {
    let message = message.trim().replace('\n', ", ");
    let mut words = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown ");
    let Some(odd) = words.next().filter(|_| unknown) else { return message };
    let key = if message.starts_with("unknown field") { "key" } else { "word" };
    let expected: Vec<&str> = words.collect();
    let near = nearest(odd, expected.iter().copied());
    match near {
        Some(near) => format!("unknown {key} `{odd}`; did you mean `{near}`?"),
        None => format!("unknown {key} `{odd}`; there are {}", expected.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto_tracer_plugin::{Grant, Origin, PluginSource};

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/crypto-tracer/config.toml"))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_design_shows_is_understood() {
        let pin = "ab".repeat(32);
        let config = parse(&format!(
            r#"
            [[classifier]]
            path = "plugins/acme.wasm"
            sha256 = "{pin}"
            allow = ["file-head"]
            config = {{ tiers = ["gold"], since = 2024-01-02 }}
            [[classifier]]
            bundled = true
            [[redactor]]
            bundled = true
            config = {{ homes = ["/srv/people"] }}
            [plugins]
            memory = "32MiB"
            deadline_ms = 30
            on_failure = "stop"
            [capture]
            ring = "8MiB"
            open_probe = "auto"
            [output]
            mode = "0640"
            group = "adm"
            status_every = "60s"
            "#
        ))
        .unwrap();
        let [acme, bundled] = config.classifiers.as_deref().unwrap() else { panic!("two") };
        let path = PathBuf::from("/etc/crypto-tracer/plugins/acme.wasm");
        assert_eq!((&acme.source, acme.origin), (&PluginSource::File(path), Origin::Configuration));
        assert_eq!(acme.sha256, Some(pin));
        assert_eq!(acme.allow, [Grant::FileHead].into());
        let text = serde_json::to_string(&acme.config).unwrap();
        assert_eq!(text, r#"{"since":"2024-01-02","tiers":["gold"]}"#);
        assert_eq!(bundled.source, PluginSource::Bundled);
        assert_eq!(config.filters, None);
        assert_eq!((config.limits.memory, config.limits.deadline.as_millis()), (32 << 20, 30));
        assert_eq!(config.limits.wall, Limits::default().wall);
        assert_eq!(config.on_failure, OnFailure::Stop);
        assert_eq!(config.capture, CaptureConfig { ring_bytes: Some(8 << 20), open_probe: None });
        let output = OutputFile {
            mode: Some(0o640),
            group: Some("adm".to_owned()),
            status_every: Some(Duration::from_secs(60)),
        };
        assert_eq!(config.output, output);
        assert_eq!(parse("").unwrap(), Config::default());
        let start = Config::default();
        assert_eq!(config.needs_restart(&start), ["[capture] ring"]);
        let probe = parse("[capture]\nopen_probe = \"lsm\"\n[output]\nmode = \"0640\"").unwrap();
        assert_eq!(probe.needs_restart(&start), ["[capture] open_probe"]);
        assert_eq!(config.needs_restart(&config), [""; 0]);
    }

    #[test]
    fn limits_are_read_as_they_are_told() {
        let limits = Limits { memory: 5 << 20, text: 5000, handles: 7, ..Limits::default() };
        let lines = limits.settings().map(|(key, value)| format!("{key} = {value}\n"));
        let config = parse(&format!("[plugins]\n{}", lines.concat())).unwrap();
        assert_eq!(config, Config { limits, ..Config::default() });
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, told) in [
            (
                "[[clasifier]]\nbundled = true",
                ", line 1: unknown key `clasifier`; did you mean `classifier`?",
            ),
            ("\n[plugins]\nmemry = 1", ", line 3: unknown key `memry`; did you mean `memory`?"),
            ("[capture]\nzzz = 1", ", line 2: unknown key `zzz`; there are ring, open_probe"),
            ("[plugins]\non_failure = \"halt\"", "unknown word `halt`; there are continue, stop"),
            (
                "[plugins]\nmemory = \"16MB\"",
                "line 2: \"16MB\" is no size; write for example \"8MiB\"",
            ),
            ("[plugins]\nmemory = 1", "out of bounds"),
            ("[plugins]\nmemory = [1]", "a number, or a text"),
            ("[[classifier]]\nsha256 = \"ab\"\nbundled = true", "64 hexadecimal digits"),
            ("[[classifier]]\n", "either `path"),
            ("[[classifier]]\npath = \"a\"\nbundled = true", "either `path"),
            (
                "[[classifier]]\npath = \"a\"\nallow = [\"file-heads\"]",
                "unknown word `file-heads`; did you mean `file-head`?",
            ),
            ("[[classifier]]\npath = 7", "line 2"),
            ("[classifier]\npath = \"a\"", "line 1"),
            ("[capture]\nring = \"3MiB\"", "power of two"),
            ("[output]\nmode = \"0999\"", "is no mode"),
            ("[output]\nmode = \"7777\"", "is no mode"),
            ("[output]\nstatus_every = \"1d\"", "no length of time"),
            ("[output\n", "line 1"),
            ("output = 1", "line 1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
            assert!(
                error.starts_with("the configuration /etc/crypto-tracer/config.toml"),
                "{error}"
            );
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_command_line_wins() {
        let config =
            parse("[[classifier]]\npath = \"/a.wasm\"\n[[filter]]\npath = \"/b.wasm\"").unwrap();
        let (trust, shutdown) = (Trust::of_this_process(), Shutdown::default());
        let setup = config.setup(vec![], vec![], vec![], &trust, &shutdown);
        assert_eq!(setup.classifiers, config.classifiers.clone().unwrap());
        assert_eq!(setup.redactors, [PluginSpec::bundled()]);
        assert_eq!(setup.filters.len(), 1);
        let setup = config.setup(vec![PluginSpec::bundled()], vec![], vec![], &trust, &shutdown);
        assert_eq!(setup.classifiers, [PluginSpec::bundled()]);
    }

    #[test]
    fn a_named_file_has_to_be_there() {
        let trust = Trust::of_this_process();
        let missing = Path::new("/nonexistent/config.toml");
        let told = Config::load(Some(missing), &trust).unwrap_err().to_string();
        assert!(told.contains("/nonexistent/config.toml"), "{told}");
        let told = Config::load(Some(Path::new("/")), &trust).unwrap_err().to_string();
        assert!(told.contains("no regular file"), "{told}");
    }
}
