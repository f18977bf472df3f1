//! Classifiers.

use crate::labels::{Labels, word};
use crate::{File, Interest};

/// Determines the type of a file. [`classifier!`](crate::classifier) exports it.
///
/// `Config` is the type of the configuration.
pub trait Classifier<Config = serde_json::Value>: Sized + 'static {
    /// Reads the configuration and declares the interest. The kernel drops opens and loads that are in no classifier's
    /// interest. `config` is `{}` when the plugin has no configuration.
    ///
    /// Called once for each instance, before any other function. The host creates a new instance after a failed call.
    ///
    /// # Errors
    /// A sentence for the operator. The tracer prints it and does not start.
    fn new(config: Config, interest: &Interest) -> Result<Self, String>;

    /// The verdict on a file. None: no opinion; the host then calls the next classifier.
    ///
    /// It must depend on the file and the configuration only, because the host caches it while the file is unchanged.
    fn classify(&self, file: &File) -> Option<Verdict>;
}

/// Type of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileType {
    /// An X.509 certificate.
    Certificate,
    /// A private key.
    PrivateKey,
    /// A container of certificates and keys.
    Keystore,
    /// None of the known types.
    Unknown,
    /// A type of the plugin's own.
    Other(String),
}

impl FileType {
    /// The type with the name that events show, for example `private_key`.
    pub fn from_name(name: &str) -> FileType {
        match name {
            "certificate" => FileType::Certificate,
            "private_key" => FileType::PrivateKey,
            "keystore" => FileType::Keystore,
            "unknown" => FileType::Unknown,
            other => FileType::Other(word(other, "-")),
        }
    }

    /// The name that events show.
    pub fn as_str(&self) -> &str {
        match self {
            FileType::Certificate => "certificate",
            FileType::PrivateKey => "private_key",
            FileType::Keystore => "keystore",
            FileType::Unknown => "unknown",
            FileType::Other(name) => name,
        }
    }
}

/// What a classifier says about a file: a type, labels, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    file_type: Option<FileType>,
    labels: Labels,
}

impl Verdict {
    /// A verdict with this type. The name of [`FileType::Other`] is brought to its bounds: 1 to 64 characters of `a-z`,
    /// `0-9`, `_`, `-`.
    pub fn of(file_type: FileType) -> Verdict {
        let file_type = match file_type {
            FileType::Other(name) => FileType::Other(word(&name, "-")),
            known => known,
        };
        Verdict { file_type: Some(file_type), labels: Labels::new() }
    }

    /// A type of the plugin's own, for example `hsm_slot`.
    pub fn other(name: &str) -> Verdict {
        Verdict::of(FileType::Other(name.to_owned()))
    }

    /// A certificate.
    pub fn certificate() -> Verdict {
        Verdict::of(FileType::Certificate)
    }

    /// A private key.
    pub fn private_key() -> Verdict {
        Verdict::of(FileType::PrivateKey)
    }

    /// A keystore.
    pub fn keystore() -> Verdict {
        Verdict::of(FileType::Keystore)
    }

    /// Ends the chain of classifiers without a known type.
    pub fn unknown() -> Verdict {
        Verdict::of(FileType::Unknown)
    }

    /// Labels only: the host calls the next classifier for the type. Add them with [`Verdict::label`].
    pub fn no_type() -> Verdict {
        Verdict { file_type: None, labels: Labels::new() }
    }

    /// Adds a label, within the bounds that [`Labels`] describes.
    #[must_use]
    pub fn label(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Verdict {
        self.labels.add(name, value);
        self
    }

    /// Adds several labels.
    #[must_use]
    pub fn labels<N: AsRef<str>, V: AsRef<str>>(
        mut self,
        labels: impl IntoIterator<Item = (N, V)>,
    ) -> Verdict {
        self.labels.extend(labels);
        self
    }

    /// The type. None: the next classifier determines it.
    pub fn file_type(&self) -> Option<&FileType> {
        self.file_type.as_ref()
    }

    /// The labels.
    pub fn all_labels(&self) -> &Labels {
        &self.labels
    }

    #[cfg(target_family = "wasm")]
    pub(crate) fn into_parts(self) -> (Option<FileType>, Labels) {
        (self.file_type, self.labels)
    }
}

/// Exports a type that implements [`Classifier`] from the component. At most once in a component.
#[macro_export]
macro_rules! classifier {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: $crate::export::Slot<$plugin> = const { $crate::export::Slot::new() };
            }

            struct Export;

            impl $crate::bindings::classifier::exports::crypto_tracer::plugin::classifier::Guest for Export {
                fn configure(
                    config: ::std::string::String,
                    interest: &$crate::Interest,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    let config = $crate::export::config(&config)?;
                    let plugin = <$plugin as $crate::Classifier<_>>::new(config, interest)?;
                    PLUGIN.with(|slot| slot.set(plugin));
                    ::std::result::Result::Ok(())
                }

                fn classify(
                    file: &$crate::File,
                ) -> ::std::option::Option<
                    $crate::bindings::classifier::exports::crypto_tracer::plugin::classifier::Verdict,
                > {
                    let classify = |plugin: &mut $plugin| <$plugin as $crate::Classifier<_>>::classify(plugin, file);
                    PLUGIN.with(|slot| slot.call(classify))?.map(::std::convert::Into::into)
                }
            }

            $crate::bindings::classifier::export_classifier!(Export with_types_in $crate::bindings::classifier);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            // Natively it only has to implement the trait.
            #[allow(dead_code, reason = "a check by the compiler")]
            fn check(
                interest: &$crate::Interest,
            ) -> ::std::result::Result<$plugin, ::std::string::String> {
                let config = $crate::testing::config("{}")?;
                <$plugin as $crate::Classifier<_>>::new(config, interest)
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_names_of_events() {
        for name in ["certificate", "private_key", "keystore", "unknown", "hsm-slot_2"] {
            assert_eq!(FileType::from_name(name).as_str(), name);
        }
        assert_eq!(FileType::from_name("HSM slot").as_str(), "hsm_slot");
        assert_eq!(Verdict::other("").file_type().unwrap().as_str(), "_");
        let long = FileType::Other("x".repeat(100));
        assert_eq!(Verdict::of(long).file_type().unwrap().as_str().len(), 64);
    }

    #[test]
    fn a_verdict_has_its_labels() {
        let verdict = Verdict::no_type().label("a", "1").labels([("b", "2"), ("a", "3")]);
        assert_eq!(verdict.file_type(), None);
        assert_eq!(verdict.all_labels().iter().collect::<Vec<_>>(), [("a", "1"), ("b", "2")]);
        assert_eq!(Verdict::private_key().file_type(), Some(&FileType::PrivateKey));
    }
}
