//! Redactors.

use crate::Text;

/// The text that replaces one that must not be shown at all.
pub const REDACTED: &str = "[REDACTED]";

/// Replaces texts that must not be shown. [`redactor!`](crate::redactor) exports it.
///
/// It fails closed: without a configuration it returns [`REDACTED`], and when a call fails, the host shows that text.
pub trait Redactor<Config = serde_json::Value>: Sized + 'static {
    /// Reads the configuration; `{}` when the plugin has none. Called once for each instance.
    ///
    /// # Errors
    /// A sentence for the operator. The tracer prints it and does not start.
    fn new(config: Config) -> Result<Self, String>;

    /// The replacement, or None to leave the text unchanged.
    ///
    /// It must depend on the text and the configuration only, because the host may cache it.
    fn redact(&self, text: &Text) -> Option<String>;
}

/// Exports a type that implements [`Redactor`] from the component. At most once in a component.
#[macro_export]
macro_rules! redactor {
    ($plugin:ty) => {
        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static PLUGIN: $crate::export::Slot<$plugin> = const { $crate::export::Slot::new() };
            }

            struct Export;

            impl $crate::bindings::redactor::exports::crypto_tracer::plugin::redactor::Guest for Export {
                fn configure(
                    config: ::std::string::String,
                ) -> ::std::result::Result<(), ::std::string::String> {
                    let plugin = <$plugin as $crate::Redactor<_>>::new($crate::export::config(&config)?)?;
                    PLUGIN.with(|slot| slot.set(plugin));
                    ::std::result::Result::Ok(())
                }

                fn redact(text: &$crate::Text) -> ::std::option::Option<::std::string::String> {
                    let redact = |plugin: &mut $plugin| <$plugin as $crate::Redactor<_>>::redact(plugin, text);
                    PLUGIN.with(|slot| slot.call(redact)).unwrap_or_else($crate::export::redacted)
                }
            }

            $crate::bindings::redactor::export_redactor!(Export with_types_in $crate::bindings::redactor);
        };
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            // Natively it only has to implement the trait.
            #[allow(dead_code, reason = "a check by the compiler")]
            fn check() -> ::std::result::Result<$plugin, ::std::string::String> {
                <$plugin as $crate::Redactor<_>>::new($crate::testing::config("{}")?)
            }
        };
    };
}
