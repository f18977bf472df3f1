//! The configuration file.

mod file;
mod units;

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::nearest::nearest;
use crypto_tracer_event::PluginKind;
use crypto_tracer_plugin::{Limits, OnFailure, PluginSpec, SITE_DIR, Setup, Trust};
use crypto_tracer_system::shutdown::Shutdown;

/// Largest configuration file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The settings of a configuration file. The default is that of an empty file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The chains that the file defines, by kind.
    pub chains: BTreeMap<PluginKind, Vec<PluginSpec>>,
    /// Limits of every plugin.
    pub limits: Limits,
    /// Effect of a failed call of a plugin on the run.
    pub on_failure: OnFailure,
    /// `[capture]`
    pub capture: CaptureConfig,
    /// `[output]`
    pub output: OutputFile,
}

/// `[capture]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureConfig {
    /// Size of the ring buffer in bytes, a power of two.
    pub ring_bytes: Option<u32>,
    /// Name of the probe for opens and library loads. `None` means the best one that loads.
    pub open_probe: Option<String>,
}

/// `[output]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutputFile {
    /// Permissions of a new file.
    pub mode: Option<u32>,
    /// Name of the group of a new file.
    pub group: Option<String>,
    /// Interval between `status` records.
    pub status_every: Option<Duration>,
}

/// Why a configuration is rejected.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path}: {error}", path = .path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The file is not a valid configuration.
    #[error("the configuration {path}{at}: {problem}", path = .path.display())]
    Invalid {
        /// Path of the file.
        path: PathBuf,
        /// Position in the message: `, line N`, or empty.
        at: String,
        /// The problem and, where possible, a valid value.
        problem: String,
    },
    /// Another user may have changed the file.
    #[error("the configuration {path}: {problem}", path = .path.display())]
    Untrusted {
        /// Path of the file.
        path: PathBuf,
        /// The reason, and the command that corrects it.
        problem: crypto_tracer_plugin::Untrusted,
    },
}

impl Config {
    /// Reads the file `named`, otherwise the system's file, otherwise the user's. Without any of them, returns the
    /// default.
    ///
    /// # Errors
    /// The file `named` does not exist, or the file cannot be read, is not trusted or is not valid.
    pub fn load(named: Option<&Path>, trust: &Trust) -> Result<Config, ConfigError> {
        Ok(Config::find(named, trust)?.map_or_else(Config::default, |(_, config)| config))
    }

    /// Like [`Config::load`], but also returns the path of the file. Returns `None` without a file.
    ///
    /// # Errors
    /// Those of [`Config::load`].
    pub fn find(
        named: Option<&Path>,
        trust: &Trust,
    ) -> Result<Option<(PathBuf, Config)>, ConfigError> {
        if let Some(path) = named {
            return Config::read(path, trust).map(|config| Some((path.to_owned(), config)));
        }
        let mut candidates = vec![Path::new(SITE_DIR).join("config.toml")];
        if !trust.is_elevated() {
            let user = directories::ProjectDirs::from("", "", "crypto-tracer");
            let user = user.map(|user| user.config_dir().join("config.toml"));
            // After `sudo -u`, HOME may be that of another user. A file that cannot be inspected is ignored.
            let denied = |path: &PathBuf| {
                path.metadata().is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied)
            };
            candidates.extend(user.filter(|path| !denied(path)));
        }
        for path in candidates {
            match Config::read(&path, trust) {
                Err(ConfigError::Unreadable { error, .. }) if is_missing(&error) => {}
                read => return read.map(|config| Some((path, config))),
            }
        }
        Ok(None)
    }

    /// Returns the keys that differ from the configuration `start` of this run and that need a restart.
    pub fn needs_restart(&self, start: &Config) -> Vec<&'static str> {
        let capture = &self.capture;
        let keys = [
            ("[capture] ring", capture.ring_bytes != start.capture.ring_bytes),
            ("[capture] open_probe", capture.open_probe != start.capture.open_probe),
        ];
        keys.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
    }

    fn read(path: &Path, trust: &Trust) -> Result<Config, ConfigError> {
        // A missing file is reported as missing, even in a directory that is not trusted.
        if let Some(error) = path.metadata().err().filter(is_missing) {
            return Err(ConfigError::Unreadable { path: path.to_owned(), error });
        }
        let trusted = trust.check_configuration(path);
        trusted.map_err(|problem| ConfigError::Untrusted { path: path.to_owned(), problem })?;
        let text = read_text(path)
            .map_err(|error| ConfigError::Unreadable { path: path.to_owned(), error })?;
        Config::parse(&text, path)
    }

    /// `path` is for messages, and its directory is the base of relative paths.
    fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let directory = absolute.parent().unwrap_or(Path::new("/"));
        match toml::from_str::<file::ConfigFile>(text) {
            Ok(file) => Ok(file.into_config(directory)),
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start));
                let line = before.map(|before| before.matches('\n').count() + 1);
                let at = line.map(|line| format!(", line {line}")).unwrap_or_default();
                let problem = explained(error.message());
                Err(ConfigError::Invalid { path: path.to_owned(), at, problem })
            }
        }
    }

    /// Returns the plugins of a run. `named`: the chains of the command line, which replace those of the same kind in the file.
    pub fn setup(
        &self,
        named: BTreeMap<PluginKind, Vec<PluginSpec>>,
        trust: &Trust,
        shutdown: &Shutdown,
    ) -> Setup {
        let mut chains = self.chains.clone();
        chains.extend(named);
        Setup {
            chains,
            limits: self.limits.clone(),
            on_failure: self.on_failure,
            shutdown: shutdown.clone(),
            trust: trust.clone(),
            ..Setup::default()
        }
    }
}

/// Whether the error means that the file does not exist.
fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

fn read_text(path: &Path) -> std::io::Result<String> {
    // Opening a FIFO must not block the start.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let invalid = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what);
    if !file.metadata()?.is_file() {
        return Err(invalid("is not a regular file"));
    }
    let mut text = Vec::new();
    if file.take(MAX_BYTES + 1).read_to_end(&mut text)? as u64 > MAX_BYTES {
        return Err(invalid("is longer than 1 MiB"));
    }
    String::from_utf8(text).map_err(|_invalid| invalid("is not UTF-8"))
}

/// Returns the message of the TOML parser as one line, with a suggestion for an unknown key or value.
fn explained(message: &str) -> String {
    let message = message.trim().replace('\n', ", ");
    let mut words = message.split('`').skip(1).step_by(2);
    let unknown = message.starts_with("unknown ");
    let Some(found) = words.next().filter(|_| unknown) else { return message };
    let key = if message.starts_with("unknown field") { "key" } else { "value" };
    let expected: Vec<&str> = words.collect();
    let of_plugins = Limits::default().settings().map(|(key, _)| key).into_iter();
    if of_plugins.chain(["on_failure"]).any(|key| key == found) && !expected.contains(&"on_failure")
    {
        return format!("`{found}` applies to all plugins: write it in the table [plugins]");
    }
    let near = nearest(found, expected.iter().copied());
    match near {
        Some(near) => format!("unknown {key} `{found}`; did you mean `{near}`?"),
        None => format!("unknown {key} `{found}`; expected one of {}", expected.join(", ")),
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
    fn a_key_for_all_plugins_in_another_table_is_explained() {
        for key in ["on_failure = \"stop\"", "memory = 1", "instances = 20"] {
            for text in [format!("{key}\n"), format!("[[filter]]\npath = \"a\"\n{key}\n")] {
                let error = parse(&text).unwrap_err();
                assert!(error.ends_with("write it in the table [plugins]"), "{error}");
            }
        }
        let error = parse("[plugins]\nhandle = 1").unwrap_err();
        assert!(error.ends_with("did you mean `handles`?"), "{error}");
    }

    #[test]
    fn all_tables_are_parsed() {
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
        let [acme, bundled] = &config.chains[&PluginKind::Classifier][..] else { panic!("two") };
        let path = PathBuf::from("/etc/crypto-tracer/plugins/acme.wasm");
        assert_eq!((&acme.source, acme.origin), (&PluginSource::File(path), Origin::Configuration));
        assert_eq!(acme.sha256, Some(pin));
        assert_eq!(acme.allow, [Grant::FileHead].into());
        let text = serde_json::to_string(&acme.config).unwrap();
        assert_eq!(text, r#"{"since":"2024-01-02","tiers":["gold"]}"#);
        assert_eq!(bundled.source, PluginSource::Bundled);
        assert_eq!(config.chains.get(&PluginKind::Filter), None);
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
    fn limits_are_parsed_from_their_printed_form() {
        let limits = Limits { memory: 5 << 20, text: 5000, handles: 7, ..Limits::default() };
        let lines = limits.settings().map(|(key, value)| format!("{key} = {value}\n"));
        let config = parse(&format!("[plugins]\n{}", lines.concat())).unwrap();
        assert_eq!(config, Config { limits, ..Config::default() });
    }

    #[test]
    fn errors_name_line_and_problem() {
        for (text, message) in [
            (
                "[[clasifier]]\nbundled = true",
                ", line 1: unknown key `clasifier`; did you mean `classifier`?",
            ),
            ("\n[plugins]\nmemry = 1", ", line 3: unknown key `memry`; did you mean `memory`?"),
            ("[capture]\nzzz = 1", ", line 2: unknown key `zzz`; expected one of ring, open_probe"),
            (
                "[plugins]\non_failure = \"halt\"",
                "unknown value `halt`; expected one of continue, stop",
            ),
            (
                "[plugins]\nmemory = \"16MB\"",
                "line 2: \"16MB\" is not a size; write for example \"8MiB\"",
            ),
            ("[plugins]\nmemory = 1", "out of range"),
            ("[plugins]\nmemory = [1]", "a number, or a string"),
            ("[[classifier]]\nsha256 = \"ab\"\nbundled = true", "64 hexadecimal digits"),
            ("[[classifier]]\n", "either `path"),
            ("[[classifier]]\npath = \"a\"\nbundled = true", "either `path"),
            (
                "[[classifier]]\npath = \"a\"\nallow = [\"file-heads\"]",
                "unknown value `file-heads`; did you mean `file-head`?",
            ),
            ("[[classifier]]\npath = 7", "line 2"),
            ("[classifier]\npath = \"a\"", "line 1"),
            ("[capture]\nring = \"3MiB\"", "power of two"),
            ("[output]\nmode = \"0999\"", "is not a mode"),
            ("[output]\nmode = \"7777\"", "is not a mode"),
            ("[output]\nstatus_every = \"1d\"", "is not a duration"),
            ("[output\n", "line 1"),
            ("output = 1", "line 1"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
            assert!(
                error.starts_with("the configuration /etc/crypto-tracer/config.toml"),
                "{error}"
            );
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn command_line_overrides_file() {
        let config =
            parse("[[classifier]]\npath = \"/a.wasm\"\n[[filter]]\npath = \"/b.wasm\"").unwrap();
        let (trust, shutdown) = (Trust::of_this_process(), Shutdown::default());
        let setup = config.setup(BTreeMap::new(), &trust, &shutdown);
        assert_eq!(setup.chains, config.chains);
        assert_eq!(setup.chains.len(), 2, "no redactor is configured");
        let named = BTreeMap::from([(PluginKind::Classifier, vec![PluginSpec::bundled()])]);
        let setup = config.setup(named, &trust, &shutdown);
        assert_eq!(setup.chains[&PluginKind::Classifier], [PluginSpec::bundled()]);
        assert_eq!(setup.chains[&PluginKind::Filter], config.chains[&PluginKind::Filter]);
    }

    #[test]
    fn named_file_must_exist() {
        let trust = Trust::of_this_process();
        let missing = Path::new("/nonexistent/config.toml");
        let error = Config::load(Some(missing), &trust).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/config.toml"), "{error}");
        let error = Config::load(Some(Path::new("/")), &trust).unwrap_err().to_string();
        assert!(error.contains("is not a regular file"), "{error}");
    }
}
