//! Examples at the end of each help text. A test parses all of them.

pub(super) const ALL: &str = "Examples:
  sudo crypto-tracer monitor --duration 30s
  sudo crypto-tracer files --file '/etc/ssl/*' --format table
  sudo crypto-tracer libs --library libssl --duration 5m
  sudo crypto-tracer profile --name nginx
  crypto-tracer snapshot --format summary

'crypto-tracer help COMMAND' shows the options of a command.";

pub(super) const MONITOR: &str = "Examples:
  sudo crypto-tracer monitor
  sudo crypto-tracer monitor --duration 30s --name nginx --file '*.pem'
  sudo crypto-tracer monitor --pid 1234 --extended --output events.json
  sudo crypto-tracer monitor --baseline web1.json";

pub(super) const FILES: &str = "Examples:
  sudo crypto-tracer files --format table
  sudo crypto-tracer files --file '*.{key,p12,jks}' --duration 1h --output keys.json
  sudo crypto-tracer files --name nginx --file '/etc/ssl/*' | jq -r .file";

pub(super) const LIBS: &str = "Examples:
  sudo crypto-tracer libs --format table
  sudo crypto-tracer libs --library libssl --duration 10m
  sudo crypto-tracer libs --name python3 --extended | jq -r .exe";

pub(super) const PROFILE: &str = "Examples:
  sudo crypto-tracer profile --name nginx
  sudo crypto-tracer profile --pid 1234 --follow-children --duration 5m --output profile.json
  sudo crypto-tracer profile --pid 1234 --duration 10s --format summary";

pub(super) const SNAPSHOT: &str = "Examples:
  sudo crypto-tracer snapshot --output snapshot.json
  crypto-tracer snapshot --format summary
  sudo crypto-tracer snapshot | jq '.processes[] | select(.open_crypto_files != [])'";

pub(super) const INVENTORY: &str = "Examples:
  sudo crypto-tracer inventory record --duration 1h --output web1.json
  sudo crypto-tracer inventory record --duration 10s --format summary
  crypto-tracer inventory record --from events.json --output web1.json
  crypto-tracer inventory merge web1.json web2.json --output all.json
  crypto-tracer inventory diff cbom.json web1.json --format summary
  crypto-tracer inventory export web1.json --format cyclonedx-1.6 --output cbom.json";

pub(super) const REPORT: &str = "Examples:
  crypto-tracer report web1.json --output report.html
  crypto-tracer report all.json --diff cbom.json --output report.html
  crypto-tracer report web1.json > report.html";

pub(super) const REPLAY: &str = "Examples:
  crypto-tracer replay night.rec
  crypto-tracer replay night.rec --classifier acme.wasm --classifier default
  crypto-tracer replay night.rec --file '*.key' --format table
  crypto-tracer replay night.rec --diff config.toml new.toml
  crypto-tracer replay night.rec --name nginx --cases > cases.json";

pub(super) const DOCTOR: &str = "Examples:
  sudo crypto-tracer doctor
  sudo crypto-tracer doctor --format json-pretty | jq '.probes[] | select(.chosen)'
  crypto-tracer doctor --probe lsm --quiet > /dev/null && echo 'lsm works here'";

pub(super) const PLUGIN: &str = "Examples:
  crypto-tracer plugin new acme-classifier --kind classifier
  crypto-tracer plugin check acme.wasm
  crypto-tracer plugin test acme.wasm --cases cases.json";

pub(super) const COMPLETIONS: &str = "Examples:
  crypto-tracer completions bash > /etc/bash_completion.d/crypto-tracer
  crypto-tracer completions zsh > ~/.zfunc/_crypto-tracer
  crypto-tracer completions fish > ~/.config/fish/completions/crypto-tracer.fish";

pub(super) const HELP: &str = "Examples:
  crypto-tracer help
  crypto-tracer help monitor
  crypto-tracer help plugin check";

pub(super) const VERSION: &str = "Examples:
  crypto-tracer version
  crypto-tracer version | cut -d' ' -f2
  crypto-tracer version --quiet";
