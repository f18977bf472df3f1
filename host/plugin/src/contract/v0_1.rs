//! Version 0.1 of the contract: the bindings of `wit/plugin.wit`, and their conversion to the types of all versions.

use wasmtime::component::{HasSelf, InstancePre, Linker, Resource};
use wasmtime::{Result, Store};

use super::{
    Classify, Configured, Contract, Decide, Factory, Inspect, RawAsset, RawDecision, RawVerdict,
    Redact, Version,
};
use crate::event_facts;
use crate::log::Level;
use crate::state::{EventResource, FileResource, InterestBuilder, State, TextResource};
use bindings::classifier::exports::crypto_tracer::plugin::classifier as classifying;
use bindings::classifier::{ClassifierPlugin, ClassifierPluginPre};
use bindings::filter::exports::crypto_tracer::plugin::filter as filtering;
use bindings::filter::{FilterPlugin, FilterPluginPre};
use bindings::inspector::exports::crypto_tracer::plugin::inspector as inspecting;
use bindings::inspector::{InspectorPlugin, InspectorPluginPre};
use bindings::redactor::{RedactorPlugin, RedactorPluginPre};
use bindings::{events, host};
use crypto_tracer_event::{FileType, PemBlock};

/// The worlds share one set of imports.
mod bindings {
    pub(super) mod classifier {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "classifier-plugin",
            imports: { default: trappable },
            with: {
                "crypto-tracer:plugin/events.file": crate::state::FileResource,
                "crypto-tracer:plugin/events.event": crate::state::EventResource,
                "crypto-tracer:plugin/events.text": crate::state::TextResource,
                "crypto-tracer:plugin/events.interest": crate::state::InterestBuilder,
            },
        });
    }

    pub(super) mod redactor {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "redactor-plugin",
            imports: { default: trappable },
            with: {
                "crypto-tracer:plugin/host": crate::contract::v0_1::bindings::classifier::crypto_tracer::plugin::host,
                "crypto-tracer:plugin/events": crate::contract::v0_1::bindings::classifier::crypto_tracer::plugin::events,
            },
        });
    }

    pub(super) mod filter {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "filter-plugin",
            imports: { default: trappable },
            with: {
                "crypto-tracer:plugin/host": crate::contract::v0_1::bindings::classifier::crypto_tracer::plugin::host,
                "crypto-tracer:plugin/events": crate::contract::v0_1::bindings::classifier::crypto_tracer::plugin::events,
            },
        });
    }

    pub(super) mod inspector {
        wasmtime::component::bindgen!({
            path: "../../wit",
            world: "inspector-plugin",
            imports: { default: trappable },
            with: {
                "crypto-tracer:plugin/host": crate::contract::v0_1::bindings::classifier::crypto_tracer::plugin::host,
                "crypto-tracer:plugin/events": crate::contract::v0_1::bindings::classifier::crypto_tracer::plugin::events,
            },
        });
    }

    pub(super) use classifier::crypto_tracer::plugin::{events, host};
}

/// Version 0.1.
pub(super) struct V0_1;

impl Contract for V0_1 {
    fn version(&self) -> Version {
        Version { major: 0, minor: 1, patch: 1 }
    }

    fn add_to_linker(&self, linker: &mut Linker<State>) -> Result<()> {
        host::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
        events::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
    }

    fn classifier(&self, pre: InstancePre<State>) -> Result<Factory<dyn Classify>> {
        let pre = ClassifierPluginPre::new(pre)?;
        Ok(Box::new(move |store| Ok(Box::new(pre.instantiate(store)?))))
    }

    fn redactor(&self, pre: InstancePre<State>) -> Result<Factory<dyn Redact>> {
        let pre = RedactorPluginPre::new(pre)?;
        Ok(Box::new(move |store| Ok(Box::new(pre.instantiate(store)?))))
    }

    fn filter(&self, pre: InstancePre<State>) -> Result<Factory<dyn Decide>> {
        let pre = FilterPluginPre::new(pre)?;
        Ok(Box::new(move |store| Ok(Box::new(pre.instantiate(store)?))))
    }

    fn inspector(&self, pre: InstancePre<State>) -> Result<Factory<dyn Inspect>> {
        let pre = InspectorPluginPre::new(pre)?;
        Ok(Box::new(move |store| Ok(Box::new(pre.instantiate(store)?))))
    }
}

// Borrowed resources share one handle, because the scoped reference identifies the resource.
const BORROWED: u32 = 0;

impl Classify for ClassifierPlugin {
    fn configure(&self, store: &mut Store<State>, config: &str) -> Result<Configured> {
        let guest = self.crypto_tracer_plugin_classifier();
        guest.call_configure(store, config, Resource::new_borrow(BORROWED))
    }

    fn classify(&self, store: &mut Store<State>) -> Result<Option<RawVerdict>> {
        let guest = self.crypto_tracer_plugin_classifier();
        let verdict = guest.call_classify(store, Resource::new_borrow(BORROWED))?;
        Ok(verdict.map(|verdict| RawVerdict {
            file_type: verdict.file_type.map(|file_type| match file_type {
                classifying::FileType::Certificate => FileType::Certificate,
                classifying::FileType::PrivateKey => FileType::PrivateKey,
                classifying::FileType::Keystore => FileType::Keystore,
                classifying::FileType::Unknown => FileType::Unknown,
                classifying::FileType::Other(word) => FileType::Other(word.into()),
            }),
            labels: verdict.labels,
        }))
    }
}

impl Redact for RedactorPlugin {
    fn configure(&self, store: &mut Store<State>, config: &str) -> Result<Configured> {
        self.crypto_tracer_plugin_redactor().call_configure(store, config)
    }

    fn redact(&self, store: &mut Store<State>) -> Result<Option<String>> {
        let guest = self.crypto_tracer_plugin_redactor();
        guest.call_redact(store, Resource::new_borrow(BORROWED))
    }
}

impl Decide for FilterPlugin {
    fn configure(&self, store: &mut Store<State>, config: &str) -> Result<Configured> {
        self.crypto_tracer_plugin_filter().call_configure(store, config)
    }

    fn decide(&self, store: &mut Store<State>) -> Result<RawDecision> {
        let guest = self.crypto_tracer_plugin_filter();
        Ok(match guest.call_decide(store, Resource::new_borrow(BORROWED))? {
            filtering::Decision::Keep => RawDecision::Keep,
            filtering::Decision::Drop => RawDecision::Drop,
            filtering::Decision::Label(labels) => RawDecision::Label(labels),
        })
    }
}

impl Inspect for InspectorPlugin {
    fn configure(&self, store: &mut Store<State>, config: &str) -> Result<Configured> {
        self.crypto_tracer_plugin_inspector().call_configure(store, config)
    }

    fn inspect(&self, store: &mut Store<State>) -> Result<Vec<RawAsset>> {
        let guest = self.crypto_tracer_plugin_inspector();
        let assets = guest.call_inspect(store, Resource::new_borrow(BORROWED))?;
        let raw = |asset: inspecting::Asset| RawAsset { kind: asset.kind, facts: asset.facts };
        Ok(assets.into_iter().map(raw).collect())
    }
}

impl host::Host for State {
    fn log(&mut self, level: host::Level, message: String) -> Result<()> {
        self.log_line(
            match level {
                host::Level::Error => Level::Error,
                host::Level::Warn => Level::Warn,
                host::Level::Info => Level::Info,
                host::Level::Debug => Level::Debug,
            },
            &message,
        );
        Ok(())
    }
}

impl events::Host for State {}

// The host drops only owned handles, and it hands out none, so each `drop` is empty.

impl events::HostFile for State {
    fn path(&mut self, _this: Resource<FileResource>) -> Result<String> {
        self.file_path().map(|path| String::from_utf8_lossy(&path).into_owned())
    }

    fn path_bytes(&mut self, _this: Resource<FileResource>) -> Result<Vec<u8>> {
        self.file_path()
    }

    fn size(&mut self, _this: Resource<FileResource>) -> Result<Option<u64>> {
        self.file_size()
    }

    fn head(&mut self, _this: Resource<FileResource>, max: u32) -> Result<Vec<u8>> {
        self.file_head(max)
    }

    fn visible(&mut self, _this: Resource<FileResource>, offset: u64, max: u32) -> Result<Vec<u8>> {
        self.file_visible(offset, max)
    }

    fn stat(&mut self, _this: Resource<FileResource>, name: String) -> Result<Option<u64>> {
        self.file_stat(&name)
    }

    fn filesystem(&mut self, _this: Resource<FileResource>) -> Result<Option<String>> {
        self.file_system()
    }

    fn blocks(&mut self, _this: Resource<FileResource>) -> Result<Vec<events::PemBlock>> {
        let blocks = self.file_blocks()?.into_iter();
        Ok(blocks
            .map(|PemBlock { label, encrypted }| events::PemBlock { label, encrypted })
            .collect())
    }

    fn skip(&mut self, _this: Resource<FileResource>) -> Result<()> {
        self.skip_file()
    }

    fn drop(&mut self, _this: Resource<FileResource>) -> Result<()> {
        Ok(())
    }
}

impl events::HostEvent for State {
    fn event_type(&mut self, _this: Resource<EventResource>) -> Result<String> {
        self.event(|event| event.event.what.event_type().to_owned())
    }

    fn timestamp(&mut self, _this: Resource<EventResource>) -> Result<u64> {
        self.event(|event| u64::try_from(event.event.timestamp.0).unwrap_or_default())
    }

    fn pid(&mut self, _this: Resource<EventResource>) -> Result<u32> {
        self.event(|event| event.event.process.key.tgid)
    }

    fn uid(&mut self, _this: Resource<EventResource>) -> Result<u32> {
        self.event(|event| event.event.process.uid)
    }

    fn process(&mut self, _this: Resource<EventResource>) -> Result<String> {
        self.event(|event| String::from_utf8_lossy(event.event.process.comm.as_bytes()).into())
    }

    fn exe(&mut self, _this: Resource<EventResource>) -> Result<Option<String>> {
        let text = |exe: &[u8]| String::from_utf8_lossy(exe).into_owned();
        self.event(|event| event.event.process.exe.as_deref().map(text))
    }

    fn container(&mut self, _this: Resource<EventResource>) -> Result<Option<String>> {
        self.event(|event| event.event.process.container.as_deref().map(str::to_owned))
    }

    fn field(&mut self, _this: Resource<EventResource>, name: String) -> Result<Option<String>> {
        self.event_field(&name)
    }

    fn ancestor(
        &mut self,
        _this: Resource<EventResource>,
        level: u32,
        name: String,
    ) -> Result<Option<String>> {
        self.event(|event| event_facts::ancestor(event, level, &name))
    }

    fn process_key(&mut self, _this: Resource<EventResource>) -> Result<String> {
        self.event(event_facts::process_key)
    }

    fn number(&mut self, _this: Resource<EventResource>, name: String) -> Result<Option<i64>> {
        self.event(|event| event_facts::number(event, &name))
    }

    fn remove_label(&mut self, _this: Resource<EventResource>, name: String) -> Result<()> {
        self.remove_event_label(&name)
    }

    fn drop(&mut self, _this: Resource<EventResource>) -> Result<()> {
        Ok(())
    }
}

impl events::HostText for State {
    fn field(&mut self, _this: Resource<TextResource>) -> Result<String> {
        self.text(|field, _, _| field.name().into_owned())
    }

    fn value(&mut self, _this: Resource<TextResource>) -> Result<String> {
        self.text(|_, value, _| value.to_owned())
    }

    fn arguments(&mut self, _this: Resource<TextResource>) -> Result<Vec<String>> {
        self.text(|_, _, arguments| arguments.to_vec())
    }

    fn drop(&mut self, _this: Resource<TextResource>) -> Result<()> {
        Ok(())
    }
}

impl events::HostInterest for State {
    fn file_suffix(&mut self, _this: Resource<InterestBuilder>, suffix: String) -> Result<()> {
        self.add_interest(|interest| interest.add_suffix(&suffix))
    }

    fn file_name(&mut self, _this: Resource<InterestBuilder>, name: String) -> Result<()> {
        self.add_interest(|interest| interest.add_name(&name))
    }

    fn file_prefix(&mut self, _this: Resource<InterestBuilder>, prefix: String) -> Result<()> {
        self.add_interest(|interest| interest.add_prefix(&prefix))
    }

    fn library(&mut self, _this: Resource<InterestBuilder>, name: String) -> Result<()> {
        self.add_interest(|interest| interest.add_library(&name))
    }

    fn drop(&mut self, _this: Resource<InterestBuilder>) -> Result<()> {
        Ok(())
    }
}
