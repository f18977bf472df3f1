//! Filters.

use crate::Event;
use crate::labels::Labels;

/// Decides whether an event is shown, and can add labels to it. [`filter!`](crate::filter) exports it.
///
/// A filter may keep state. The state is lost when a call fails, because the host then creates a new instance.
pub trait Filter<Config = serde_json::Value>: Sized + 'static {
    /// Reads the configuration; `{}` when the plugin has none. Called once for each instance.
    ///
    /// # Errors
    /// A sentence for the operator. The tracer prints it and does not start.
    fn new(config: Config) -> Result<Self, String>;

    /// Called for each event that passes the tracer's own filters and the filters before this one.
    fn decide(&mut self, event: &Event) -> Decision;
}

/// What happens to an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is shown.
    Keep,
    /// It is not shown.
    Drop,
    /// It is shown with these labels.
    Label(Labels),
}

impl Decision {
    /// Keeps the event and adds a label, within the bounds that [`Labels`] describes. A second label: `.and(name, value)`.
    pub fn label(name: impl AsRef<str>, value: impl AsRef<str>) -> Decision {
        Decision::Label([(name, value)].into_iter().collect())
    }

    /// Adds a label. A dropped event stays dropped.
    #[must_use]
    pub fn and(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Decision {
        match self {
            Decision::Keep => Decision::label(name, value),
            Decision::Drop => Decision::Drop,
            Decision::Label(mut labels) => {
                labels.add(name, value);
                Decision::Label(labels)
            }
        }
    }
}

/// Exports a type that implements [`Filter`] from the component. At most once in a component.
#[macro_export]
macro_rules! filter {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: $crate::export::Slot<$plugin> = const { $crate::export::Slot::new() };
            }

            struct Export;

            impl $crate::bindings::filter::exports::crypto_tracer::plugin::filter::Guest for Export {
                fn configure(
                    config: ::std::string::String,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    let plugin = <$plugin as $crate::Filter<_>>::new($crate::export::config(&config)?)?;
                    PLUGIN.with(|slot| slot.set(plugin));
                    ::std::result::Result::Ok(())
                }

                fn decide(
                    event: &$crate::Event,
                ) -> $crate::bindings::filter::exports::crypto_tracer::plugin::filter::Decision {
                    let decide = |plugin: &mut $plugin| <$plugin as $crate::Filter<_>>::decide(plugin, event);
                    PLUGIN.with(|slot| slot.call(decide)).unwrap_or($crate::Decision::Keep).into()
                }
            }

            $crate::bindings::filter::export_filter!(Export with_types_in $crate::bindings::filter);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            // Natively it only has to implement the trait.
            #[allow(dead_code, reason = "a check by the compiler")]
            fn check() -> ::std::result::Result<$plugin, ::std::string::String> {
                <$plugin as $crate::Filter<_>>::new($crate::testing::config("{}")?)
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_added_to_kept_events_only() {
        let both = Decision::label("a", "1").and("b", "2");
        assert_eq!(both, Decision::Label([("a", "1"), ("b", "2")].into_iter().collect()));
        assert_eq!(Decision::Keep.and("a", "1"), Decision::label("a", "1"));
        assert_eq!(Decision::Drop.and("a", "1"), Decision::Drop);
    }
}
